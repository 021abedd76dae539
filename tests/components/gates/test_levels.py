"""The gates' promise, by simulation: at most alpha of the models that are worse by the margin pass. Seconds: 20."""

from functools import partial

import numpy as np
import pytest

from benchmarks.gates import RULES, Pair, Population, passed, picture, population, shares
from components.gates.power import non_inferiority_power, superiority_power

FACES, DISCORDANT, MARGIN, ALPHA, RUNS = 500, 0.1, 0.04, 0.05, 3000
found = partial(shares, margin=MARGIN, alpha=ALPHA, runs=RUNS)


def within(share: float, runs: int) -> float:
    """What a simulated share stays below, four standard errors up."""
    return share + 4 * (share * (1 - share) / runs) ** 0.5


def test_equal_models_are_promoted_as_better_at_most_alpha_of_the_time():
    promoted = found(Pair(FACES, DISCORDANT, 0.0))
    assert 0 < promoted["better"] <= within(ALPHA, RUNS)
    # the usual rules promote a coin toss
    assert promoted["new >= old"] > 0.5 > promoted["new > old"] > 0.4


def test_a_model_worse_by_the_margin_passes_at_most_alpha_of_the_time():
    assert 0 < found(Pair(FACES, DISCORDANT, -MARGIN))["not worse"] <= within(ALPHA, RUNS)


@pytest.mark.parametrize("gain", [0.02, 0.03])
def test_a_better_model_is_promoted_with_the_power_that_was_calculated(gain):
    promoted = found(Pair(FACES, DISCORDANT, gain))
    for rule, power in (
        ("better", superiority_power(FACES, DISCORDANT, gain, ALPHA)),
        ("not worse", non_inferiority_power(FACES, DISCORDANT, gain, MARGIN, ALPHA)),
    ):
        assert promoted[rule] == pytest.approx(power, abs=within(0.5, RUNS) - 0.5)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_with_faces_of_few_persons_the_level_holds_where_persons_are_known(metric):
    runs, margin = 120, 0.06
    worse = population(metric, margin)
    assert 0 < passed(metric, margin, worse, runs) <= within(ALPHA, runs)
    assert passed(metric, 0.12, Population(0.7, 0.0, (0.0, 0.0)), 30) > 0.8


def test_taking_faces_of_one_person_for_independent_would_break_it():
    assert passed("accuracy", 0.06, population("accuracy", 0.06), 400, persons_known=False) > within(ALPHA, 400)


def test_the_picture_has_a_line_for_every_rule():
    drawn = picture({one: dict.fromkeys(RULES, 0.5) for one in np.linspace(-0.03, 0.03, 5).tolist()})
    assert drawn.count("<polyline") == len(RULES)
    for rule in ("not worse", "better", "new &gt;= old", "new &gt; old", "α 0.05"):
        assert rule in drawn
