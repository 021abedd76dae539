"""Real `lldif promote` processes, killed and raced. Ten minutes: `make test-faults`, not `make test`."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from clones import BETTER_THAN_MAJORITY, Clone

pytestmark = pytest.mark.killing

ROUNDS = 10
MOMENTS = 10


@pytest.fixture
def open_gates(clone: Clone) -> Clone:
    """Whatever is clearly not worthless passes, so that every candidate would be champion."""
    clone.set_gates([BETTER_THAN_MAJORITY])
    return clone


def verified(clone: Clone) -> dict[str, Any]:
    """The proof, which must hold, and a champion that loads and is the one of the ledger."""
    found = clone.answer("lldif", "history", "demo", "--verify", "--json")
    assert found["verified"], found["faults"]
    crowned = [
        entry for entry in found["entries"] if entry["kind"] in ("promotion", "approval", "override", "rollback")
    ]
    assert clone.champion() == crowned[-1]["candidate"]["version"]
    return found


def check_champion_loads(clone: Clone, folder: Path) -> None:
    environment = clone.environment | {"MLFLOW_TRACKING_URI": f"sqlite:///{clone.path / 'mlflow.db'}"}
    folder.mkdir(exist_ok=True)
    scorer = [sys.executable, "-I", clone.path / "flows" / "scoring.py", "models:/lldif-demo@champion", folder]
    done = subprocess.run(scorer, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert '"components"' in done.stdout, done.stderr


def test_of_two_real_promotions_at_once_one_wins_each_of_10_rounds(open_gates: Clone, tmp_path: Path):
    clone, known = open_gates, len(verified(open_gates)["entries"])
    for turn in range(ROUNDS):
        before = clone.champion()
        first = clone.twin()
        second = first if turn % 2 else clone.twin()
        both = [clone.start("lldif", "promote", "demo", str(number), "--json") for number in (first, second)]
        ends = [process.communicate(timeout=1800) for process in both]
        assert [process.returncode for process in both] == [0, 0], ends
        found = verified(clone)
        entered, known = found["entries"][known:], len(found["entries"])
        new = [entry for entry in entered if entry["kind"] == "promotion"]
        assert found["repaired"] == []
        assert new[0]["champion"]["version"] == before  # the winner of the round
        if first == second:
            assert len(new) == 1
        else:  # the other was judged again, against the winner
            assert [entry["champion"]["version"] for entry in new[1:]] == [new[0]["candidate"]["version"]]
            looks = [entry for entry in entered if entry["kind"] == "look"]
            loser = new[1]["candidate"]["version"]
            rivals = [one["champion"]["version"] for one in looks if one["candidate"]["version"] == loser]
            assert rivals[-1] == new[0]["candidate"]["version"]
    check_champion_loads(clone, tmp_path / "champion")


def test_a_promotion_killed_at_any_moment_leaves_what_the_next_command_sets_right(open_gates: Clone, tmp_path: Path):
    clone, seed = open_gates, int(os.environ.get("SEED", time.time_ns() % 10**6))
    print(f"SEED={seed}")  # noqa: T201 (it tells how to see it again)
    moments = random.Random(seed)
    began = time.monotonic()
    clone.run("lldif", "promote", "demo", str(clone.twin()))
    whole_seconds = time.monotonic() - began
    outcomes = []
    for turn in range(MOMENTS):
        entries = len(list((clone.path / "ledger").glob("0*.json")))
        process = clone.start("lldif", "promote", "demo", str(clone.twin()))
        if turn % 2:  # anywhere
            time.sleep(moments.uniform(0, whole_seconds))
        else:  # about the decision: after the look and its entry, the registry is being written
            wait_for_entries(clone, entries + 2, process)
            time.sleep(moments.uniform(0, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        outcomes.append(verified(clone)["repaired"])
        assert len(outcomes[-1]) <= 1
        check_champion_loads(clone, tmp_path / "champion")
        if outcomes[-1]:
            assert verified(clone)["repaired"] == []
    print(outcomes)  # noqa: T201


def wait_for_entries(clone: Clone, count: int, process: "subprocess.Popen[str]") -> None:
    while len(list((clone.path / "ledger").glob("0*.json"))) < count and process.poll() is None:
        time.sleep(0.005)
