"""Decision 4: MLflow shows what is on disk; no stage needs it, nothing is lost or doubled."""

import json
import shutil

from clones import Clone
from mlflow import MlflowClient

from components.learning import compute

NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody answers


def client(clone: Clone) -> MlflowClient:
    return MlflowClient(f"sqlite:///{clone.path / 'mlflow.db'}")


def runs(clone: Clone) -> dict[str, list]:
    mlflow = client(clone)
    folder = mlflow.get_experiment_by_name("lldif/demo").experiment_id
    found: dict[str, list] = {}
    for run in mlflow.search_runs([folder]):
        found.setdefault(run.data.tags["stage"], []).append(run)
    return found


TRAININGS = ("train_prior", "train_diffusion", "train_baseline")


def check_whole(clone: Clone) -> None:
    """One run a training, ended, with every epoch exactly once."""
    found = runs(clone)
    assert {stage: len(of) for stage, of in found.items()} == dict.fromkeys((*TRAININGS, "validate"), 1)
    assert found["validate"][0].data.metrics == {"rules": 19, "errors": 0, "warnings": 0}
    for stage in TRAININGS:
        (run,) = found[stage]
        assert run.info.status == "FINISHED"
        assert len(run.data.tags["weights_sha256"]) == 64
        history = client(clone).get_metric_history(run.info.run_id, "loss")
        assert [metric.step for metric in history] == list(range(1, clone.params()[stage]["epochs"] + 1))
    candidate, baseline = found["train_diffusion"][0], found["train_baseline"][0]
    scores = json.loads((clone.path / "runs" / "demo" / "scores.json").read_text())
    assert candidate.data.metrics["valid.accuracy.0.2"] == scores["candidate"]["accuracy"]["0.2"]
    assert baseline.data.metrics["valid.accuracy.0.2"] == scores["baseline"]["accuracy"]["0.2"]
    assert baseline.data.metrics["valid.nll.gamma"] == scores["baseline"]["nll"]["gamma"]
    probed = json.loads((clone.path / "runs" / "demo" / "probes.json").read_text())
    assert candidate.data.metrics["probe.lldif.zero.nll"] == probed["lldif"]["zero"]["nll"]
    assert candidate.data.params["train_diffusion.epochs"] == str(clone.params()["train_diffusion"]["epochs"])


def test_one_run_a_training_with_every_epoch_once(finished):
    check_whole(finished[0])
    assert all(run.data.tags["fingerprint"] for of in runs(finished[0]).values() for run in of)


def test_a_training_says_what_it_was_done_on_and_in_which_precision(finished):
    found = runs(finished[0])
    assert {run.data.tags["device"] for stage in TRAININGS for run in found[stage]} == {compute.kind()}


def test_without_mlflow_every_stage_runs_and_the_next_run_goes_on_at_register(clone: Clone):
    content = clone.params()
    content["train_diffusion"]["epochs"] += 1
    clone.set_params(content)
    down = clone.run("lldif", "run", "demo", "--json", code=1, MLFLOW_TRACKING_URI=NOWHERE)
    assert down.stdout == ""
    assert down.stderr.splitlines()[-1] == f"lldif: MLflow at {NOWHERE}: does not answer"
    assert "Traceback" not in down.stderr
    assert clone.champion() == 1
    assert "up to date" in clone.run("dvc", "status").stdout
    answer = json.loads(clone.run("lldif", "run", "demo", "--json", code=None).stdout)
    assert {stage["status"] for stage in answer["stages"]} == {"cached"}
    assert answer["version"] == 2
    steps = {
        run.data.params["train_diffusion.epochs"]: [
            metric.step for metric in client(clone).get_metric_history(run.info.run_id, "loss")
        ]
        for run in runs(clone)["train_diffusion"]
    }
    epochs = content["train_diffusion"]["epochs"]
    assert steps == {str(n): list(range(1, n + 1)) for n in (epochs - 1, epochs)}


def test_a_pulled_training_is_told_from_its_history(clone: Clone):
    """Somebody else trained, we pulled: there is no state here, and the registry is a new one."""
    shutil.rmtree(clone.path / "state")
    (clone.path / "mlflow.db").unlink()
    assert clone.answer("lldif", "run", "demo", "--json")["version"] == 1
    check_whole(clone)


def test_an_interrupted_upload_goes_on_where_it_stood(clone: Clone):
    mlflow = client(clone)
    (run,) = runs(clone)["train_diffusion"]
    assert run.data.tags["reports_uploaded"] == str(clone.params()["train_diffusion"]["epochs"])
    # as if the upload of the last reports, and all that follows it, had not happened
    mlflow.delete_tag(run.info.run_id, "weights_sha256")
    mlflow.set_tag(run.info.run_id, "reports_uploaded", "1")
    (clone.path / "runs" / "demo" / "darkness.json").unlink()  # so that the run has something to do
    clone.run("lldif", "run", "demo", "--json")
    (run,) = runs(clone)["train_diffusion"]
    assert run.data.tags["reports_uploaded"] == str(clone.params()["train_diffusion"]["epochs"])
    steps = {metric.step: metric.value for metric in mlflow.get_metric_history(run.info.run_id, "loss")}
    assert list(steps) == list(range(1, clone.params()["train_diffusion"]["epochs"] + 1))
