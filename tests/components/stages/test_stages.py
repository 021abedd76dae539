"""The stages that need no engine, one after the other, on a few faces: what each leaves, and the same bytes again."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from components import experiment
from components.config import parse
from components.data import table
from components.learning import batches, checkpoint, evaluation, inference, training
from components.learning.bootstrap import WITHOUT_INTERVAL
from components.learning.metrics import majority_share
from components.lowlight import gamma
from components.lowlight.camera import photograph
from components.lowlight.noise import keys_of
from components.lowlight.table import read_dark
from components.records import DataError, file_sha256
from components.stages.evaluate import MODELS

OUTPUTS = {
    "ingest": {"faces.parquet", "rejects.parquet", "faces.json"},
    "darken": {"dark_valid.parquet", "dark_test.parquet", "gamma_valid.parquet"},
    "train_prior": {"prior.safetensors", "prior_history.json"},
    "train_diffusion": {"lldif.safetensors", "teacher.safetensors", "lldif_history.json"},
    "train_baseline": {"baseline.safetensors", "baseline_history.json"},
    "evaluate": {
        "predictions.parquet", "scores.json", "slices.json", "probes.json", "darkness.json", "confusion.json",
    },
}  # fmt: skip


STAGES = [stage for stage in experiment.STAGES if stage not in experiment.NEED_AN_ENGINE]


@pytest.fixture(scope="module")
def params(repository) -> experiment.Experiment:
    content = yaml.safe_load((repository / "params" / "demo.yaml").read_text(encoding="utf-8"))
    content["ingest"] |= {"train": 84, "valid": 21, "test": 14}
    content["darken"] = {"exposures": [1.0, 0.2, 0.05]}
    content["compute"]["threads"] = 1
    content["batches"]["size"] = 28
    content["model"]["prior"] |= {"channels": 16, "width": 8}
    for stage in ("train_prior", "train_diffusion", "train_baseline"):
        content[stage]["epochs"] = 2
    content["train_diffusion"]["frozen_encoder"] = True
    content["inference"]["flip_average"] = False
    return parse(experiment.Experiment, content, Path("tiny.yaml"))


def run(params: experiment.Experiment, stage: str, folder: Path):
    state = folder.parent / f"{folder.name}-state" / stage
    return list(experiment.STAGES[stage].run(experiment.given(params, stage), Path(), folder, state))


@pytest.fixture(scope="module")
def done(tmp_path_factory, params):
    """A folder in which all stages ran, their reports, and the files that each made."""
    folder = tmp_path_factory.mktemp("done") / "runs"
    folder.mkdir()
    (folder / "best.json").write_text('{"parameters": {}}')
    reports, made = {}, {}
    for stage in STAGES:
        before = set(folder.iterdir())
        reports[stage] = run(params, stage, folder)
        made[stage] = {path.name for path in set(folder.iterdir()) - before}
    return folder, reports, made


def test_every_stage_leaves_its_outputs_and_nothing_else(done):
    assert done[2] == OUTPUTS


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_knows_every_output(repository, stage):
    spec = yaml.safe_load((repository / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]["do"]
    kept = [entry for kind in ("outs", "metrics", "plots") for entry in spec.get(kind, [])]
    names = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in kept]
    assert {Path(name).name for name in names} == OUTPUTS[stage]


def test_every_stage_reports_each_step_up_to_the_last(done):
    totals = {"darken": 7, "train_prior": 2, "train_diffusion": 2, "train_baseline": 2, "evaluate": 4}
    for stage, total in totals.items():
        assert [(r.stage, r.step, r.total) for r in done[1][stage]] == [(stage, n, total) for n in range(1, total + 1)]
    last = done[1]["ingest"][-1]
    assert (last.step, last.total) == (119, 119)


def test_the_same_params_give_the_same_bytes(done, params, tmp_path):
    folder, _, _ = done
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "best.json").write_text('{"parameters": {}}')
    for stage in STAGES:
        run(params, stage, tmp_path / "again")
    for name in sorted(set().union(*OUTPUTS.values())):
        assert file_sha256(folder / name) == file_sha256(tmp_path / "again" / name), name


def test_the_prior_is_probed_with_the_stage_1_that_taught_it_at_the_rung_that_is_near(params, done, tmp_path):
    """A best.json that changes stage 1 has stage 2 learn from another than prior.safetensors."""
    runs = tmp_path / "runs"
    shutil.copytree(done[0], runs)
    (runs / "best.json").write_text('{"parameters": {"model.prior.channels": 24}}')
    near = params.evaluation.model_copy(update={"confusion_at": 0.03})
    params = params.model_copy(update={"evaluation": near})
    for stage in ("train_diffusion", "evaluate"):
        run(params, stage, runs)
    channels = [
        inference.load(runs / f"{name}.safetensors").network.config.prior.channels for name in ("prior", "teacher")
    ]
    assert channels == [16, 24]
    probed = json.loads((runs / "probes.json").read_text())
    assert probed["exposure"] == "0.05"
    assert probed["prior"]["true_deviation"] > 0
    assert len(json.loads((runs / "confusion.json").read_text())) == 21


def test_stage_two_goes_on_where_the_dark_images_of_stage_one_end(params, done, tmp_path, monkeypatch):
    drawn = []

    def noted(*arguments, **more):
        drawn.append(arguments[4])
        return batches.epoch_batches(*arguments, **more)

    shutil.copytree(done[0], tmp_path / "runs")
    monkeypatch.setattr(training, "epoch_batches", noted)
    for stage in ("train_prior", "train_diffusion"):
        run(params, stage, tmp_path / "runs")
    assert drawn == [0, 1, 2, 3]


def test_dark_faces_are_the_faces_of_their_split_at_every_rung(done):
    folder, _, _ = done
    for split in ("valid", "test"):
        faces, dark = (
            table.read_split(folder / "faces.parquet", split),
            read_dark(folder / f"dark_{split}.parquet"),
        )
        assert dark.ids == faces.ids * 3
        assert np.array_equal(dark.at(1.0).images, faces.images)
        assert np.array_equal(dark.at(0.05).labels, faces.labels)
        assert np.array_equal(dark.at(0.05).votes, faces.votes)
        assert not np.array_equal(dark.at(0.05).images, faces.images)


def test_the_ladder_is_drawn_from_the_faces_id_and_its_exposure(done, params):
    folder, _, _ = done
    faces, dark = table.read_split(folder / "faces.parquet", "test"), read_dark(folder / "dark_test.parquet")
    clean = torch.from_numpy(faces.images).permute(0, 3, 1, 2)
    for exposure in (0.2, 0.05):
        keys = keys_of(faces.ids, [exposure] * 14, 0)
        expected = photograph(clean, keys, torch.full((14,), exposure), params.camera)
        assert np.array_equal(dark.at(exposure).images, expected.permute(0, 2, 3, 1).numpy())


def test_the_other_darkness_is_a_table_of_its_own_at_no_exposure(done):
    """So neither a training, which has no such table, nor a gate, which selects by exposure, can meet it."""
    folder, _, _ = done
    faces, dark = table.read_split(folder / "faces.parquet", "valid"), read_dark(folder / "gamma_valid.parquet")
    assert (dark.ids, np.isnan(dark.exposures).all()) == (faces.ids, True)
    assert np.array_equal(dark.votes, faces.votes)
    keys = keys_of(faces.ids, [0.0] * 21, 0)
    expected = gamma.darken(torch.from_numpy(faces.images).permute(0, 3, 1, 2), keys)
    assert np.array_equal(dark.images, expected.permute(0, 2, 3, 1).numpy())
    for split in ("valid", "test"):
        assert set(read_dark(folder / f"dark_{split}.parquet").exposures) == {1.0, 0.2, 0.05}
    assert set(evaluation.read(folder / "predictions.parquet", "candidate").exposures) == {1.0, 0.2, 0.05}


def test_a_history_has_a_row_for_each_epoch_as_it_was_reported(done):
    folder, reports, _ = done
    for stage, name in (("train_prior", "prior"), ("train_diffusion", "lldif"), ("train_baseline", "baseline")):
        rows = json.loads((folder / f"{name}_history.json").read_text())
        assert rows == [{"epoch": report.step, **report.metrics} for report in reports[stage]]


def test_scores_and_plot_points_are_those_of_the_predictions(done):
    folder, reports, _ = done
    scores, points = (read(folder, name) for name in ("scores.json", "darkness.json"))
    dark, other = (read_dark(folder / f"{name}_valid.parquet") for name in ("dark", "gamma"))
    assert scores["majority"] == round(majority_share(dark.labels), 4)
    assert scores["votes_entropy"] == 0  # nobody voted on drawn faces
    for number, model in enumerate(("candidate", "baseline")):
        rows = evaluation.read(folder / "predictions.parquet", model)
        one = inference.load(folder / MODELS[model])
        gamma_rows = evaluation.of(other, inference.predict(one, other.images))
        scored = [*evaluation.scores(rows), evaluation.score_of("gamma", gamma_rows)]
        assert scores[model] == evaluation.summary(scored) | {"temperature": one.calibration.temperature}
        assert 0.05 <= one.calibration.temperature <= 20
        by_rung = {"clean": 1.0, "0.2": 0.2, "0.05": 0.05}
        assert {(p["exposure"], p["accuracy"]) for p in points if p["model"] == model} == {
            (by_rung[one.exposure], round(one.accuracy, 4)) for one in evaluation.scores(rows)
        }
        assert set(reports["evaluate"][number].metrics) == {f"accuracy_{rung}" for rung in (*by_rung, "gamma")}
        assert [(row["brighter"], row["darker"]) for row in scores["trend"][model]] == [
            ("clean", "0.2"),
            ("0.2", "0.05"),
        ]


def test_every_figure_that_can_has_its_interval_at_every_exposure_and_in_the_other_darkness(done):
    folder, _, _ = done
    scores, slices = read(folder, "scores.json"), read(folder, "slices.json")
    for model in MODELS:
        found = {(r["exposure"], r["metric"]): r for r in slices if (r["model"], r["slice"]) == (model, "all")}
        for metric in set(evaluation.FIGURES) - set(WITHOUT_INTERVAL):
            for rung in ("clean", "0.2", "0.05", "gamma"):
                assert found[rung, metric]["value"] == scores[model][metric][rung]


def test_the_probes_are_of_the_faces_at_the_exposure_asked_for(done):
    folder, _, _ = done
    found, scores = read(folder, "probes.json"), read(folder, "scores.json")
    assert found["exposure"] == "0.05"
    assert found["lldif"]["one_chain"] == {name: scores["candidate"][name]["0.05"] for name in ("accuracy", "nll")}
    assert set(found["stage_one"]) == {"own_prior", "dark_image"}


def test_a_model_that_answers_with_what_is_no_number_is_one_line(done, params, tmp_path):
    folder = tmp_path / "runs"
    shutil.copytree(done[0], folder)
    tensors, notes = checkpoint.read(folder / "baseline.safetensors")
    tensors["llformer.head.bias"][2] = float("nan")
    checkpoint.write(folder / "baseline.safetensors", tensors, notes)
    for name in OUTPUTS["evaluate"]:
        (folder / name).unlink()
    with pytest.raises(
        DataError, match=r"^baseline\.safetensors: probabilities of 21 of 21 faces, [^\n]*train it again$"
    ):
        run(params, "evaluate", folder)
    assert not OUTPUTS["evaluate"] & {path.name for path in folder.iterdir()}


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def test_predictions_are_what_the_models_answer(done):
    folder, _, _ = done
    dark = read_dark(folder / "dark_valid.parquet")
    for model, file in (("candidate", "lldif"), ("baseline", "baseline")):
        one = inference.load(folder / f"{file}.safetensors")
        assert (one.faces.shape, one.faces.classes) == ((64, 64, 3), dark.classes)
        answers = inference.predict(one, dark.images)
        rows = evaluation.read(folder / "predictions.parquet", model)
        assert rows.probabilities == pytest.approx(answers, abs=1e-6)
        assert rows.ids == dark.ids


def test_stage_two_keeps_the_encoder_of_stage_one_where_it_is_frozen(done):
    folder, _, _ = done
    one, two = (inference.load(folder / f"{name}.safetensors").network.state_dict() for name in ("prior", "lldif"))
    encoder = [name for name in two if name.startswith("image_encoder.")]
    assert encoder
    assert all(np.array_equal(one[f"prior.{name}"].numpy(), two[name].numpy()) for name in encoder)
    assert not np.array_equal(one["llformer.head.weight"].numpy(), two["llformer.head.weight"].numpy())


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "ingest"])
def test_a_stage_without_its_input_is_one_line_and_leaves_nothing(params, tmp_path, stage):
    missing = (
        r"best\.json: not what a sweep leaves" if stage == "train_diffusion" else r"\.parquet: not a readable table"
    )
    with pytest.raises(DataError, match=rf"^[^\n]*{missing} [^\n]*$"):
        run(params, stage, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_stage_two_without_stage_one_is_one_line(done, params, tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    for name in ("faces.parquet", "dark_valid.parquet", "best.json"):
        (folder / name).write_bytes((done[0] / name).read_bytes())
    with pytest.raises(DataError, match=r"^[^\n]*prior\.safetensors: not a readable weights file [^\n]*$"):
        run(params, "train_diffusion", folder)
