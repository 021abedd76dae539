"""train_baseline with peers of several trainings: whole reports, whole histories, and a kill at any epoch forgotten."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from components import experiment
from components.config import ConfigError, parse
from components.learning import inference, training
from components.learning.batches import epoch_batches
from components.learning.training import epochs_done
from components.model.baselines import Ensemble, Plain
from components.records import file_sha256


@pytest.fixture(scope="module")
def content(repository):
    content = yaml.safe_load((repository / "params" / "demo.yaml").read_text(encoding="utf-8"))
    content["ingest"] |= {"train": 56, "valid": 14, "test": 7}
    content["darken"] = {"exposures": [1.0, 0.05]}
    content["compute"]["threads"] = 1
    content["batches"]["size"] = 28
    return content


@pytest.fixture(scope="module")
def tables(content, tmp_path_factory) -> Path:
    folder, params = tmp_path_factory.mktemp("tables"), parse(experiment.Experiment, content, Path("few.yaml"))
    for stage in ("ingest", "darken"):
        list(experiment.STAGES[stage].run(experiment.given(params, stage), Path(), folder, folder))
    return folder


def train(content, tables: Path, folder: Path, peer: str, epochs: int):
    """The reports of the stage; its state is in the folder too."""
    changed = content | {"train_baseline": {"peer": peer, "epochs": epochs}}
    params = experiment.given(parse(experiment.Experiment, changed, Path("few.yaml")), "train_baseline")
    folder.mkdir(exist_ok=True)
    for name in ("faces.parquet", "dark_valid.parquet"):
        shutil.copy(tables / name, folder / name)
    return experiment.STAGES["train_baseline"].run(params, Path(), folder, folder / "state")


@pytest.fixture(scope="module")
def whole(content, tables, tmp_path_factory):
    """A distilled peer of four epochs, one of them its teacher's: folder and reports."""
    folder = tmp_path_factory.mktemp("whole") / "runs"
    return folder, list(train(content, tables, folder, "distilled", 4))


def test_reports_and_history_run_through_all_trainings(whole):
    folder, reports = whole
    assert [(report.stage, report.step, report.total) for report in reports] == [
        ("train_baseline", step, 4) for step in (1, 2, 3, 4)
    ]
    rows = json.loads((folder / "baseline_history.json").read_text())
    assert rows == [{"epoch": report.step, **report.metrics} for report in reports]


@pytest.mark.parametrize("killed_after", [1, 2, 3, 4])
def test_a_kill_at_any_epoch_is_forgotten(content, tables, whole, tmp_path, killed_after):
    """Whoever keeps the reports cuts them to the epochs of the checkpoint and keeps what is told from there on."""
    folder, reports = whole
    kept = []
    for report in train(content, tables, tmp_path, "distilled", 4):
        kept.append(report)
        if report.step == killed_after:
            break  # before its checkpoint
    del kept[epochs_done(tmp_path / "state" / "checkpoint.safetensors") :]
    kept += list(train(content, tables, tmp_path, "distilled", 4))
    assert kept == reports
    for name in ("baseline.safetensors", "baseline_history.json"):
        assert file_sha256(tmp_path / name) == file_sha256(folder / name)


@pytest.mark.parametrize(("peer", "kind"), [("ensemble", Ensemble), ("clean_ceiling", Plain), ("distilled", Plain)])
def test_the_peer_is_built_again_from_its_file(content, tables, whole, tmp_path, peer, kind):
    folder = whole[0]
    if peer != "distilled":
        folder = tmp_path
        list(train(content, tables, folder, peer, 3))
    model = inference.load(folder / "baseline.safetensors")
    assert isinstance(model.network, kind)
    answers = model.network(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
    assert answers.shape == (2, 7)


def test_no_member_of_an_ensemble_meets_dark_images_that_another_met(content, tables, tmp_path, monkeypatch):
    met = []

    def watched(faces, config, camera, seed, epoch, *more):
        met.append(epoch)
        return epoch_batches(faces, config, camera, seed, epoch, *more)

    monkeypatch.setattr(training, "epoch_batches", watched)
    list(train(content, tables, tmp_path, "ensemble", 4))
    assert met == [0, 1, 2, 3]


@pytest.mark.parametrize(("peer", "epochs", "least"), [("distilled", 1, 2), ("ensemble", 2, 3)])
def test_too_few_epochs_for_every_training_are_one_line(content, tables, tmp_path, peer, epochs, least):
    with pytest.raises(ConfigError, match=rf"^few\.yaml: train_baseline: .*at least {least} for the peer {peer}$"):
        train(content, tables, tmp_path, peer, epochs)
