"""Decision 12: what old work leaves is bounded, and what is needed stays.

Folders in a temporary place, 3 s; one real clone with its registry, 20 s.
"""

import json
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from clones import Clone, hashes
from hypothesis import given, settings
from hypothesis import strategies as st

from components.records import file_sha256
from flows import retention, staging
from flows.policy import Retention

NOW = 2_000_000_000.0
RULES = Retention(whole_states_per_stage=2, state_days=30, gate_days=7, report_days=7, unregistered_runs_per_stage=0)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place(monkeypatch, tmp_path)
    return tmp_path


def place(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr(retention, "ROOT", root)
    monkeypatch.setattr(retention, "STATE", root / "state")
    monkeypatch.setattr(retention, "REPORTS", root / "reports")
    monkeypatch.setattr(retention, "RUN_LOCK", root / "state" / "run.lock")


@dataclass(frozen=True)
class Past:
    """One attempt at a stage."""

    stage: str
    ended: str  # "ok", "failed" or "killed"
    days_ago: float
    is_newest: bool = False
    is_current: bool = False


def leave(root: Path, number: int, past: Past) -> Path:
    """The state folder of an attempt, as a stage and a sweep leave it."""
    folder = root / "state" / f"{number:064x}"
    for name in ("checkpoint.safetensors", "reports.jsonl", "lock", "trials/3/checkpoint.safetensors", "ray/trial/x"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    output = root / "runs" / f"{number}"
    if past.is_current:
        output.parent.mkdir(exist_ok=True)
        output.write_text(str(number))
    artifact = {"path": f"runs/{number}", "sha256": file_sha256(output) if past.is_current else "0"}
    if past.ended != "killed":
        outcome = {"stage": f"{past.stage}@demo", "ok": past.ended == "ok", "artifacts": [artifact]}
        (folder / "outcome.json").write_text(json.dumps(outcome))
    if past.is_newest:
        (root / "state" / "latest").mkdir(exist_ok=True)
        (root / "state" / "latest" / f"{past.stage}@demo").write_text(folder.name)
    age(folder, past.days_ago)
    return folder


def age(path: Path, days: float) -> None:
    for file in (path, *path.rglob("*")):
        os.utime(file, (NOW - 86400 * days,) * 2)


def clean(rules: Retention = RULES) -> list[str]:
    """What goes, which must be just what a dry run lists."""
    listed = retention.old_files(rules, NOW)
    assert all(retention.remove_file(one) for one in listed)
    return [one.name for one in listed]


def test_checkpoints_and_rays_files_of_finished_states_go_beyond_the_newest_and_the_truth_stays(project: Path):
    states = [leave(project, days, Past("train_prior", "ok", days, is_newest=days == 1)) for days in (1, 2, 3)]
    before = hashes(states[0]) | hashes(states[1])
    oldest = f"state/{states[2].name}"
    assert set(clean()) == {
        f"{oldest}/checkpoint.safetensors", f"{oldest}/trials/3/checkpoint.safetensors", f"{oldest}/ray"
    }  # fmt: skip
    assert set(hashes(states[2])) == {"reports.jsonl", "outcome.json", "lock"}
    assert hashes(states[0]) | hashes(states[1]) == before
    assert clean() == []


def test_the_newest_attempt_stays_whole_though_others_ended_after_it(project: Path):
    for number in (1, 2):
        leave(project, number, Past("train_prior", "ok", number))
    newest = leave(project, 3, Past("train_prior", "ok", 90, is_newest=True))  # an old one that was asked for again
    before = hashes(newest)
    assert clean() == []
    assert hashes(newest) == before


def test_stages_are_counted_apart(project: Path):
    for number, stage in enumerate(["train_prior", "train_prior", "train_baseline", "train_baseline"]):
        leave(project, number, Past(stage, "ok", number))
    assert clean() == []


def test_a_folder_goes_when_it_is_old_unless_an_output_comes_from_it(project: Path):
    for number in (1, 2):
        leave(project, number, Past("train_prior", "ok", number))
    old = leave(project, 3, Past("train_prior", "ok", 31))
    os.utime(old, (NOW, NOW))  # its checkpoint was cleaned today: that makes it no younger
    current = leave(project, 4, Past("train_prior", "ok", 32, is_current=True))
    clean()
    assert not old.exists()
    assert (current / "outcome.json").exists()


def test_a_failed_or_killed_state_keeps_what_a_resume_needs_however_old(project: Path):
    states = [leave(project, number, Past("train_prior", end, 900)) for number, end in enumerate(["failed", "killed"])]
    before = [hashes(state) for state in states]
    assert clean() == []
    assert [hashes(state) for state in states] == before
    assert retention.unfinished()[0] == 2


def test_a_state_at_work_is_left_alone_also_where_it_began_after_the_look(project: Path):
    for number in (1, 2):
        leave(project, number, Past("train_prior", "ok", number))
    working = leave(project, 3, Past("train_prior", "ok", 40))
    with staging.locked(working / "lock", ""):
        assert clean() == []
    found = retention.old_files(RULES, NOW)
    assert found
    with staging.locked(working / "lock", ""):
        assert not any(retention.remove_file(one) for one in found)
    (project / "state" / "latest").mkdir()
    (project / "state" / "latest" / "train_prior@demo").write_text(working.name)  # it is about to
    assert not any(retention.remove_file(one) for one in found)


def test_who_waited_for_a_folder_that_went_gets_a_new_one(project: Path):
    folder = leave(project, 1, Past("train_prior", "ok", 1))
    held, waited = threading.Event(), threading.Event()

    def wait() -> None:
        held.wait()
        with staging.locked(folder / "lock", ""):
            (folder / "reports.jsonl").write_text("new")
        waited.set()

    thread = threading.Thread(target=wait)
    thread.start()
    with staging.locked(folder / "lock", ""):
        held.set()
        thread.join(timeout=0.3)  # time to open the lock and wait for it
        folder.rename(folder.with_name(".trash-x"))
    assert waited.wait(10)
    assert (folder / "reports.jsonl").read_text() == "new"


def test_gate_predictions_and_reports_go_by_age_but_not_during_a_run(project: Path):
    for name in ("state/gate/demo/candidate.parquet", "reports/demo/old.html", "reports/demo/docs/a.html"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("x")
        age(project / name, 8)
    (project / "reports" / "demo" / "docs" / "b.html").write_text("x")
    age(project / "reports" / "demo" / "docs" / "b.html", 1)  # a folder is as old as its newest file
    with staging.locked(project / "state" / "run.lock", ""):
        assert clean() == []
    assert clean() == ["state/gate/demo", "reports/demo/old.html"]
    assert (project / "reports" / "demo" / "docs" / "a.html").exists()


def test_a_clean_that_was_killed_is_finished_by_the_next(project: Path, monkeypatch: pytest.MonkeyPatch):
    for number in (1, 2):
        leave(project, number, Past("train_prior", "ok", number))
    leave(project, 3, Past("train_prior", "ok", 40))

    def killed(path: Path) -> None:
        (path / "reports.jsonl").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(retention.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            clean()
    assert not (project / "state" / f"{3:064x}").exists()  # all or nothing, for whoever looks
    assert [Path(name).name for name in clean()] == [f".trash-{3:064x}"]
    assert not list((project / "state").rglob(".trash-*"))


pasts = st.lists(
    st.builds(
        Past,
        stage=st.sampled_from(["train_prior", "sweep"]),
        ended=st.sampled_from(["ok", "failed", "killed"]),
        days_ago=st.floats(0.1, 60),
        is_newest=st.booleans(),
        is_current=st.booleans(),
    ),
    max_size=8,
)


@settings(max_examples=15, deadline=None)
@given(pasts=pasts, whole=st.integers(1, 3))
def test_whatever_was_left_the_bounds_hold_and_nothing_needed_goes(pasts: list[Past], whole: int):
    rules = RULES.model_copy(update={"whole_states_per_stage": whole})
    with tempfile.TemporaryDirectory() as temporary, pytest.MonkeyPatch.context() as patch:
        root = Path(temporary)
        place(patch, root)
        (root / "state").mkdir()
        folders = [leave(root, number, past) for number, past in enumerate(pasts)]
        before = [hashes(folder) for folder in folders]
        newest = {path.read_text() for path in (root / "state").glob("latest/*")}
        clean(rules)
        for stage in ("train_prior", "sweep"):
            kept = [
                folder
                for folder, past in zip(folders, pasts, strict=True)
                if (past.stage, past.ended) == (stage, "ok")
                and folder.name not in newest
                and (folder / "checkpoint.safetensors").exists()
            ]
            assert len(kept) <= whole
        for folder, past, whole_before in zip(folders, pasts, before, strict=True):
            if past.ended != "ok" or folder.name in newest:
                assert hashes(folder) == whole_before
            if past.is_current or past.days_ago < RULES.state_days:
                assert (folder / "reports.jsonl").exists()
        assert clean(rules) == []


def test_a_real_clone_lists_cleans_and_goes_on(clone: Clone):
    policy = clone.path / "mlflow.yaml"
    policy.write_text(policy.read_text().replace("unregistered_runs_per_stage: 20", "unregistered_runs_per_stage: 0"))
    age(clone.path / "state" / "gate", (NOW - policy.stat().st_mtime) / 86400 + 40)
    (clone.path / "state" / "clean.lock").touch()
    before = hashes(clone.path / "mlartifacts") | hashes(clone.path / "state")
    listed = clone.answer("lldif", "clean", "--dry-run", "--json")
    assert hashes(clone.path / "mlartifacts") | hashes(clone.path / "state") == before
    done = clone.answer("lldif", "clean", "--json")
    assert {one["kind"] for one in done["gone"]} == {"gate", "artifacts"}
    assert [one["name"] for one in listed["gone"]] == [one["name"] for one in done["gone"]]
    assert done["cache_bytes"] > 0
    left = {Path(name).name for name in hashes(clone.path / "mlartifacts")}
    assert {"lldif_history.json", "lldif.safetensors"} <= left  # a version came from this run
    assert not {"prior_history.json", "baseline_history.json"} & left
    assert "removed: 0" in clone.run("lldif", "clean").stdout
    assert {stage["status"] for stage in clone.answer("lldif", "run", "demo", "--json")["stages"]} == {"cached"}
    down = clone.run("lldif", "clean", code=1, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert down.stderr == "lldif: artifacts were not looked at: MLflow at http://127.0.0.1:9: does not answer\n"
    assert "removed: 0" in down.stdout
