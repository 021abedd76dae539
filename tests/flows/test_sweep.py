"""`lldif sweep` and the stage, with Ray: what they find, leave and tell. 3 min on two cores."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from clones import REPOSITORY, Clone, free_port, hashes
from sweeps import before_a_sweep, change_sweep, check_runs, journal, reports, runs, state_of


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Clone:
    """Half a GPU is asked for, which the machines that run this file do not have."""
    return before_a_sweep(tmp_path_factory.mktemp("ready") / "clone", gpus_per_trial=0.5)


@pytest.fixture(scope="module")
def explored(ready) -> tuple[Clone, dict[str, Any], str]:
    """Once swept: the clone, its answer, and standard error."""
    before = hashes(ready.path / "runs")
    done = ready.run("lldif", "sweep", "demo", "--json", CUDA_VISIBLE_DEVICES="")
    assert hashes(ready.path / "runs") == before
    return ready, json.loads(done.stdout), done.stderr


def test_poor_trials_are_stopped_and_the_best_finish(explored):
    _, answer, _ = explored
    trials = answer["trials"]
    assert [one["number"] for one in trials] == list(range(6))
    stopped = [one for one in trials if one["status"] == "stopped"]
    assert stopped
    assert all(one["stopped_by"] == "asha" and 1 <= one["epochs"] < 4 for one in stopped)
    finished = [one for one in trials if one["status"] == "finished"]
    assert finished
    assert all(one["stopped_by"] is None and one["epochs"] == 4 for one in finished)
    assert len(stopped) + len(finished) == 6
    assert answer["epochs"]["spent"] == sum(one["epochs"] for one in trials) < answer["epochs"]["in_full"] == 24


def test_the_first_trial_is_what_the_params_file_says(explored):
    clone, answer, _ = explored
    assert answer["trials"][0]["parameters"]["optim.muon_rate"] == clone.params()["optim"]["muon_rate"]
    assert len({json.dumps(one["parameters"]) for one in answer["trials"]}) == 6


def test_the_winner_is_confirmed_with_new_seeds_against_the_defaults(explored):
    clone, answer, _ = explored
    best = answer["best"]
    seed = clone.params()["compute"]["seed"]
    assert best["seeds"] == [seed + 1, seed + 2]
    assert 0 in best["trials"]
    again = {one["number"]: one["confirmations"] for one in answer["trials"] if one["confirmations"]}
    assert sorted(again) == best["trials"]
    for row in best["confirmed"]:
        assert row["accuracies"] == [one["valid_accuracy"] for one in again[row["trial"]]]
    assert best["says"]
    assert answer["epochs"]["confirmation"] == 2 * 2 * len(best["trials"])
    assert answer["seconds"]["search"] > 0 < answer["seconds"]["confirmation"]


def test_each_trial_is_a_nested_run_of_mlflow_once_and_ended(explored):
    clone, answer, _ = explored
    check_runs(clone, answer)
    (parent,) = (run for run in runs(clone) if run["id"] == answer["mlflow_run"])
    curve = [value for _, value in parent["metrics"]["best_valid_accuracy"]]
    assert curve == sorted(curve)
    artifacts = {path.name for path in clone.path.joinpath("mlartifacts").rglob("*") if path.is_file()}
    assert {"parallel_coordinates.svg", "best_so_far.svg", "trials_table.json", "best.json"} <= artifacts


def test_a_trial_is_measured_by_the_same_names_as_the_final_training(explored):
    clone, _, _ = explored
    history = json.loads((clone.path / "runs" / "demo" / "prior_history.json").read_text())
    trial = next(run for run in runs(clone) if run["tags"].get("stage") == "trial")
    assert set(trial["metrics"]) == set(history[0]) - {"epoch"}


def test_standard_error_holds_our_lines_alone(explored):
    _, _, errors = explored
    lines = errors.splitlines()
    assert all(line.startswith(("sweep demo: ", "sweep: ")) for line in lines), errors
    assert sum(" began; " in line for line in lines) >= 6
    assert "sweep: gpus_per_trial is 0.5, and there is no GPU: trials run on CPUs" in lines


def test_nothing_of_git_s_or_dvc_s_is_touched(explored):
    clone, _, _ = explored
    assert clone.git("status", "--porcelain") == ""
    assert not (clone.path / "dvc.lock").exists()


def test_no_checkpoint_is_left_of_what_has_ended(explored):
    clone, _, _ = explored
    assert list(state_of(clone).rglob("*.safetensors")) == []


def test_the_same_command_again_trains_nothing_and_says_the_same(explored):
    clone, answer, _ = explored
    before = journal(clone), runs(clone)
    done = clone.run("lldif", "sweep", "demo", "--json")
    assert json.loads(done.stdout) == answer
    assert (journal(clone), runs(clone)) == before


def test_where_mlflow_does_not_answer_the_answer_is_given_and_the_same_command_tells_it_later(explored, tmp_path):
    clone = explored[0].copy(tmp_path / "clone")
    (clone.path / "mlflow.db").unlink()
    away = clone.run("lldif", "sweep", "demo", "--json", code=1, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    answer = json.loads(away.stdout)
    assert answer["trials"] == explored[1]["trials"]
    assert away.stderr.splitlines()[-1].startswith("lldif: MLflow at http://127.0.0.1:9: does not answer; the same")
    check_runs(clone, json.loads(clone.run("lldif", "sweep", "demo", "--json").stdout))


def test_the_winner_is_adopted_where_it_is_better_than_the_defaults(explored, tmp_path):
    """The journal is made to tell of a search in which trial 3 did best, in every training."""
    clone = explored[0].copy(tmp_path / "clone")
    path = state_of(clone) / "sweep.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    jobs = [line["job"] for line in lines if line["event"] == "job" and "seed" not in line["job"]["name"]]
    seed = clone.params()["compute"]["seed"]
    again = [
        {**job, "name": f"{job['name']}-seed-{one}", "seed": one, "epochs": 2}
        for one in (seed + 1, seed + 2)
        for job in (jobs[3], jobs[0])
    ]
    told: list[dict[str, Any]] = [{"event": "opened", "time": 1.0, "phase": "search"}]
    for job in [*jobs, *again]:
        accuracy = (0.9 if job["trial"] == 3 else 0.3) + job["seed"] / 1000
        figures = {"valid_accuracy": accuracy}
        told.append({"event": "job", "time": 1.0, "job": job})
        told += [
            {"event": "report", "time": 2.0, "name": job["name"], "epoch": epoch, "metrics": figures}
            for epoch in range(1, job["epochs"] + 1)
        ]
        told.append({"event": "ended", "time": 3.0, "name": job["name"], "status": "finished", "stopped_by": None})
        told[-1]["error"] = None
    path.write_text("".join(json.dumps(line) + "\n" for line in told))
    before = (clone.path / "params" / "demo.yaml").read_text()
    answer = json.loads(clone.run("lldif", "sweep", "demo", "--json", "--adopt").stdout)
    assert (answer["adopted"], answer["best"]["trial"]) == (True, 3)
    content = clone.params()
    for name, value in answer["best"]["parameters"].items():
        section = content
        for part in name.split("."):
            section = section[part]
        assert section == value
    assert len(before.splitlines()) == len((clone.path / "params" / "demo.yaml").read_text().splitlines())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nothing"], "params/live.yaml: nothing is not live (no params file either): live are demo"),
        (["demo", "--trials", "0"], "Invalid value for '--trials': 0 is not in the range x>=1"),
        (["demo", "--scheduler", "median"], "'median' is not one of 'asha', 'none'"),
    ],
)
def test_what_cannot_be_is_said_before_ray_starts(ready, arguments, line):
    done = ready.run("lldif", "sweep", *arguments, code=2)
    assert line in done.stderr
    assert done.stdout == ""


def test_a_machine_too_small_for_a_trial_is_one_line(ready, tmp_path):
    clone = Clone(tmp_path / "clone", ready.environment)
    shutil.copytree(ready.path, clone.path)
    change_sweep(clone, cpus_per_trial=4096)
    done = clone.run("lldif", "sweep", "demo", code=2)
    assert done.stderr.startswith("lldif: sweep.cpus_per_trial: 4096: the largest node has ")
    assert len(done.stderr.splitlines()) == 1


def test_a_cluster_that_nobody_named_is_not_joined(ready, tmp_path):
    """It has more CPUs than this machine: a trial that asks for all of them would fit there."""
    from ray.cluster_utils import Cluster

    clone = Clone(tmp_path / "clone", ready.environment)
    shutil.copytree(ready.path, clone.path)
    cores = len(os.sched_getaffinity(0))
    change_sweep(clone, cpus_per_trial=cores + 1)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cores + 1})
    try:
        done = clone.run("lldif", "sweep", "demo", code=2)
    finally:
        cluster.shutdown()
    assert done.stderr == f"lldif: sweep.cpus_per_trial: {cores + 1}: the largest node has {cores}\n"


def test_a_cluster_that_does_not_answer_is_told_by_its_address(ready):
    address = f"127.0.0.1:{free_port()}"
    done = ready.run("lldif", "sweep", "demo", "--trials", "3", code=2, RAY_ADDRESS=address)
    assert done.stderr.startswith(f"lldif: RAY_ADDRESS: no Ray cluster answers at {address}; ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("trials", "budget", "most"), [(6, {"epochs": 3}, 5), (0, {"minutes": 0.001}, 3)])
def test_the_budget_that_is_spent_first_ends_the_search(ready, tmp_path, trials, budget, most):
    """The epochs at hand are ended: so many more as trials were at work."""
    clone = Clone(tmp_path / "clone", ready.environment)
    shutil.copytree(ready.path, clone.path)
    change_sweep(clone, trials=trials, scheduler="none", confirm={"best": 0, "seeds": 2, "in_stage": False})
    arguments = [part for name, value in budget.items() for part in (f"--{name}", str(value))]
    answer = json.loads(clone.run("lldif", "sweep", "demo", "--json", *arguments).stdout)
    assert answer["epochs"]["spent"] <= most
    assert {one["stopped_by"] for one in answer["trials"]} == {"budget"}
    assert answer["trials"][0]["epochs"] >= 1
    check_runs(clone, answer)


@pytest.fixture(scope="module")
def swept(ready, tmp_path_factory) -> Clone:
    """Two trials of an epoch, in the pipeline's stage."""
    clone = Clone(tmp_path_factory.mktemp("swept") / "clone", ready.environment)
    shutil.copytree(ready.path, clone.path)
    change_sweep(clone, trials=2, epochs_per_trial=1, scheduler="none", gpus_per_trial=0)
    clone.run("lldif", "stage", "sweep", "demo")
    return clone


