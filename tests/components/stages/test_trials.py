"""What a trial of a sweep is: a short stage 2 on what was read once; it resumes and meets no face of test. 15 s."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from components import experiment
from components.config import parse
from components.data import table
from components.learning.optim import rate
from components.stages import sweep, train_diffusion, training
from components.stages.sweep import Job, Material


def load(repository: Path, **changes) -> experiment.Experiment:
    content = yaml.safe_load((repository / "params" / "demo.yaml").read_text(encoding="utf-8"))
    content["ingest"] |= {"train": 84, "valid": 21, "test": 14}
    content["darken"] = {"exposures": [1.0, 0.2, 0.05]}
    content["compute"]["threads"] = 1
    content["batches"]["size"] = 28
    content["model"]["prior"] |= {"channels": 16, "width": 8}
    content["train_prior"]["epochs"], content["train_diffusion"]["epochs"] = 1, 2
    content["sweep"] |= changes
    return parse(experiment.Experiment, content, Path("tiny.yaml"))


def given(whole: experiment.Experiment) -> sweep.Params:
    made = experiment.given(whole, "sweep")
    assert isinstance(made, sweep.Params)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory, repository) -> Path:
    """A folder in which all stages before the sweep ran."""
    place, whole = tmp_path_factory.mktemp("before") / "runs", load(repository)
    for stage in ("ingest", "darken", "train_prior"):
        state = place.parent / stage
        list(experiment.STAGES[stage].run(experiment.given(whole, stage), Path(), place, state))
    return place


@pytest.fixture(scope="module")
def material(folder) -> Material:
    return Material.read(folder)


def train(params: sweep.Params, job: Job, material: Material, state: Path) -> list[dict[str, float]]:
    state.mkdir(exist_ok=True)
    return [dict(report.metrics) for report in sweep.train(params, job, material, state, lambda path: None)]


def job(params: sweep.Params, **changes) -> Job:
    return replace(Job("trial-0000", 0, sweep.defaults(params), params.compute.seed, 2), **changes)


def test_a_trial_of_the_defaults_in_full_is_the_final_training(folder, material, repository, tmp_path):
    params = given(load(repository))
    place = training.Workplace.open(folder, tmp_path)
    final = [dict(report.metrics) for report in train_diffusion.train(params, place)]
    assert train(params, job(params), material, tmp_path / "trial") == final
    assert sweep.METRIC in final[0]


def test_a_trial_answers_to_its_parameters_its_seed_and_its_epochs(material, repository, tmp_path):
    params = given(load(repository))
    base = train(params, job(params, epochs=1), material, tmp_path / "a")
    assert len(base) == 1
    assert train(params, job(params, epochs=1, seed=99), material, tmp_path / "b") != base
    rates = sweep.defaults(params) | {"optim.muon_rate": 0.05}
    assert train(params, job(params, epochs=1, parameters=rates), material, tmp_path / "c") != base


@pytest.mark.parametrize("stage_one", [False, True])
def test_a_trial_that_was_killed_goes_on_from_what_it_gave_away(material, repository, tmp_path, stage_one):
    """What `keep` was given by the time it died is all that is left of it."""
    params = given(load(repository, stage_one=stage_one))
    whole = train(params, job(params), material, tmp_path / "whole")
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()

    def keep(path: Path) -> None:
        to = second / path.relative_to(first)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(path.read_bytes())

    reports = sweep.train(params, job(params), material, first, keep)
    assert dict(next(reports).metrics) == whole[0]
    next(reports)  # by now the first checkpoint is away
    reports.close()
    priors = list(second.rglob("prior.safetensors"))
    assert len(priors) == (1 if stage_one else 0)
    before = [path.stat().st_mtime_ns for path in priors]
    assert train(params, job(params), material, second) == whole[1:]
    assert [path.stat().st_mtime_ns for path in priors] == before  # stage 1 was not trained again


def test_a_shorter_trial_of_both_stages_has_one_schedule_as_long_as_it_is(material, repository, tmp_path):
    params = given(load(repository, stage_one=True))
    assert params.train_prior.epochs_after > 1
    (first,) = train(params, job(params, epochs=1), material, tmp_path / "a")
    (last_of_prior,) = json.loads((tmp_path / "a" / "prior" / "prior_history.json").read_text())[-1:]
    steps = 84 // 28  # an epoch
    prior, both = params.train_prior.epochs * steps, (params.train_prior.epochs + 1) * steps
    assert last_of_prior["rate_share"] == pytest.approx(rate(prior - 1, both, params.optim))
    assert first["rate_share"] == pytest.approx(rate(both - 1, both, params.optim))


def test_where_stage_1_is_searched_each_trial_has_its_own(material, repository, tmp_path):
    params = given(load(repository, stage_one=True))
    wide = sweep.defaults(params) | {"model.prior.width": 12}
    train(params, job(params, epochs=1, parameters=wide), material, tmp_path / "a")
    from components.learning import inference

    own = inference.load(tmp_path / "a" / "prior" / "prior.safetensors").network
    assert own.config.prior.width == 12


def test_final_training_takes_parameters_of_stage_1_from_best_json_too(folder, repository, tmp_path):
    import json
    import shutil

    runs = tmp_path / "runs"
    shutil.copytree(folder, runs)
    (runs / "best.json").write_text(json.dumps({"parameters": {"model.prior.width": 12}}))
    params = experiment.given(load(repository), "train_diffusion")
    list(train_diffusion.run(params, Path(), runs, tmp_path / "state"))
    from components.learning import inference

    assert inference.load(runs / "lldif.safetensors").network.config.prior.width == 12
    assert inference.load(runs / "teacher.safetensors").network.config.prior.width == 12
    assert inference.load(runs / "prior.safetensors").network.config.prior.width == 8  # stage 1's own stays


def test_the_test_split_is_out_of_reach(folder, material, tmp_path, monkeypatch, repository):
    """With every face of test spoilt, and the dark ones gone, a trial learns from the same bytes as before."""
    spoilt = tmp_path / "runs"
    spoilt.mkdir()
    for name in ("dark_valid.parquet", "prior.safetensors"):
        (spoilt / name).write_bytes((folder / name).read_bytes())
    rows = pq.read_table(folder / "faces.parquet")
    images = [
        b"spoilt" if split == "test" else image
        for split, image in zip(rows["split"].to_pylist(), rows["image"].to_pylist(), strict=True)
    ]
    at = rows.schema.get_field_index("image")
    changed = rows.set_column(at, rows.schema.field("image"), pa.array(images, rows.schema.field("image").type))
    pq.write_table(changed, spoilt / "faces.parquet")
    again = Material.read(spoilt)
    assert np.array_equal(again.train.images, material.train.images)
    assert np.array_equal(again.valid.images, material.valid.images)

    ids = dict(zip(rows["id"].to_pylist(), rows["split"].to_pylist(), strict=True))
    assert {ids[one] for one in material.train.ids} == {"train"}
    assert {ids[one] for one in material.valid.ids} == {"valid"}
    sent = pickle.dumps(material)
    assert not any(one.encode() in sent for one, split in ids.items() if split == "test")

    def refuse(path: Path) -> None:
        raise AssertionError(f"a trial opened {path}")

    monkeypatch.setattr(table, "open_table", refuse)
    params = given(load(repository))
    assert train(params, job(params, epochs=1), material, tmp_path / "trial")  # from what it was handed alone


def test_of_valid_a_trial_is_given_the_rungs_that_trainings_watch(material):
    assert sorted(set(material.valid.exposures)) == [0.05, 1.0]
