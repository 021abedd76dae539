"""Tests and intervals of shares: published values, brute force, levels. Seconds: 6."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from components.gates.proportions import (
    mcnemar_p_value,
    share_interval,
    tango_interval,
    tango_statistic,
    unconditional_p_value,
)

p_value = cache(unconditional_p_value)  # the same counts come again and again
SEED = 20261122


def trinomial(faces: int, p_lost: float, p_won: float):
    """Every outcome (lost, won) of `faces` pairs with its probability, by brute force."""
    chances = [p_lost, p_won, max(0.0, 1 - p_lost - p_won)]
    for lost in range(faces + 1):
        for won in range(faces + 1 - lost):
            rest = faces - lost - won
            yield lost, won, stats.multinomial.pmf([lost, won, rest], faces, chances)


@pytest.mark.parametrize("faces", [1, 2, 3, 5, 8, 12])
@pytest.mark.parametrize("margin", [0.03, 0.2])
def test_a_model_worse_by_the_margin_passes_at_most_alpha_of_the_time(faces, margin):
    """By enumeration, for every share of discordant faces and every alpha: the test is valid."""
    for share in np.linspace(margin, 1, 12):
        outcomes = list(trinomial(faces, (share + margin) / 2, (share - margin) / 2))
        assert sum(chance for *_, chance in outcomes) == pytest.approx(1)
        for alpha in (0.01, 0.05, 0.2, 0.4):
            assert sum(chance for lost, won, chance in outcomes if p_value(lost, won, faces, margin) <= alpha) <= alpha


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 12), st.data(), st.floats(0.01, 0.5))
def test_the_p_value_is_at_least_the_tail_for_every_plausible_share(faces, data, margin):
    """Plausible: within the 99.9 % interval of the share, but for whose .001 the p-value answers by itself."""
    lost = data.draw(st.integers(0, faces))
    won = data.draw(st.integers(0, faces - lost))
    p = p_value(lost, won, faces, margin)
    interval = stats.binomtest(lost + won, faces).proportion_ci(0.999, method="exact")
    for share in np.linspace(max(interval.low, margin), max(interval.high, margin), 21):
        outcomes = trinomial(faces, (share + margin) / 2, (share - margin) / 2)
        tail = sum(chance for other_lost, other_won, chance in outcomes if other_lost - other_won <= lost - won)
        assert p >= tail - 1e-4  # the grid of shares is not infinitely fine
    assert 0 < p <= 1


@pytest.mark.parametrize("faces", [5, 12])
def test_without_a_margin_and_all_faces_discordant_it_is_the_sign_test(faces):
    for lost in range(faces + 1):
        sign = stats.binomtest(lost, faces, 0.5, alternative="less").pvalue
        assert p_value(lost, faces - lost, faces, 1e-9) >= sign


@settings(deadline=None, max_examples=40)
@given(st.integers(10, 200), st.data())
def test_each_face_won_is_evidence_and_each_face_lost_is_evidence_against(faces, data):
    lost = data.draw(st.integers(1, faces // 2))
    won = data.draw(st.integers(0, faces - lost - 1))
    assert p_value(lost - 1, won + 1, faces, 0.03) <= p_value(lost, won, faces, 0.03) + 1e-9


@settings(deadline=None, max_examples=40)
@given(st.integers(10, 300), st.data())
def test_a_wider_margin_is_easier(faces, data):
    lost = data.draw(st.integers(0, faces // 4))
    won = data.draw(st.integers(0, faces // 4))
    assert p_value(lost, won, faces, 0.1) <= p_value(lost, won, faces, 0.02) + 1e-9


@pytest.mark.parametrize(("p_won", "p_lost"), [(0.05, 0.08), (0.20, 0.23)])
def test_in_simulation_a_model_worse_by_the_margin_passes_at_most_one_time_in_twenty(p_won, p_lost):
    runs, faces, alpha = 20000, 400, 0.05
    generator = np.random.default_rng(SEED)
    drawn = generator.multinomial(faces, [p_lost, p_won, 1 - p_lost - p_won], runs)
    counts, times = np.unique(drawn[:, :2], axis=0, return_counts=True)
    # whoever lost more than the margin does not pass, which spares most of the work
    passed = sum(
        number
        for (lost, won), number in zip(counts.tolist(), times.tolist(), strict=True)
        if lost - won < 0.03 * faces and p_value(lost, won, faces, 0.03) <= alpha
    )
    assert passed / runs <= alpha + 4 * (alpha * (1 - alpha) / runs) ** 0.5, SEED
    assert passed > 0  # the test is not merely deaf


def test_an_equal_model_with_many_faces_mostly_passes():
    """Power: 3,000 faces, 10 % discordant, margin .03."""
    drawn = np.random.default_rng(SEED).multinomial(3000, [0.05, 0.05, 0.9], 60)
    passed = [p_value(lost, won, 3000, 0.03) <= 0.05 for lost, won, _ in drawn.tolist()]
    assert np.mean(passed) > 0.9


def test_a_p_value_is_never_above_one_nor_below_what_lies_outside_the_interval():
    assert p_value(50, 0, 50, 0.03) == 1
    assert p_value(0, 50, 50, 0.03) == pytest.approx(0.001, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 12), st.data(), st.floats(0.01, 0.4))
def test_a_negative_margin_asks_for_a_better_model(faces, data, gain):
    """By enumeration of the null p_won - p_lost = gain, at the likeliest share of discordant faces."""
    won = data.draw(st.integers(1, faces))
    lost = data.draw(st.integers(0, faces - won))
    discordant = max((won + lost) / faces, gain)
    outcomes = trinomial(faces, (discordant - gain) / 2, (discordant + gain) / 2)
    tail = sum(chance for other_lost, other_won, chance in outcomes if other_won - other_lost >= won - lost)
    assert unconditional_p_value(lost, won, faces, -gain) >= tail - 1e-4
    assert unconditional_p_value(lost, won, faces, -gain) >= unconditional_p_value(lost, won, faces, gain) - 1e-9


def test_tangos_example_of_soft_contact_lenses():
    """Tango 1998, section 6.1: of 44 pairs 1 is lost and none won; margin .1: Z = 1.709, p = .044, 90 % limit -.096."""
    z = float(tango_statistic(1, 0, 44, -0.1))
    assert z == pytest.approx(1.709, abs=5e-4)
    assert stats.norm.sf(z) == pytest.approx(0.044, abs=5e-4)
    assert tango_interval(1, 0, 44, 0.05)[0] == pytest.approx(-0.096, abs=5e-4)


@pytest.mark.parametrize(
    ("won", "lost", "faces", "low", "high"),
    [(1, 7, 21, -0.517, -0.026), (6, 16, 161, -0.1240, -0.0054)],
    ids=["airway hyper-responsiveness", "complete response"],
)
def test_tangos_interval_of_two_published_tables(won, lost, faces, low, high):
    """Fagerland, Lydersen and Laake, Statistical Analysis of Contingency Tables (2017), chapter 8; 95 %."""
    found = tango_interval(lost, won, faces, 0.025)
    assert found == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 300), st.data(), st.floats(0.001, 0.4))
def test_tangos_interval_holds_what_its_score_test_does_not_reject(faces, data, alpha):
    lost = data.draw(st.integers(0, faces))
    won = data.draw(st.integers(0, faces - lost))
    low, high = tango_interval(lost, won, faces, alpha)
    assert -1 <= low <= (won - lost) / faces <= high <= 1
    mirrored = tango_interval(won, lost, faces, alpha)
    assert (low, high) == (pytest.approx(-mirrored[1], abs=1e-6), pytest.approx(-mirrored[0], abs=1e-6))
    for bound, z in ((low, stats.norm.isf(alpha)), (high, stats.norm.ppf(alpha))):
        if -0.999 < bound < 0.999 and abs(bound - (won - lost) / faces) > 1e-4:
            assert float(tango_statistic(lost, won, faces, bound)) == pytest.approx(z, rel=1e-3, abs=1e-3)


def test_tangos_statistic_without_a_difference_is_mcnemars():
    assert float(tango_statistic(10, 25, 200, 0.0)) == pytest.approx(15 / 35**0.5)


@pytest.mark.parametrize(("lost", "won", "p"), [(0, 0, 1.0), (0, 5, 1 / 32), (5, 0, 1.0), (1, 3, 5 / 16)])
def test_mcnemars_test_is_the_sign_test_of_discordant_faces(lost, won, p):
    assert mcnemar_p_value(lost, won) == pytest.approx(p)


def test_intervals_of_a_share_are_the_textbooks():
    """Wilson and Clopper-Pearson of 15 in 148 at 95 %: Newcombe, Statistics in Medicine 17 (1998) 857, table I."""
    assert share_interval(15, 148, 0.025, "wilson") == (
        pytest.approx(0.0624, abs=5e-5),
        pytest.approx(0.1605, abs=5e-5),
    )
    assert share_interval(15, 148, 0.025, "exact") == (pytest.approx(0.0578, abs=5e-5), pytest.approx(0.1617, abs=5e-5))
