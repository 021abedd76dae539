"""Who becomes champion, and what the registry then says. Versions without models, a real registry and ledger: 30 s.

What real models do under `lldif promote` is in tests/faults.
"""

import json
from pathlib import Path

import pytest
from registry import MODEL, Place

from components.records import file_sha256
from flows import accounts, card, following, history, ledger, lineage, promotion, tracking
from flows.judgement import plain
from flows.ledger import Entry
from flows.project import Failed
from flows.promotion import Wish


def kinds(place: Place) -> list[str]:
    return [entry.kind for entry in place.book.entries()]


def decision_about(place: Place, number: int) -> str | None:
    return accounts.account(place.book.entries(), "demo", place.version(number).identity).decision


def agrees(place: Place) -> bool:
    """Chain and aliases hold, and nothing had to be repaired."""
    found = history.verify(place.policy, "demo")
    return not found.faults and not found.repaired


def test_the_first_model_is_champion_by_the_gates_that_need_none_to_compare_with(place: Place):
    entry = place.promote(place.register(0.5))
    assert (entry.kind, entry.champion, entry.decision) == ("promotion", None, "promoted")
    assert [gate["outcome"] for gate in entry.gates] == ["pass", "pass", "not_applicable"]
    assert place.aliases() == {"champion": 1}
    assert agrees(place)


def test_a_better_model_takes_over_and_the_old_one_is_previous(place: Place):
    place.promote(place.register(0.5))
    entry = place.promote(place.register(0.7))
    assert (entry.kind, entry.candidate.version) == ("promotion", 2)
    assert entry.champion == place.version(1).identity
    assert place.aliases() == {"champion": 2, "previous": 1}
    assert agrees(place)


@pytest.mark.parametrize("share_right", [0.5, 0.3])
def test_an_equal_and_a_worse_model_are_rejected_and_nothing_moves(place: Place, share_right: float):
    place.promote(place.register(0.5))
    entry = place.promote(place.register(share_right))
    assert (entry.kind, entry.decision) == ("rejection", "rejected")
    assert "better" in entry.why
    assert place.aliases() == {"champion": 1}
    assert agrees(place)


def test_a_look_is_entered_before_the_faces_are_read_even_where_nothing_comes_of_it(place: Place):
    def fail() -> None:
        raise Failed("the lights went out", "infrastructure")

    place.meanwhile = fail
    with pytest.raises(Failed, match="lights"):
        place.promote(place.register(0.5))
    assert kinds(place) == ["look"]
    data, test = place.book.entries()[0].data, lineage.held_out("demo")
    assert (data["dark_test"], data["test_faces"]) == (test.sha256, test.faces_sha256)
    assert test.sha256 == file_sha256(place.folder / "runs" / "demo" / "dark_test.parquet")


def test_what_was_decided_stands_and_takes_no_other_look(place: Place):
    place.promote(place.register(0.5))
    worse = place.register(0.3)
    first = place.promote(worse)
    assert place.promote(worse) == first
    assert place.promote(place.version(1)).number == 2  # it is champion
    assert kinds(place) == ["look", "promotion", "look", "rejection"]


def test_a_rejected_model_is_judged_again_once_champion_policy_or_test_set_is_another(place: Place):
    place.promote(place.register(0.5))
    worse = place.register(0.4)
    place.promote(worse)
    place.bring_test_set("second")
    place.promote(worse)
    place.with_looks(50)
    place.promote(worse)
    place.promote(place.register(0.9))
    place.promote(worse)
    assert place.scored == [(1, None), (2, 1), (2, 1), (2, 1), (3, 1), (2, 3)]
    # the flow asks once
    promotion.promote(place.policy, "demo", worse, Wish())
    assert len(place.scored) == 6


def test_a_test_set_that_has_served_its_looks_blocks_until_it_is_another(place: Place):
    place.with_looks(2)
    place.promote(place.register(0.5))
    place.promote(place.register(0.3))
    better = place.register(0.9)
    with pytest.raises(Failed, match=r"faces were looked at 2 times, gates\.holdout\.looks allows 2: bring") as failed:
        place.promote(better)
    assert failed.value.kind == "data"
    assert kinds(place) == ["look", "promotion", "look", "rejection"]
    place.bring_test_set("second")
    assert place.promote(better).kind == "promotion"


