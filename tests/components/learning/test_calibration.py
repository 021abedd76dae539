"""The temperature is the one that was put in."""

import numpy as np
import pytest
from scipy.special import softmax

from components.learning.calibration import HIGHEST, fit_temperature


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found_again(temperature):
    generator = np.random.default_rng(3)
    honest = generator.normal(0, 2, (20_000, 5))
    labels = (softmax(honest, axis=1).cumsum(axis=1) < generator.random((20_000, 1))).sum(axis=1)
    assert fit_temperature(honest * temperature, labels) == pytest.approx(temperature, rel=0.03)


def test_it_changes_no_answer_and_lowers_the_loss_of_an_overconfident_model():
    generator = np.random.default_rng(4)
    logits, labels = generator.normal(0, 10, (500, 4)), generator.integers(0, 4, 500)
    found = fit_temperature(logits, labels)

    def loss(scale):
        return -np.log(softmax(logits / scale, axis=1)[np.arange(500), labels]).mean()

    assert loss(found) < loss(1.0)
    assert found == pytest.approx(HIGHEST, rel=0.01)  # noise deserves no confidence
