"""The temperature is the one that was put in, and adjustment takes the classes' shares out."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from components.learning.calibration import HIGHEST, Calibration, adjusted, fit_temperature


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found_again(temperature):
    generator = np.random.default_rng(3)
    honest = generator.normal(0, 2, (20_000, 5))
    labels = (softmax(honest, axis=1).cumsum(axis=1) < generator.random((20_000, 1))).sum(axis=1)
    assert fit_temperature(honest * temperature, np.eye(5)[labels]) == pytest.approx(temperature, rel=0.03)


def test_votes_are_met_by_the_temperature_that_makes_them():
    honest = np.random.default_rng(3).normal(0, 2, (2000, 5))
    assert fit_temperature(honest * 1.7, softmax(honest, axis=1)) == pytest.approx(1.7, rel=0.001)


def test_it_changes_no_answer_and_lowers_the_loss_of_an_overconfident_model():
    generator = np.random.default_rng(4)
    logits, labels = generator.normal(0, 10, (500, 4)), generator.integers(0, 4, 500)
    found = fit_temperature(logits, np.eye(4)[labels])

    def loss(scale):
        return -np.log(softmax(logits / scale, axis=1)[np.arange(500), labels]).mean()

    assert loss(found) < loss(1.0)
    assert found == pytest.approx(HIGHEST, rel=0.01)  # noise deserves no confidence


SHARES = np.array([0.7, 0.2, 0.1])


def test_at_full_strength_what_knows_the_shares_alone_finds_all_classes_as_likely():
    logits = torch.from_numpy(np.log(SHARES)).float()[None]
    answers = Calibration(1.0, adjusted(np.log(SHARES), 1.0)).probabilities(logits)
    assert answers.numpy() == pytest.approx(np.full((1, 3), 1 / 3), abs=1e-4)
    unchanged = Calibration(1.0, adjusted(np.log(SHARES), 0.0)).probabilities(logits)
    assert unchanged.numpy() == pytest.approx(SHARES[None], abs=1e-6)


def test_more_adjustment_finds_more_of_a_rare_class_and_fewer_of_the_commonest():
    """Two classes apart by one deviation: what is best for common faces misses most of the rare ones."""
    generator = np.random.default_rng(5)
    labels = (generator.random(20_000) < 0.1).astype(int)
    seen = generator.normal(labels * 2.0 - 1, 1)
    logits = torch.from_numpy(np.stack([np.log(0.9) - 2 * seen, np.log(0.1) + 0 * seen], axis=1))
    found = []
    for strength in (0.0, 0.5, 1.0):
        calibration = Calibration(1.0, adjusted(np.log([0.9, 0.1]), strength))
        answers = calibration.probabilities(logits).argmax(dim=1).numpy()
        found.append([(answers[labels == one] == one).mean() for one in (0, 1)])
    common, rare = np.array(found).T
    assert (np.diff(rare) > 0.1).all()
    assert (np.diff(common) < 0).all()
    assert rare[2] == pytest.approx(common[2], abs=0.02)  # at full strength, as if there were as many of each
