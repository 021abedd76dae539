"""Tests and intervals for shares of faces, where every face is independent of the others.

Of `faces` pairs of answers, `won` are right only by the candidate and `lost` only by the champion.
"""

import numpy as np
from scipy import optimize, stats
from statsmodels.stats.proportion import proportion_confint

EDGE = 1e-9  # how near to -1 and 1 Tango's statistic is evaluated: there it is 0/0
SHARES = 25  # of discordant pairs, at which the unconditional test looks for its greatest p


def share_interval(right: int, faces: int, alpha: float, test: str) -> tuple[float, float]:
    """The interval of a share that leaves out alpha on either side: `test` is wilson or exact (Clopper-Pearson)."""
    low, high = proportion_confint(right, faces, 2 * alpha, method={"wilson": "wilson", "exact": "beta"}[test])
    return float(low), float(high)


def mcnemar_p_value(lost: int, won: int) -> float:
    """McNemar's exact one-sided test: P(this many won or more | a discordant face is won as often as lost)."""
    if lost + won == 0:
        return 1.0
    return float(stats.binomtest(won, lost + won, alternative="greater").pvalue)


def unconditional_p_value(lost: int, won: int, faces: int, margin: float, outside: float = 0.001) -> float:
    """Exact McNemar test with a margin: P(a difference as good as this one | truly worse by `margin`).

    The null is p_lost - p_won = margin, with the share of discordant pairs unknown: the greatest p over its interval
    of confidence 1 - outside, plus `outside` (Berger and Boos, JASA 1994), so the test keeps its level whatever that
    share is. A margin below zero asks for a candidate that is better by more than that.
    """
    interval = stats.binomtest(lost + won, faces).proportion_ci(1 - outside, method="exact")
    shares = np.linspace(max(interval.low, abs(margin)), max(interval.high, abs(margin)), SHARES)
    return min(1.0, outside + float(_tails(lost - won, faces, margin, shares).max()))


def _tails(difference: int, faces: int, margin: float, shares: np.ndarray) -> np.ndarray:
    """P(lost - won <= difference) for each share of discordant pairs, which then are lost more often: (S,)."""
    # numbers of discordant faces that come less than once in 10^15 samples are left out
    few, many = stats.binom.ppf(1e-15, faces, shares[0]), stats.binom.isf(1e-15, faces, shares[-1])
    discordant = np.arange(max(few - 1, 0), min(many + 2, faces + 1))
    lost_given_discordant = np.clip(0.5 + margin / (2 * shares), 0, 1)[:, None]
    # lost - won = 2 lost - discordant
    below = stats.binom.cdf(np.floor((discordant + difference) / 2), discordant, lost_given_discordant)
    return np.sum(stats.binom.pmf(discordant, faces, shares[:, None]) * below, axis=1)


def tango_statistic(
    lost: np.ndarray | int, won: np.ndarray | int, faces: int, difference: np.ndarray | float
) -> np.ndarray:
    """Score statistic of the null p_won - p_lost = difference; normal under it (Tango 1998, eq. 24 to 26).

    Arrays broadcast; -1 < difference < 1. At zero difference it is McNemar's (won - lost) / sqrt(won + lost).
    """
    b = (2 * faces - won + lost) * difference - won - lost
    c = -lost * difference * (1 - difference)
    p_lost = (np.sqrt(np.maximum(b * b - 8 * faces * c, 0)) - b) / (4 * faces)  # its likeliest value under the null
    variance = faces * (2 * p_lost + difference * (1 - difference))
    excess = won - lost - faces * difference
    return np.where(variance > 0, excess / np.sqrt(np.where(variance > 0, variance, 1)), 0.0)


def tango_interval(lost: int, won: int, faces: int, alpha: float) -> tuple[float, float]:
    """The differences p_won - p_lost that the score test does not reject at alpha on either side (Tango 1998)."""
    z, estimate = stats.norm.isf(alpha), (won - lost) / faces

    def statistic(difference: float) -> float:
        return 0.0 if difference == estimate else float(tango_statistic(lost, won, faces, difference))

    low = -1.0 if estimate == -1 else optimize.brentq(lambda d: statistic(d) - z, EDGE - 1, estimate)
    high = 1.0 if estimate == 1 else optimize.brentq(lambda d: statistic(d) + z, estimate, 1 - EDGE)
    return low, high