def test_the_same_faces_in_another_light_are_no_new_test_set(place: Place):
    place.with_looks(1)
    place.promote(place.register(0.5))
    place.show_in_light("another seed of the camera")
    with pytest.raises(Failed, match="faces were looked at 1 times"):
        place.promote(place.register(0.9))


def test_faces_that_are_missing_or_damaged_are_one_line_and_no_look(place: Place):
    candidate, faces = place.register(0.5), place.folder / "runs" / "demo" / "faces.parquet"
    faces.write_bytes(faces.read_bytes()[:-9])
    with pytest.raises(Failed, match=r"faces\.parquet: not a readable table"):
        place.promote(candidate)
    (place.folder / "runs" / "demo" / "dark_test.parquet").unlink()
    with pytest.raises(Failed, match=r"dark_test\.parquet: missing: run the stage that makes it"):
        place.promote(candidate)
    assert kinds(place) == []


def test_models_that_answered_other_faces_are_not_compared(place: Place):
    place.promote(place.register(0.5))
    place.astray.add(2)
    line = (
        "candidate and champion cannot be compared: row 0 is face other 0 at exposure 0.2 labelled a to the candidate"
    )
    with pytest.raises(Failed, match=line):
        place.promote(place.register(0.9))
    assert kinds(place) == ["look", "promotion", "look"]
    assert place.aliases() == {"champion": 1}


def test_what_the_gates_can_see_is_said_before_they_look(place: Place, capfd: pytest.CaptureFixture[str]):
    place.promote(place.register(0.5))
    assert capfd.readouterr().err == ""  # nothing to compare with
    said: list[str] = []
    place.meanwhile = lambda: said.append(capfd.readouterr().err)
    place.promote(place.register(0.7))
    assert said == ["better: with 400 faces and 10 % discordant pairs a gain of 6.4 points is shown with 80 %\n"]


def test_a_person_may_look_beyond_the_budget_and_it_is_written_down(place: Place):
    place.with_looks(1)
    place.promote(place.register(0.5))
    entry = place.promote(place.register(0.9), override=True, reason="the new camera")
    assert (entry.kind, entry.who) == ("override", "ada")
    assert entry.why.startswith("the new camera (the gates: ")
    assert kinds(place) == ["look", "promotion", "look", "override"]
    assert agrees(place)


def test_alpha_is_split_evenly_over_the_looks(place: Place):
    """214 against 200 of 400: enough for one look, too little for a tenth of it."""
    place.with_looks(1)
    place.promote(place.register(0.5))
    place.bring_test_set("second")
    barely = place.register(0.515)
    assert place.promote(barely).kind == "promotion"
    place.with_looks(100)
    place.bring_test_set("third")
    assert place.promote(place.register(0.53)).kind == "rejection"


def test_a_dry_run_is_a_look_and_nothing_else(place: Place):
    candidate = place.register(0.5)
    judged = promotion.judge(place.policy, "demo", candidate, Wish(who="ada"))
    assert judged.promote
    assert kinds(place) == ["look"]
    assert place.aliases() == {}


def test_whoever_is_overtaken_is_judged_again_against_the_new_champion(place: Place):
    place.promote(place.register(0.5))
    slow, quick = place.register(0.7), place.register(0.8)

    def overtake() -> None:
        place.meanwhile = lambda: None
        place.promote(quick)

    place.meanwhile = overtake
    entry = place.promote(slow)
    assert (entry.kind, entry.champion) == ("rejection", quick.identity)
    assert place.scored == [(1, None), (2, 1), (3, 1), (2, 3)]
    assert place.aliases() == {"champion": 3, "previous": 1}
    assert agrees(place)


def test_of_two_who_promote_the_same_version_one_does_and_the_other_is_told(place: Place):
    candidate = place.register(0.5)
    first: list[Entry] = []

    def same() -> None:
        place.meanwhile = lambda: None
        first.append(place.promote(candidate))

    place.meanwhile = same
    assert place.promote(candidate) == first[0]
    assert kinds(place).count("promotion") == 1


