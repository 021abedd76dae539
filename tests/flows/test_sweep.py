"""A sweep inside one stage: Ray searches, the best trial is the best, every trial is in MLflow in its last state."""

import json
import subprocess
import sys
from typing import Any

import pytest
from clones import REPOSITORY, Clone

from components.records import DataError
from flows import sweep


def trial(number: int, accuracy: float, status: str = "finished") -> dict[str, Any]:
    history = [{"epoch": 1, "valid_accuracy": 0.9}, {"epoch": 2, "valid_accuracy": accuracy}]
    return {"trial": number, "status": status, "parameters": {"a": number}, "history": history, "error": None}


def test_the_best_trial_is_the_one_that_ended_best_and_of_equals_the_first():
    rows = [trial(0, 0.5), trial(1, 0.7), trial(2, 0.7), trial(3, 0.99, "stopped"), trial(4, 0.99, "failed")]
    assert sweep.best(rows) == {"trial": 1, "parameters": {"a": 1}, "valid_accuracy": 0.7}


def test_without_trials_the_params_file_stands_as_it_is():
    assert sweep.best([]) == {"trial": None, "parameters": {}}


def test_a_sweep_of_which_nothing_is_left_says_why():
    with pytest.raises(DataError, match=r"^every trial of the sweep failed; the first: out of memory$"):
        sweep.best([trial(0, 0.5, "failed") | {"error": "out of memory"}])


def test_no_trials_no_ray(finished):
    clone, _ = finished
    assert json.loads((clone.path / "runs/demo/best.json").read_text()) == {"trial": None, "parameters": {}}
    program = "import sys; from flows import sweep; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=False).returncode == 0


@pytest.fixture(scope="module")
def swept(finished, tmp_path_factory) -> Clone:
    """A finished clone in which the sweep has run anew, with two trials of an epoch."""
    clone = finished[0].copy(tmp_path_factory.mktemp("swept") / "clone")
    content = clone.params()
    content["sweep"] |= {"trials": 2, "epochs": 1}
    clone.set_params(content)
    clone.run("lldif", "stage", "sweep", "demo")
    return clone


def outputs(clone: Clone) -> tuple[Any, Any]:
    folder = clone.path / "runs" / "demo"
    return json.loads((folder / "best.json").read_text()), json.loads((folder / "trials.json").read_text())


def test_every_trial_ends_and_the_first_is_what_the_params_file_says(swept):
    best, trials = outputs(swept)
    content = swept.params()
    assert [(row["trial"], row["status"], row["error"]) for row in trials] == [
        (0, "finished", None),
        (1, "finished", None),
    ]
    assert trials[0]["parameters"]["optim.muon_rate"] == content["optim"]["muon_rate"]
    assert trials[1]["parameters"] != trials[0]["parameters"]
    assert all([report["epoch"] for report in row["history"]] == [1] for row in trials)
    assert best == sweep.best(trials)


def test_nothing_in_the_outputs_tells_when_or_where(swept):
    for name in ("best.json", "trials.json"):
        text = (swept.path / "runs" / "demo" / name).read_text()
        assert str(swept.path) not in text
        assert "time" not in text


def test_the_same_sweep_gives_the_same_bytes_though_trials_race(swept, tmp_path):
    folder = swept.path / "runs" / "demo"
    before = {name: (folder / name).read_bytes() for name in ("best.json", "trials.json")}
    again = swept.copy(tmp_path / "again")
    fingerprint = (again.path / "state" / "latest" / "sweep@demo").read_text()
    (again.path / "state" / fingerprint).rename(tmp_path / "gone")
    again.run("lldif", "stage", "sweep", "demo")
    assert {name: (again.path / "runs" / "demo" / name).read_bytes() for name in before} == before


def test_each_trial_is_a_nested_run_of_mlflow_once_and_ended(swept):
    program = """
import json, sys
from flows import policy, projection, tracking
rules = policy.load()
with tracking.reachable(rules) as client:
    for _ in range(2):  # what was projected stays as it is
        projection.project_runs(client, rules, "demo")
    folder = tracking.experiment_of(client, rules, "demo")
    found = [run for run in client.search_runs([folder]) if run.data.tags.get("stage") in ("sweep", "trial")]
    json.dump([
        {"id": r.info.run_id, "status": r.info.status, "tags": r.data.tags, "params": r.data.params, "metrics": r.data.metrics}
        for r in found
    ], sys.stdout)
"""  # noqa: E501
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=swept.path,
        env={**swept.environment, "PYTHONPATH": str(swept.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    runs = json.loads(done.stdout)
    (parent,) = (run for run in runs if run["tags"]["stage"] == "sweep")
    nested = {run["tags"]["trial"]: run for run in runs if run["tags"]["stage"] == "trial"}
    best, trials = outputs(swept)
    assert (len(runs), sorted(nested)) == (3, ["0", "1"])
    assert parent["status"] == "FINISHED"
    assert parent["tags"]["best_trial"] == str(best["trial"])
    for row in trials:
        run = nested[str(row["trial"])]
        assert (run["status"], run["tags"]["mlflow.parentRunId"]) == ("FINISHED", parent["id"])
        assert run["params"] == {name: str(value) for name, value in row["parameters"].items()}
        assert run["metrics"]["valid_accuracy"] == row["history"][-1]["valid_accuracy"]
