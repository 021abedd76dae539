"""A tiny clone in which all before a sweep ran, and what a sweep left there: its journal and its runs of MLflow."""

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

from clones import COMMANDS, Clone, fresh_clone

# trainings of seconds
TINY = {
    "trials": 6,
    "epochs_per_trial": 4,
    "reduction_factor": 2,
    "grace_epochs": 1,
    "scheduler": "asha",
    "confirm": {"best": 1, "seeds": 2, "in_stage": False},
}


def clean_environment() -> dict[str, str]:
    """Our commands first; no engine, store or bucket of whoever runs the tests."""
    foreign = ("MLFLOW_", "PREFECT_", "LLDIF_", "RAY_", "AWS_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return clean | {"PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}"}


def before_a_sweep(path: Path, **changes: Any) -> Clone:
    """A clone whose demo experiment is ready to be swept; `changes` are of the sweep section."""
    clone = fresh_clone(path, clean_environment())
    content = clone.params()
    content["ingest"] |= {"train": 140, "valid": 70, "test": 70}
    content["train_diffusion"]["epochs"] = 2
    content["sweep"] |= TINY | changes
    clone.set_params(content)
    for stage in ("ingest", "validate", "darken", "train_prior"):
        clone.run("lldif", "stage", stage, "demo")
    clone.git("commit", "-qam", "sweep")
    return clone


def change_sweep(clone: Clone, **changes: Any) -> None:
    content = clone.params()
    content["sweep"] |= changes
    clone.set_params(content)


def state_of(clone: Clone) -> Path:
    """Of the newest `lldif sweep demo`."""
    return clone.path / "state" / (clone.path / "state" / "latest" / "explore@demo").read_text()


def journal(clone: Clone) -> list[dict[str, Any]]:
    path = state_of(clone) / "sweep.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def reports(clone: Clone) -> list[tuple[str, int]]:
    """(job, epoch) as they came, those that were repeated too."""
    return [(line["name"], line["epoch"]) for line in journal(clone) if line["event"] == "report"]


def runs(clone: Clone) -> list[dict[str, Any]]:
    """Every run of MLflow's, asked of its database: id, status, tags, params, metrics (key -> [(step, value)])."""
    with sqlite3.connect(f"file:{clone.path / 'mlflow.db'}?mode=ro", uri=True) as database:
        found = [
            {"id": run, "status": status, "tags": {}, "params": {}, "metrics": {}}
            for run, status in database.execute("select run_uuid, status from runs")
        ]
        for run in found:
            run["tags"] = dict(database.execute("select key, value from tags where run_uuid = ?", (run["id"],)))
            run["params"] = dict(database.execute("select key, value from params where run_uuid = ?", (run["id"],)))
            rows = database.execute(
                "select key, step, value from metrics where run_uuid = ? order by key, step", (run["id"],)
            )
            for key, step, value in rows:
                run["metrics"].setdefault(key, []).append((step, value))
    return found


def check_runs(clone: Clone, answer: dict[str, Any]) -> None:
    """One run for the sweep, one nested in it for each trial, none twice, each ended as its trial did."""
    of_sweep = [run for run in runs(clone) if run["tags"].get("fingerprint") == answer["fingerprint"]]
    (parent,) = of_sweep
    assert parent["status"] == "FINISHED"
    nested = [run for run in runs(clone) if run["tags"].get("mlflow.parentRunId") == parent["id"]]
    assert sorted(int(run["tags"]["trial"]) for run in nested) == [one["number"] for one in answer["trials"]]
    ends = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
    for run in nested:
        trial = answer["trials"][int(run["tags"]["trial"])]
        assert run["status"] == ends[trial["status"]]
        assert run["tags"].get("stopped_by") == trial["stopped_by"]
        assert run["tags"].get("error") == trial["error"]
        assert run["params"] == {name: str(value) for name, value in trial["parameters"].items()}
        steps = [step for step, _ in run["metrics"].get("valid_accuracy", [])]
        assert steps == list(range(1, trial["epochs"] + 1))
        again = [one for one in runs(clone) if one["tags"].get("mlflow.parentRunId") == run["id"]]
        assert len(again) == len(trial["confirmations"])
        assert {one["status"] for one in again} <= {"FINISHED"}
