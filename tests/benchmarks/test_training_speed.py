"""The benchmark of training compares networks of like operations, on the stage's own batches. 3 s."""

import pytest
import torch

from benchmarks import training
from components import experiment
from components.model.baselines import ResNet18
from components.model.lldif import FacesConfig
from components.model.presets import cost


@pytest.fixture(scope="module")
def params() -> experiment.Experiment:
    return experiment.load(training.PARAMS)


@pytest.mark.parametrize("name", ["LLDif, stage 1", "LLDif, stage 2", "plain"])
def test_no_other_width_is_nearer_to_the_operations_of_what_it_is_measured_against(params, name):
    rivals = training.rivals_of(params.model, params)
    (theirs,) = (one.network for label, one in rivals.items() if f" as {name}, width" in label)
    image, faces = (
        torch.zeros(1, 1, 48, 48, dtype=torch.uint8),
        FacesConfig(classes=training.EMOTIONS, shape=(48, 48, 1)),
    )
    aim, width = rivals[name].cost()[1], theirs.head.in_features // 8
    distances = {w: abs(cost(ResNet18(params.model, faces, w), image)[1] - aim) for w in (width - 1, width, width + 1)}
    assert width == min(distances, key=distances.__getitem__)


@pytest.mark.parametrize("name", ["LLDif, stage 1", "LLDif, stage 2", "plain"])
def test_a_round_learns_from_every_batch_and_counts_all_its_time(params, monkeypatch, name):
    monkeypatch.setattr(training, "BATCH", {"cpu": 8, "cuda": 8})
    monkeypatch.setattr(training, "DRAWN", 8)
    faces, ticks = training.grey_faces(training.STEPS * 8), iter(range(100))
    rival = training.rivals_of(params.model, params)[name]
    network = rival.network
    before = network.llformer.head.weight.detach().clone()
    step = training.step_of(rival, params, compiled=False)
    there = training.on_device(faces, faces.votes, training.device())
    spent = training.one_round(step, training.stream(params, there, 0), lambda: float(next(ticks)))
    assert (spent.data, spent.compute, spent.step) == (1, 1, 2)
    assert next(ticks) == 3 * training.STEPS
    assert not torch.equal(network.llformer.head.weight, before)
