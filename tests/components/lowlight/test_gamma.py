"""The darkness that no training sees: its ranges, its noise, its determinism, and who may import it. About 2 s."""

import grimp
import numpy as np
import pytest
import torch
from scipy import stats

from components.lowlight import gamma
from components.lowlight.noise import keys_of

TRAININGS = {"train_prior", "train_diffusion", "train_baseline", "sweep", "training"}


def some_keys(count: int) -> torch.Tensor:
    return keys_of([f"face-{number}" for number in range(count)], [0.0] * count, 0)


def images(count: int, shape: tuple[int, ...] = (3, 8, 8)) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, (count, *shape), dtype=np.uint8))


@pytest.mark.parametrize(("at", "low", "high"), [(0, 0.9, 1.0), (1, 0.5, 1.0), (2, 1.5, 5.0)])
def test_scales_and_exponents_are_uniform_over_the_published_ranges(at, low, high):
    drawn = gamma.draw(some_keys(4000))[at].double().numpy()
    assert low < drawn.min() < drawn.max() < high
    assert stats.kstest(drawn, "uniform", (low, high - low)).pvalue > 1e-4


def test_the_noises_variance_is_uniform_up_to_the_published_bound():
    deviation = gamma.draw(some_keys(4000))[3].double().numpy()
    assert stats.kstest((deviation * 255 / 25) ** 2, "uniform").pvalue > 1e-4


def test_all_that_is_drawn_for_a_face_is_drawn_apart():
    columns = np.corrcoef(torch.stack(gamma.draw(some_keys(4000))).double().numpy())
    assert abs(columns - np.eye(4)).max() < 5 / 4000**0.5


def test_pixels_are_the_curve_and_noise_of_the_deviation_drawn():
    """Grey 200 is far enough from black and white for nothing to be clipped where the curve is mild."""
    keys = some_keys(400)
    a, b, g, deviation = gamma.draw(keys)
    mild = (g < 2) & (b > 0.7)
    level = (b * (a * 200 / 255) ** g)[mild]
    dark = gamma.darken(torch.full((400, 1, 32, 32), 200, dtype=torch.uint8), keys)[mild].flatten(1).double() / 255
    error = 1 / 255 / 12**0.5  # of rounding
    expected = (deviation[mild].double() ** 2 + error**2).sqrt()
    assert int(mild.sum()) > 20
    assert ((dark.mean(1) - level).abs() < 5 * expected / 32).all()
    assert ((dark.std(1) / expected - 1).abs() < 5 / (2 * 1024) ** 0.5).all()


def test_faces_are_darker_than_they_were():
    bright = images(200).float().mean((1, 2, 3))
    dark = gamma.darken(images(200), some_keys(200)).float().mean((1, 2, 3))
    assert (dark < bright).all()
    assert 0.1 < float((dark / bright).mean()) < 0.6


def test_a_faces_pixels_do_not_depend_on_the_faces_beside_it(monkeypatch):
    whole, keys = gamma.darken(images(40), some_keys(40)), some_keys(40)
    order = torch.randperm(40)
    assert torch.equal(gamma.darken(images(40)[order], keys[order]), whole[order])
    monkeypatch.setattr(gamma, "FACES_AT_ONCE", 7)
    assert torch.equal(gamma.darken(images(40), keys), whole)
    assert (whole.dtype, whole.shape) == (torch.uint8, images(40).shape)


def test_no_training_can_import_it():
    graph = grimp.build_graph("components", "flows", cache_dir=None)
    using = graph.find_downstream_modules("components.lowlight.gamma")
    assert "components.stages.darken" in using
    assert not {module for module in using if module.startswith("components.learning")}
    assert not using & {f"components.stages.{stage}" for stage in TRAININGS}
    assert "flows.sweep" not in using
