"""Decision 10: scheduled runs have a clone of their own, and nothing assumes the folder that a command is typed in."""

from dataclasses import replace


def test_from_a_folder_below_a_run_is_the_same_run_and_leaves_nothing_there(finished, tmp_path):
    clone = finished[0].copy(tmp_path / "clone")
    below = clone.path / "docs"
    before = sorted(below.iterdir())
    there = replace(clone, path=below).answer("lldif", "run", "demo", "--json")
    here = clone.answer("lldif", "run", "demo", "--json")
    assert there["version"] == here["version"]
    statuses = [[(stage["name"], stage["status"]) for stage in answer["stages"]] for answer in (there, here)]
    assert statuses[0] == statuses[1]
    assert {status for _, status in statuses[0]} == {"cached"}
    assert sorted(below.iterdir()) == before