def test_a_promotion_waits_for_a_word_and_is_approved_or_refused(place: Place):
    place.promote(place.register(0.5))
    entry = place.promote(place.register(0.7), require_approval=True)
    assert (entry.kind, entry.decision) == ("request", "awaits approval")
    assert place.aliases() == {"champion": 1}
    assert promotion.approve(place.policy, "demo", "grace", "", reject=True).kind == "refusal"
    assert decision_about(place, 2) == "rejected"
    place.promote(place.version(2), require_approval=True)  # a person may ask again
    answer = promotion.approve(place.policy, "demo", "grace", "seen in the lab")
    assert (answer.kind, answer.who, answer.why) == ("approval", "grace", "seen in the lab")
    assert answer.gates == entry.gates
    assert place.aliases() == {"champion": 2, "previous": 1}
    with pytest.raises(Failed, match="nothing awaits approval"):
        promotion.approve(place.policy, "demo", "grace", "")
    assert agrees(place)


def test_what_does_not_load_any_more_is_not_approved(place: Place):
    place.promote(place.register(0.5), require_approval=True)
    place.broken.add(1)
    with pytest.raises(Failed, match="version 1 does not load"):
        promotion.approve(place.policy, "demo", "grace", "")
    assert place.aliases() == {}


def description(place: Place, number: int) -> str:
    return place.client.get_model_version(MODEL, str(number)).description


def test_a_request_lapses_with_the_champion_it_was_judged_against_and_may_be_made_again(place: Place):
    place.promote(place.register(0.5), require_approval=True)
    assert description(place, 1).startswith("**awaits approval**")
    place.promote(place.register(0.7))
    with pytest.raises(Failed, match="nothing awaits approval"):
        promotion.approve(place.policy, "demo", "grace", "")
    assert decision_about(place, 1) == "no longer awaits approval"
    assert description(place, 1).startswith("**no longer awaits approval**")
    for share_right in (0.9, 0.95):
        place.promote(place.register(share_right), require_approval=True)
    assert [decision_about(place, number) for number in (3, 4)] == ["no longer awaits approval", "awaits approval"]
    assert place.promote(place.version(3), require_approval=True).kind == "request"
    assert promotion.approve(place.policy, "demo", "grace", "").candidate.version == 3
    assert agrees(place)


def test_a_request_outlives_the_rejection_of_another_version(place: Place):
    """The nightly run must not take away what a person is to decide."""
    place.promote(place.register(0.5))
    place.promote(place.register(0.7), require_approval=True)
    place.promote(place.register(0.3))
    assert decision_about(place, 2) == "awaits approval"
    assert promotion.approve(place.policy, "demo", "grace", "").candidate.version == 2


def three_champions(place: Place) -> None:
    for share_right in (0.5, 0.7, 0.9):
        place.promote(place.register(share_right))


def back(place: Place, to: int | None = None) -> Entry:
    return promotion.rollback(place.policy, "demo", to, "grace", "it dazzles")


def test_a_rollback_goes_to_the_one_before_or_to_any_that_was_champion(place: Place):
    three_champions(place)
    entry = back(place)
    assert (entry.kind, entry.candidate.version, entry.why) == ("rollback", 2, "it dazzles")
    assert place.aliases() == {"champion": 2, "previous": 1}
    back(place, 1)
    assert place.aliases() == {"champion": 1}
    with pytest.raises(Failed, match="no champion before this one"):
        back(place)
    back(place, 3)
    assert place.aliases()["champion"] == 3
    assert agrees(place)


@pytest.mark.parametrize(("to", "line"), [(3, "version 3 is champion"), (4, "never was champion: allowed is 1, 2, 3")])
def test_a_rollback_to_nowhere_is_refused(place: Place, to: int, line: str):
    three_champions(place)
    place.promote(place.register(0.1))
    with pytest.raises(Failed, match=line):
        back(place, to)


def test_a_rollback_to_what_does_not_load_is_refused_and_nothing_moves(place: Place):
    three_champions(place)
    place.broken.add(2)
    with pytest.raises(Failed, match="version 2 does not load"):
        back(place)
    assert place.aliases() == {"champion": 3, "previous": 2}


def test_what_was_rolled_back_is_not_promoted_again_unless_it_is_asked_for_by_number(place: Place):
    three_champions(place)
    back(place)
    assert decision_about(place, 3) == "rolled back"
    assert promotion.choose(place.policy, "demo", None).number == 2
    flow = promotion.promote(place.policy, "demo", place.version(3), Wish())
    assert flow.kind == "rollback"  # the flow leaves it at that
    assert place.aliases()["champion"] == 2
    named = promotion.choose(place.policy, "demo", 3)
    assert place.promote(named).kind == "promotion"
    assert decision_about(place, 3) == "promoted"


