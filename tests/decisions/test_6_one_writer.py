"""Decision 6: one run at a time writes, and a stage does not outlive the run that asked for it."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from clones import Clone, end, hashes

STAGES = ("train_prior", "train_diffusion", "train_baseline")


def wait_for_epoch(clone: Clone, stage: str, process: "subprocess.Popen[str]") -> None:
    """Until the stage's checkpoint of a first epoch is on disk while it goes on."""
    latest = clone.path / "state" / "latest" / f"{stage}@demo"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if latest.exists() and (clone.path / "state" / latest.read_text() / "checkpoint.safetensors").exists():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError(f"{stage} never came to a checkpoint")


def at_work(clone: Clone) -> list[psutil.Process]:
    """Every process that works in the clone, zombies apart."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(clone.path):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def longer(clone: Clone) -> None:
    """Epochs enough to be killed among them, and no trace of the training before."""
    (clone.path / "state" / "latest" / "train_diffusion@demo").unlink()
    content = clone.params()
    content["train_diffusion"]["epochs"] = 7
    clone.set_params(content)


@pytest.fixture(scope="module")
def two_at_once(
    finished: tuple[Clone, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Clone, list[dict[str, Any]]]:
    """What the longer training comes to when nobody kills it, asked for by two runs at the same time; their answers."""
    clone = finished[0].copy(tmp_path_factory.mktemp("undisturbed") / "clone")
    longer(clone)
    first = clone.start("lldif", "run", "demo", "--json")
    second = clone.start("lldif", "run", "demo", "--json")
    try:
        return clone, [json.loads(process.communicate(timeout=400)[0]) for process in (first, second)]
    finally:
        end(first)
        end(second)


@pytest.mark.parametrize("command", [("lldif", "run", "demo", "--json"), ("dvc", "repro")])
def test_killed_in_mid_training_it_resumes_to_the_same_hashes(
    clone: Clone, two_at_once: tuple[Clone, list[dict[str, Any]]], command: tuple[str, ...]
):
    undisturbed, _ = two_at_once
    longer(clone)
    process = clone.start(*command)
    wait_for_epoch(clone, "train_diffusion", process)
    os.kill(process.pid, signal.SIGKILL)  # the top process alone
    process.wait()
    again = clone.run(*command, code=None)  # at once: it waits for what the killed run left at work
    assert "Traceback" not in again.stderr
    assert "train_diffusion@demo 7/7" in again.stderr + again.stdout
    assert "train_diffusion@demo 1/7" not in again.stderr + again.stdout  # it went on, not back
    assert hashes(clone.path / "runs") == hashes(undisturbed.path / "runs")
    assert (clone.path / "dvc.lock").read_bytes() == (undisturbed.path / "dvc.lock").read_bytes()
    fingerprint = (clone.path / "state" / "latest" / "train_diffusion@demo").read_text()
    reports = (clone.path / "state" / fingerprint / "reports.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in reports] == list(range(1, 8))


def test_nothing_is_left_at_work_after_a_kill(clone: Clone):
    """Neither stages nor DVC nor the server that Prefect starts for a run where none is named."""
    longer(clone)
    environment = {name: value for name, value in clone.environment.items() if name != "PREFECT_API_URL"}
    process = Clone(clone.path, environment).start("lldif", "run", "demo", "--json")
    wait_for_epoch(clone, "train_diffusion", process)
    assert any("uvicorn" in one.cmdline() for one in at_work(clone))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(at_work(clone), timeout=30)
    assert not alive


def test_two_runs_at_once_make_one_version(two_at_once: tuple[Clone, list[dict[str, Any]]]):
    _, answers = two_at_once
    assert {answer["version"] for answer in answers} == {2}
    ran = [stage["name"] for answer in answers for stage in answer["stages"] if stage["status"] == "ran"]
    assert sorted(ran) == ["evaluate", "sweep", "train_diffusion"]
