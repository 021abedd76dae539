"""Power by calculation is what happens in simulation. Seconds: 4."""

import numpy as np
import pytest
from answers import ABSOLUTE, BETTER, EVERY_CLASS, NOT_WORSE, changed, gates

from components.gates.power import (
    drop_caught,
    drop_sentence,
    foreseen,
    gain_sentence,
    gain_shown,
    non_inferiority_power,
    sentence,
    superiority_power,
)
from components.gates.proportions import mcnemar_p_value, unconditional_p_value

SEED, RUNS = 20261122, 3000


def passed(faces: int, discordant: float, difference: float, shown) -> float:
    """The share of simulated pairs of models for which `shown(lost, won)`."""
    lost, won = (discordant - difference) / 2, (discordant + difference) / 2
    drawn = np.random.default_rng(SEED).multinomial(faces, [lost, won, 1 - lost - won], RUNS)[:, :2]
    counts, times = np.unique(drawn, axis=0, return_counts=True)
    return sum(n for pair, n in zip(counts.tolist(), times.tolist(), strict=True) if shown(*pair)) / RUNS


def close(share: float) -> object:
    """Four standard errors of a simulated share."""
    return pytest.approx(share, abs=4 * (share * (1 - share) / RUNS) ** 0.5 + 1e-3)


@pytest.mark.parametrize("gain", [-0.02, 0.0, 0.03, 0.06])
def test_power_to_show_a_better_model(gain):
    found = passed(400, 0.15, gain, lambda lost, won: mcnemar_p_value(lost, won) <= 0.05)
    assert found == close(superiority_power(400, 0.15, gain, 0.05))


@pytest.mark.parametrize("difference", [-0.05, -0.02, 0.0])
def test_power_to_show_a_model_not_worse(difference):
    found = passed(
        300, 0.15, difference, lambda lost, won: unconditional_p_value(lost, won, 300, 0.05, 0.05 / 50) <= 0.05
    )
    assert found == close(non_inferiority_power(300, 0.15, difference, 0.05, 0.05))


def test_a_drop_that_is_caught_is_stopped_that_often():
    drop = drop_caught(300, 0.15, 0.05, 0.05, 0.8)
    assert drop is not None
    assert 0 < drop < 0.05
    assert non_inferiority_power(300, 0.15, -drop, 0.05, 0.05) == pytest.approx(0.2, abs=1e-3)
    gain = gain_shown(400, 0.15, 0.05, 0.8)
    assert gain is not None
    assert superiority_power(400, 0.15, gain, 0.05) == pytest.approx(0.8, abs=1e-3)


def test_equal_models_and_those_worse_by_the_margin_pass_at_most_alpha():
    assert superiority_power(1000, 0.1, 0, 0.05) <= 0.05
    assert 0.01 < non_inferiority_power(300, 0.15, -0.05, 0.05, 0.05) <= 0.05


def test_the_sentence_for_fer_plus():
    assert sentence(2862, 0.1, 0.02, 0.05) == (
        "with 2,862 faces and 10 % discordant pairs a drop of 1.4 points is caught with 80 % by a margin of 2 points, "
        "which an equal model passes with 94 %; a gain of 1.5 points is shown with 80 %"
    )


def test_too_few_faces_and_too_wide_a_margin_are_said_to_see_nothing():
    assert gain_sentence(20, 0.1, 0.005) == "no gain is shown with 80 %"
    assert drop_sentence(300, 0.1, 0.3, 0.05).startswith("no drop is caught with 80 % by a margin of 30 points")
    # so narrow a margin that an equal model is stopped
    said = drop_sentence(100, 0.1, 0.01, 0.005)
    assert said.startswith("a drop of 0.0 points is caught with 80 % by a margin of 1 points")
    assert drop_caught(20, 0.1, 0.01, 0.005, 0.8) == 0


def test_what_is_foreseen_goes_by_the_policy():
    """A tenth of alpha for each of ten looks; gates that do not count won and lost faces are not spoken of."""
    declared = gates(
        ABSOLUTE, NOT_WORSE, BETTER, EVERY_CLASS, changed(BETTER, name="drawn", test="bootstrap"), looks=10
    )
    with_them = "with 1,000 faces and 10 % discordant pairs"
    assert foreseen(declared, 1000, 1000) == (
        f"not_worse: {with_them} {drop_sentence(1000, 0.1, 0.03, 0.005)}",
        f"better: {with_them} {gain_sentence(1000, 0.1, 0.005)}",
    )
    assert foreseen(declared, 1000, 50)[1].endswith("; at best, for they are of 50 persons")