def test_a_version_that_is_none_is_one_line(place: Place):
    with pytest.raises(Failed, match="has no version to promote"):
        promotion.choose(place.policy, "demo", None)
    place.register(0.5)
    with pytest.raises(Failed, match="has no version 7: there is 1"):
        promotion.choose(place.policy, "demo", 7)


def test_a_candidate_that_does_not_load_is_rejected_and_says_why(place: Place):
    place.promote(place.register(0.5))
    broken = place.register(0.9)
    place.broken.add(2)
    entry = place.promote(broken)
    assert entry.kind == "rejection"
    assert "version 2 does not load" in entry.why
    assert kinds(place) == ["look", "promotion", "rejection"]  # no face was read
    with pytest.raises(Failed, match="what does not load is not promoted"):
        place.promote(broken, override=True, reason="I know it")


def test_a_champion_that_does_not_load_stops_everything(place: Place):
    place.promote(place.register(0.5))
    place.broken.add(1)
    with pytest.raises(Failed, match="version 1 does not load"):
        place.promote(place.register(0.9))
    assert place.aliases() == {"champion": 1}


def test_a_champion_deleted_from_the_registry_is_named_with_both_ways_out(place: Place):
    three_champions(place)
    place.client.delete_model_version(MODEL, "3")
    line = r"version 3 is champion and gone from the registry: 'lldif rollback demo'"
    with pytest.raises(Failed, match=line):
        place.promote(place.register(0.95))
    assert [line in fault for fault in history.verify(place.policy, "demo").faults for line in ["gone"]] == [True]
    back(place)
    assert place.aliases() == {"champion": 2, "previous": 1}
    assert agrees(place)


def test_a_hand_moved_alias_is_reported_and_not_repaired(place: Place):
    three_champions(place)
    tracking.set_alias(place.client, MODEL, "champion", 1)
    line = (
        "lldif-demo: @champion is version 1, and the ledger says version 3: moved by hand; "
        "'lldif rollback demo --to 3 --reason TEXT' puts it back, "
        "'lldif promote demo 1 --override --reason TEXT' keeps it"
    )
    found = history.verify(place.policy, "demo")
    assert (found.faults, found.repaired) == ((line,), ())
    with pytest.raises(Failed, match="moved by hand"):
        place.promote(place.register(0.95))
    assert place.aliases()["champion"] == 1


def test_both_ways_out_of_a_hand_moved_alias_lead_out(place: Place):
    three_champions(place)
    tracking.set_alias(place.client, MODEL, "champion", 1)
    back(place, 3)
    assert place.aliases() == {"champion": 3, "previous": 2}
    tracking.set_alias(place.client, MODEL, "champion", 1)
    place.promote(place.version(1), override=True, reason="I prefer it")
    assert place.aliases() == {"champion": 1, "previous": 3}
    assert agrees(place)


def test_a_champion_from_before_the_ledger_is_reported_and_can_be_entered(place: Place):
    place.register(0.5)
    tracking.set_alias(place.client, MODEL, "champion", 1)
    with pytest.raises(Failed, match="the ledger says none"):
        place.promote(place.register(0.9))
    place.promote(place.version(1), override=True, reason="champion before there was a ledger")
    assert place.promote(place.version(2)).kind == "promotion"
    assert agrees(place)


def test_a_ledger_that_lost_its_end_is_reported(place: Place):
    three_champions(place)
    for number in (5, 6):
        (place.folder / "ledger" / f"00000{number}.json").unlink()
    assert history.verify(place.policy, "demo").faults == (
        "lldif-demo has followed entry 6, and the ledger's last decision is 4: entries are lost",
    )


def test_a_ledger_that_lost_everything_is_reported_though_no_experiment_is_named(place: Place):
    three_champions(place)
    for path in (place.folder / "ledger").iterdir():
        path.unlink()
    assert history.verify(place.policy, None).faults == (
        "lldif-demo has followed entry 6, and the ledger's last decision is 0: entries are lost",
    )