def test_every_trial_ends_and_the_best_single_training_is_named_so(swept):
    best, trials = outputs(swept)
    assert [(row["number"], row["status"], row["error"]) for row in trials] == [
        (0, "finished", None),
        (1, "finished", None),
    ]
    assert best["mean"] == max(row["valid_accuracy"] for row in trials)
    assert best["spread"] is None
    assert "not told from luck" in best["says"]


def test_nothing_in_the_outputs_tells_when_or_where(swept):
    for name in ("best.json", "trials.json"):
        text = (swept.path / "runs" / "demo" / name).read_text()
        assert str(swept.path) not in text
        assert "time" not in text


def test_the_same_sweep_gives_the_same_bytes_though_trials_race(swept):
    before = {name: (swept.path / "runs" / "demo" / name).read_bytes() for name in ("best.json", "trials.json")}
    fingerprint = (swept.path / "state" / "latest" / "sweep@demo").read_text()
    shutil.rmtree(swept.path / "state" / fingerprint)
    swept.run("lldif", "stage", "sweep", "demo")
    assert {name: (swept.path / "runs" / "demo" / name).read_bytes() for name in before} == before


def test_without_trials_ray_does_not_start(ready, tmp_path):
    clone = Clone(tmp_path / "clone", ready.environment)
    shutil.copytree(ready.path, clone.path)
    change_sweep(clone, trials=0)
    clone.run("lldif", "stage", "sweep", "demo")
    assert outputs(clone) == ({"trial": None, "parameters": {}}, [])
    fingerprint = (clone.path / "state" / "latest" / "sweep@demo").read_text()
    assert not (clone.path / "state" / fingerprint / "sweep.jsonl").exists()


def test_what_was_found_is_a_dependency_of_the_final_training():
    graph = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    assert "runs/${key}/best.json" in graph["sweep"]["do"]["outs"]
    assert "runs/${key}/best.json" in graph["train_diffusion"]["do"]["deps"]


def outputs(clone: Clone) -> tuple[Any, Any]:
    folder: Path = clone.path / "runs" / "demo"
    return json.loads((folder / "best.json").read_text()), json.loads((folder / "trials.json").read_text())


def test_an_epoch_is_trained_once(explored):
    clone, _, _ = explored
    done = reports(clone)
    assert len(done) == len(set(done))
