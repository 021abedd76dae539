"""Params that no stage could use, and files that YAML or JSON trip over: one line each, and no traceback."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.comparison.methods import overridden
from components import experiment
from components.config import ConfigError

DEMO = (Path(__file__).resolve().parents[2] / "params" / "demo.yaml").read_text(encoding="utf-8")


def complaint(path: Path) -> str:
    """What is said of a file, without its name."""
    with pytest.raises(ConfigError) as caught:
        experiment.load(path)
    line = str(caught.value)
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


def complaint_about(tmp_path: Path, key: str, value: Any) -> str:
    content = yaml.safe_load(DEMO)
    *path, last = key.split(".")
    section = content
    for part in path:
        section = section[part]
    section[last] = value
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return complaint(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("darken.exposures", [0.0]),
        ("darken.exposures", [-1.0]),
        ("darken.exposures", [2.0]),
        ("darken.exposures", [1.0, 0.2, 0.2]),
        ("batches.exposure_low", 0.5),
        ("camera.full_well_electrons", float("inf")),
        ("compute.seed", 2**70),
        ("ingest.seed", 2**70),
        ("model.llformer.drop_path", -0.1),
        ("model.prior.prompt", "a {label} {mood} face"),
    ],
)
def test_a_value_that_no_stage_can_use_is_refused(tmp_path, key, value):
    assert complaint_about(tmp_path, key, value).startswith(key.split(".")[0])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"train_prior.epochs_after": 0},
            "the file: train_prior.epochs_after: with train_diffusion.one_schedule True, allowed is 1 or more",
        ),
        (
            {"train_diffusion.one_schedule": False},
            "epochs_after: with train_diffusion.one_schedule False, allowed is 0",
        ),
        (
            {"objective.balance": "logit_adjustment", "inference.adjustment": 0.1},
            "inference.adjustment: with objective.balance logit_adjustment, allowed is 0",
        ),
        ({"diffusion.voice": 0.5, "train_prior.loss.contrastive_weight": 0.0}, "need prompts that stage 1 has learned"),
        ({"diffusion.form": "mlp", "train_diffusion.loss.denoising_weight": 1.0}, "with diffusion.form mlp, allowed"),
        ({"diffusion.form": "mlp", "diffusion.predicts": "noise"}, "diffusion: predicts: with form mlp, allowed is z0"),
        (
            {"diffusion.beta_low": 0.5, "diffusion.beta_high": 0.4},
            "diffusion: beta_low: allowed is at most beta_high, 0.4",
        ),
        ({"model.light.form": "srgb", "model.light.read_noise": 3.0}, "read_noise: with form srgb, allowed is 0"),
        ({"diffusion.form": "mlp", "diffusion.reverse_noise": True}, "diffusion: reverse_noise: with form mlp"),
    ],
)
def test_sections_that_do_not_go_together_are_one_line(tmp_path, changes, line):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(overridden(yaml.safe_load(DEMO), changes)), encoding="utf-8")
    assert line in complaint(tmp_path / "mine.yaml")


def test_stage_2_may_be_longer_than_stage_1_was_told(tmp_path):
    """`dvc exp run -S params/demo.yaml:train_diffusion.epochs=12` trains stage 2 alone."""
    content = overridden(yaml.safe_load(DEMO), {"train_diffusion.epochs": 12})
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    assert experiment.load(tmp_path / "mine.yaml").train_prior.epochs_after == 9


def test_a_ladder_without_the_clean_image_is_one_line(tmp_path):
    """Whoever shows a clean image takes the brightest for it."""
    said = "darken.exposures: allowed is a ladder with 1.0, the clean image, beside which the others are shown"
    assert complaint_about(tmp_path, "darken.exposures", [0.2, 0.05]) == said


@pytest.mark.parametrize("value", ["2024-01-01", "!!set {a}", "!!binary aGk="])
def test_a_date_a_set_or_bytes_are_a_wrong_type_too(tmp_path, value):
    text = DEMO.replace("threads: 2", f"threads: {value}")
    (tmp_path / "mine.yaml").write_text(text)
    assert complaint(tmp_path / "mine.yaml").startswith("compute.threads: ")


def test_a_key_given_twice_is_refused(tmp_path):
    text = DEMO.replace("threads: 2", "threads: 1\n  threads: 2")
    (tmp_path / "mine.yaml").write_text(text)
    assert "threads" in complaint(tmp_path / "mine.yaml")


def test_a_folder_is_no_params_file(tmp_path):
    assert complaint(tmp_path)


def test_a_key_with_a_line_break_is_still_one_line(tmp_path):
    (tmp_path / "mine.yaml").write_text(DEMO + '"two\\nlines": 1\n')
    assert complaint(tmp_path / "mine.yaml").startswith("two")


@pytest.mark.parametrize(
    "line",
    ["a: 2024-13-45", "a: !!int x", "a: !!bool maybe", "a: !!timestamp x", "a: !!map 3", "a: &a [*a]", "2024-01-01: 1"],
)
def test_a_line_that_yaml_or_json_cannot_take_is_one_line(tmp_path, line):
    (tmp_path / "mine.yaml").write_text(f"{DEMO}{line}\n", encoding="utf-8")
    assert complaint(tmp_path / "mine.yaml")
