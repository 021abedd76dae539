"""Decision 3: state lives under a fingerprint of everything the result follows from."""

import json
from dataclasses import replace

import pytest
from clones import Clone

from flows import project, staging
from flows.project import StageSpec

TRAININGS = ("train_prior", "train_diffusion", "train_baseline")


@pytest.fixture
def spec(tmp_path, monkeypatch) -> StageSpec:
    monkeypatch.setattr(project, "ROOT", tmp_path)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("a")
    (tmp_path / "input").write_text("input")
    return StageSpec("train_prior", "demo", "raw", ("code", "input"), ("model",), ("out",))


def test_it_changes_with_inputs_code_params_torch_and_device_and_with_nothing_else(spec, tmp_path):
    def now(params=None, torch="2.0", device="cpu", of=spec):
        return project.fingerprint(of, params or {"model": {"width": 1}}, torch, device)

    first = now()
    assert now() == first
    assert now(params={"model": {"width": 2}}) != first
    assert now(torch="2.1") != first
    assert now(device="cuda") != first
    assert now(of=replace(spec, experiment="other")) != first
    (tmp_path / "code" / "__pycache__").mkdir()
    (tmp_path / "code" / "__pycache__" / "a.pyc").write_text("compiled")
    (tmp_path / "elsewhere").write_text("x")
    assert now() == first
    (tmp_path / "code" / "b.py").write_text("")
    with_file = now()
    assert with_file != first
    (tmp_path / "input").write_text("INPUT")
    assert now() not in (first, with_file)


def test_a_finished_training_leaves_checkpoint_reports_and_outcome(finished):
    clone, _ = finished
    for stage in TRAININGS:
        fingerprint = (clone.path / "state" / "latest" / f"{stage}@demo").read_text()
        state = clone.path / "state" / fingerprint
        reports = [json.loads(line) for line in (state / "reports.jsonl").read_text().splitlines()]
        epochs = clone.params()[stage]["epochs"]
        assert [report["step"] for report in reports] == list(range(1, epochs + 1))
        outcome = json.loads((state / "outcome.json").read_text())
        assert outcome["ok"]
        assert outcome["error"] is None
        assert (state / "checkpoint.safetensors").exists()
        for artifact in outcome["artifacts"]:
            assert project.content_sha256(clone.path / artifact["path"]) == artifact["sha256"]


def outcome(clone: Clone, target: str) -> dict[str, object]:
    fingerprint = (clone.path / "state" / "latest" / target).read_text()
    return json.loads((clone.path / "state" / fingerprint / "outcome.json").read_text())


def test_the_outcome_says_which_class_an_error_is_of(clone: Clone):
    table = clone.path / "runs" / "demo" / "faces.parquet"
    table.write_bytes(table.read_bytes()[:-100])
    clone.run("lldif", "stage", "darken", "demo", code=1)
    assert outcome(clone, "darken@demo")["class"] == "data"
    content = clone.params()
    content["optim"]["muon_rate"] = content["optim"]["adamw_rate"] = 1e30
    clone.set_params(content)
    clone.run("dvc", "checkout", "--force", "runs/demo/faces.parquet")
    clone.run("lldif", "stage", "train_prior", "demo", code=2)
    assert outcome(clone, "train_prior@demo")["class"] == "config"
    assert "loss" in str(outcome(clone, "train_prior@demo")["error"])


def test_reports_are_cut_to_what_the_checkpoint_has_passed(clone: Clone, monkeypatch):
    fingerprint = (clone.path / "state" / "latest" / "train_prior@demo").read_text()
    state = clone.path / "state" / fingerprint
    whole = (state / "reports.jsonl").read_text()
    with (state / "reports.jsonl").open("a") as stream:
        stream.write('{"step": 3, "torn')
    staging.truncate_reports(state)
    assert (state / "reports.jsonl").read_text() == whole
    (state / "checkpoint.safetensors").unlink()
    staging.truncate_reports(state)
    assert (state / "reports.jsonl").read_text() == ""
