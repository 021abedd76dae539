"""`lldif promote`, `approve`, `rollback` and `history` with real models, in the clone that a run left. Two minutes."""

import json

import pytest
from clones import BETTER_THAN_MAJORITY, NOT_WORSE, Clone
from mlflow import MlflowClient

from components.records import file_sha256

PASSES = [BETTER_THAN_MAJORITY, NOT_WORSE | {"margin": 0.5}]
STABILITY = {"name": "steady", "metric": "stability", "exposures": [0.05], "limit": 0.01, "test": "bootstrap"}
OF_A_COST = {"kind": "cost", "ratio": 100, "confidence": 0.95, "on_inconclusive": "warn"}
OF_EVERY_KIND = [
    *PASSES,
    BETTER_THAN_MAJORITY | STABILITY,
    NOT_WORSE | {"kind": "slices", "name": "sources", "by": "source", "margin": 0.5},
    {"kind": "integrity", "name": "sound", "difference": 1e-5, "allow_dirty": True},
    OF_A_COST | {"name": "quick", "metric": "latency_p95"},
    OF_A_COST | {"name": "many", "metric": "faces_per_second", "ratio": 0.01},
    OF_A_COST | {"name": "small", "metric": "artefact_size"},
]
OF_EVERY_KIND[3].pop("slice")


def test_a_run_leaves_a_look_and_a_decision_and_they_hold(finished: tuple[Clone, dict]):
    clone, answer = finished
    found = clone.answer("lldif", "history", "demo", "--verify", "--json")
    assert (found["verified"], found["repaired"]) == (True, [])
    assert [entry["kind"] for entry in found["entries"]] == ["look", "promotion"]
    look, promotion = found["entries"]
    assert look["data"]["dark_test"] == promotion["data"]["dark_test"]
    assert promotion["who"] == "flow"
    assert promotion["gates"] == answer["gates"]
    assert {"faces", "dark_valid", "dark_test", "test_faces"} == set(promotion["data"])
    story = clone.run("lldif", "history", "1").stdout
    assert story.startswith("demo version 1: promoted, champion now")


def test_a_candidate_is_judged_by_its_own_code_whatever_becomes_of_ours_and_then_waits_for_a_word(clone: Clone):
    clone.set_gates(PASSES)
    twin = clone.twin()
    for module in (clone.path / "components" / "model").rglob("*.py"):
        module.write_text("raise RuntimeError('today this is broken')\n")
    asked = clone.answer("lldif", "promote", "demo", str(twin), "--require-approval", "--by", "ada", "--json")
    assert (asked["kind"], asked["who"], asked["candidate"]["version"]) == ("request", "ada", twin)
    assert clone.champion() == 1
    assert "awaits approval" in clone.run("lldif", "history", "demo", str(twin)).stdout
    given = clone.run("lldif", "approve", "demo", "--by", "grace", "--reason", "seen it").stdout
    assert given.startswith(f"promoted: lldif-demo version {twin} (entry ")
    assert clone.champion() == twin
    back = clone.answer("lldif", "rollback", "demo", "--reason", "it dazzles", "--json")
    assert (back["kind"], back["candidate"]["version"]) == ("rollback", 1)
    assert clone.champion() == 1
    assert clone.answer("lldif", "history", "--verify", "--json")["verified"]


def test_what_is_asked_wrongly_is_one_line(finished: tuple[Clone, dict]):
    clone, _ = finished
    for command, line in {
        ("rollback", "demo"): "lldif: rollback: --reason TEXT is missing: the ledger keeps it",
        ("promote", "demo", "--override"): "lldif: --override: --reason TEXT is missing: the ledger keeps it",
        ("promote", "demo", "9"): "lldif: lldif-demo has no version 9: there is 1",
        ("approve", "demo"): "lldif: demo: nothing awaits approval",
        ("history", "demo", "9"): "lldif: demo: nothing was decided about version 9",
    }.items():
        assert clone.run("lldif", *command, code=2).stderr == f"{line}\n"


def test_a_dry_run_moves_nothing_and_a_spent_test_set_blocks(clone: Clone):
    clone.set_gates(OF_EVERY_KIND)
    twin = clone.twin()
    judged = json.loads(clone.run("lldif", "promote", "demo", "--dry-run", "--json").stdout)
    assert (judged["candidate"]["version"], judged["promote"]) == (twin, True)
    assert clone.champion() == 1
    found = {gate["name"]: gate for gate in judged["gates"]}
    assert {name: gate["outcome"] for name, gate in found.items() if gate["kind"] != "cost"} == dict.fromkeys(
        ("better_than_majority", "not_worse_than_champion", "steady", "sources", "sound"), "pass"
    )
    assert [part["name"] for part in found["sources"]["parts"]] == ["source=embedded"]
    assert found["small"]["estimate"] == pytest.approx(1, abs=1e-3)  # MLflow writes the version's number beside it
    assert "8 rounds on " in found["quick"]["why"]
    assert "8 rounds on " in found["many"]["why"]
    policy = clone.path / "mlflow.yaml"
    policy.write_text(policy.read_text().replace("looks: 100", "looks: 2"))
    done = clone.run("lldif", "promote", "demo", code=1)
    line = "dark_test.parquet: its faces were looked at 2 times, gates.holdout.looks allows 2: bring new data"
    assert line in done.stderr
    client = MlflowClient(f"sqlite:///{clone.path / 'mlflow.db'}")
    assert "### Model card" in client.get_model_version("lldif-demo", "1").description


def test_the_look_is_entered_before_the_test_set_is_read(clone: Clone):
    """A table that cannot be read is known as such only by whoever opens it: by then the look stands."""
    clone.twin()
    table = clone.path / "runs" / "demo" / "dark_test.parquet"
    table.write_bytes(table.read_bytes()[:-50])
    done = clone.run("lldif", "promote", "demo", code=1)
    assert done.stderr.splitlines()[-1].startswith("lldif: runs/demo/dark_test.parquet: not a readable table")
    last = clone.answer("lldif", "history", "demo", "--json")["entries"][-1]
    assert (last["kind"], last["data"]["dark_test"]) == ("look", file_sha256(table))
