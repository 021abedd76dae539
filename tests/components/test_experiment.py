"""The params file of an experiment is the union of what its stages are given."""

from pathlib import Path

import pytest

from components import experiment

DEMO = experiment.load(Path(__file__).resolve().parents[2] / "params" / "demo.yaml")


def test_every_section_belongs_to_a_stage_and_every_stage_finds_its_sections():
    used = {section for stage in experiment.STAGES for section in experiment.sections(stage)}
    assert used == set(type(DEMO).model_fields)


@pytest.mark.parametrize("stage", experiment.STAGES)
def test_a_stage_is_given_its_own_sections_and_nothing_else(stage):
    given = experiment.given(DEMO, stage)
    assert set(type(given).model_fields) == set(experiment.sections(stage))
    for section in experiment.sections(stage):
        assert getattr(given, section) == getattr(DEMO, section)


def test_what_each_stage_is_given_is_what_it_needs():
    training = ["compute", "camera", "batches", "optim", "objective", "model"]
    assert {stage: sorted(experiment.sections(stage)) for stage in experiment.STAGES} == {
        "ingest": ["ingest"],
        "validate": ["ingest", "validation"],
        "darken": ["camera", "darken"],
        "train_prior": sorted([*training, "train_prior"]),
        "sweep": sorted([*training, "inference", "train_prior", "diffusion", "train_diffusion", "sweep"]),
        "train_diffusion": sorted([*training, "inference", "train_prior", "diffusion", "train_diffusion"]),
        "train_baseline": sorted([*training, "inference", "train_baseline"]),
        "evaluate": ["compute", "evaluation"],
    }
