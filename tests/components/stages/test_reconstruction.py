"""Trainings with a decoder beside: another model, of the same parts, and a kill forgotten. Some seconds."""

import shutil
from pathlib import Path

import pytest
import yaml

from components import experiment
from components.config import parse
from components.learning import checkpoint
from components.records import file_sha256

TRAININGS = {"train_prior": "prior", "train_diffusion": "lldif"}


@pytest.fixture(scope="module")
def content(repository):
    content = yaml.safe_load((repository / "params" / "demo.yaml").read_text(encoding="utf-8"))
    content["ingest"] |= {"train": 56, "valid": 14, "test": 7}
    content["darken"] = {"exposures": [1.0, 0.05]}
    content["compute"]["threads"] = 1
    content["batches"]["size"] = 28
    for stage in TRAININGS:
        content[stage]["epochs"] = 2
    return content


@pytest.fixture(scope="module")
def tables(content, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    for stage in ("ingest", "darken"):
        list(reports(content, stage, folder))
    (folder / "best.json").write_text('{"parameters": {}}')
    return folder


def reports(content, stage: str, folder: Path, weight: float = 0.0):
    for name in TRAININGS:
        content = content | {name: content[name] | {"loss": content[name]["loss"] | {"reconstruction_weight": weight}}}
    params = experiment.given(parse(experiment.Experiment, content, Path("few.yaml")), stage)
    return experiment.STAGES[stage].run(params, Path(), folder, folder / "state" / stage)


def trained(content, tables: Path, folder: Path, weight: float) -> Path:
    shutil.copytree(tables, folder)
    for stage in TRAININGS:
        list(reports(content, stage, folder, weight))
    return folder


@pytest.fixture(scope="module")
def without(content, tables, tmp_path_factory) -> Path:
    return trained(content, tables, tmp_path_factory.mktemp("without") / "runs", 0.0)


@pytest.fixture(scope="module")
def with_decoder(content, tables, tmp_path_factory) -> Path:
    return trained(content, tables, tmp_path_factory.mktemp("with") / "runs", 1.0)


@pytest.mark.parametrize(("stage", "name"), TRAININGS.items())
def test_a_decoder_teaches_another_model_of_the_same_parts(without, with_decoder, stage, name):
    plain, taught = (checkpoint.read(folder / f"{name}.safetensors")[0] for folder in (without, with_decoder))
    assert {key: value.shape for key, value in plain.items()} == {key: value.shape for key, value in taught.items()}
    assert not plain["llformer.dynamic.stem.0.0.weight"].equal(taught["llformer.dynamic.stem.0.0.weight"])
    kept = checkpoint.read(with_decoder / "state" / stage / "checkpoint.safetensors")[0]
    assert any(
        ".draw.weight" in key for key in kept
    )  # it goes on where it was after a kill, and ends with the training


@pytest.mark.parametrize(("stage", "name"), TRAININGS.items())
def test_a_kill_is_forgotten_with_a_decoder_too(content, with_decoder, tmp_path, stage, name):
    folder = tmp_path / "runs"
    shutil.copytree(with_decoder, folder)
    shutil.rmtree(folder / "state" / stage)
    (folder / f"{name}.safetensors").unlink()
    first = reports(content, stage, folder, weight=1.0)
    next(first), next(first)  # the second comes after the checkpoint of the first epoch
    first.close()
    list(reports(content, stage, folder, weight=1.0))
    assert file_sha256(folder / f"{name}.safetensors") == file_sha256(with_decoder / f"{name}.safetensors")