def test_an_alias_set_by_hand_where_nothing_was_ever_decided_is_reported(place: Place):
    three_champions(place)
    place.client.create_registered_model("lldif-other")
    place.client.create_registered_model("somebody-elses")
    for model in ("lldif-other", "somebody-elses"):
        place.client.create_model_version(model, "file:///nowhere/1")
        tracking.set_alias(place.client, model, "champion", 1)
    (fault,) = history.verify(place.policy, None).faults
    assert fault.startswith("lldif-other: @champion is version 1, and the ledger says none: moved by hand")


def test_a_version_under_the_champions_number_with_other_weights_is_not_taken_for_it(place: Place):
    place.promote(place.register(0.5))
    place.client.set_model_version_tag(MODEL, "1", "weights_sha256", "0" * 64)
    with pytest.raises(following.Astray, match="version 1 is champion and gone from the registry"):
        place.promote(place.register(0.9))


def test_the_registrys_pages_tell_the_story(place: Place):
    place.promote(place.register(0.5))
    place.promote(place.register(0.7))
    back(place)
    found = place.client.get_model_version(MODEL, "2")
    for words in ("**rolled back**", "| passed | better |", "### Model card", "**Ethics**", "**Licence", "**Limits**"):
        assert words in found.description
    assert "      0.2  0.700  ############################" in found.description
    assert len(found.description) <= 5000
    assert {name: found.tags[name] for name in ("decision", "gate.better", "gate.sound", "ledger.entry")} == {
        "decision": "rolled back",
        "gate.better": "pass",
        "gate.sound": "pass",
        "ledger.entry": "4",
    }
    assert len(found.tags["policy_sha256"]) == 64


def test_the_verdict_of_a_gate_that_is_declared_no_longer_leaves_the_tags(place: Place):
    place.promote(place.register(0.5))
    place.promote(place.register(0.3))
    declared = tuple(gate for gate in place.policy.gates.declared if gate.name != "floor")
    place.policy = place.policy.model_copy(
        update={"gates": place.policy.gates.model_copy(update={"declared": declared})}
    )
    place.promote(place.version(2))
    tags = place.version(2).tags
    assert sorted(name for name in tags if name.startswith("gate.")) == ["gate.better", "gate.sound"]
    assert tags["git.dirty"] == "false"  # what is no verdict stays


def test_many_gates_with_long_reasons_leave_room_for_the_card(place: Place):
    place.promote(place.register(0.5))
    (_, promoted) = place.book.entries()
    gates = tuple(promoted.gates[0] | {"name": f"gate_{number}", "why": "word " * 90} for number in range(15))
    description, _ = card.of((promoted.model_copy(update={"gates": gates}),), "demo", place.version(1))
    assert len(description) <= card.LENGTH
    assert description.count("| passed |") == 15
    assert description.endswith(card.ETHICS)


def test_history_tells_a_verdict_in_sentences_with_the_interval_drawn(place: Place):
    three_champions(place)
    story = history.story(place.book.entries(), "demo", 3)
    assert story.startswith("demo version 3: promoted, champion now\n")
    assert "The gates in entry 6, against version 2:" in story
    drawn = [line for line in story.splitlines() if "limit" in line and "[" in line]
    assert drawn
    assert all("o" in line and "|" in line for line in drawn)
    with pytest.raises(Failed, match="nothing was decided about version 9"):
        history.story(place.book.entries(), "demo", 9)
    lines = history.text(place.book.entries()).splitlines()
    assert len(lines) == 6
    assert "promotion" in lines[5]


def test_a_verification_is_json_of_entries_proof_and_repairs(place: Place):
    place.promote(place.register(0.5))
    found = json.loads(json.dumps(history.verify(place.policy, None).as_json()))
    assert (found["verified"], found["repaired"], found["faults"]) == (True, [], [])
    assert [entry["number"] for entry in found["entries"]] == [1, 2]
    path = Path(place.folder / "ledger" / "000001.json")
    path.write_bytes(path.read_bytes().replace(b'"who":"ada"', b'"who":"eve"'))
    found = history.verify(place.policy, None).as_json()
    assert not found["verified"]
    assert "000001.json: changed after it was written" in found["faults"][0]


def test_figures_that_do_not_exist_are_null(place: Place):
    assert plain({"a": float("nan"), "b": (1, float("inf"))}) == {"a": None, "b": [1, None]}
    assert ledger.canonical(plain([float("nan")])) == b"[null]"
