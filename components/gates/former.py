"""Promotion statistics: pure functions over prediction tables of candidate and champion on the same faces."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy import stats

from components.config import Config
from components.learning.evaluation import Predictions
from components.learning.metrics import accuracy, majority_share


class Floor(Config):
    """Clearly better than always naming the commonest class."""

    kind: Literal["floor"]
    name: str
    exposure: float = Field(gt=0, le=1)
    above_majority: float = Field(ge=0, lt=1)


class NotWorse(Config):
    """Not worse than the champion by `margin` or more, at the given confidence, on the same faces."""

    kind: Literal["not_worse"]
    name: str
    exposure: float = Field(gt=0, le=1)
    margin: float = Field(gt=0, lt=1)
    confidence: float = Field(gt=0.5, lt=1)


Gate = Annotated[Floor | NotWorse, Field(discriminator="kind")]


@dataclass(frozen=True)
class Verdict:
    """What one gate says, and why."""

    name: str
    passed: bool
    estimate: float
    limit: float
    faces: int
    p_value: float | None
    why: str


def judge(gate: Floor | NotWorse, candidate: Predictions, champion: Predictions | None) -> Verdict:
    """One gate's verdict. Both tables hold the same rows in the same order."""
    here = candidate.exposures == gate.exposure
    if not here.any():
        rungs = sorted(set(candidate.exposures.tolist()))
        why = f"no prediction at exposure {gate.exposure:g}: there are {rungs}"
        return Verdict(gate.name, False, float("nan"), float("nan"), 0, None, why)
    if isinstance(gate, Floor):
        return judge_floor(gate, candidate, here)
    return judge_not_worse(gate, candidate, champion, here)


def judge_floor(gate: Floor, candidate: Predictions, here: np.ndarray) -> Verdict:
    estimate = accuracy(candidate.predicted[here], candidate.labels[here])
    limit = majority_share(candidate.labels[here]) + gate.above_majority
    why = f"accuracy {estimate:.3f} at exposure {gate.exposure:g}, at least {limit:.3f} asked"
    return Verdict(gate.name, estimate >= limit, estimate, limit, int(here.sum()), None, why)


def judge_not_worse(gate: NotWorse, candidate: Predictions, champion: Predictions | None, here: np.ndarray) -> Verdict:
    faces = int(here.sum())
    if champion is None:
        return Verdict(gate.name, True, 0.0, -gate.margin, faces, None, "no champion yet to compare with")
    assert candidate.ids == champion.ids
    assert np.array_equal(candidate.exposures, champion.exposures)
    candidate_right = (candidate.predicted == candidate.labels)[here]
    champion_right = (champion.predicted == champion.labels)[here]
    lost = int((champion_right & ~candidate_right).sum())
    won = int((candidate_right & ~champion_right).sum())
    p_value = not_worse_p_value(lost, won, faces, gate.margin)
    alpha = 1 - gate.confidence
    why = f"{won} faces won, {lost} lost of {faces}; worse by {gate.margin:g}: p = {p_value:.2g}, at most {alpha:.2g}"
    return Verdict(gate.name, p_value <= alpha, (won - lost) / faces, -gate.margin, faces, p_value, why)


def not_worse_p_value(lost: int, won: int, faces: int, margin: float) -> float:
    """Exact McNemar test with a margin: P(a difference as good as this one | truly worse by `margin`).

    Of `faces` pairs, `lost` are right only by the champion and `won` only by the candidate. The null is
    p_lost - p_won = margin, with the share of discordant pairs unknown: the greatest p over its 99.9 % interval, plus
    the .001 that lies outside (Berger and Boos, JASA 1994), so the test keeps its level whatever that share is.
    """
    outside = 0.001
    discordant = lost + won
    interval = stats.binomtest(discordant, faces).proportion_ci(1 - outside, method="exact")
    low, high = max(interval.low, margin), max(interval.high, margin)
    return min(1.0, outside + max(_tail(lost - won, faces, margin, share) for share in np.linspace(low, high, 25)))


def _tail(difference: int, faces: int, margin: float, share: float) -> float:
    """P(lost - won <= difference), where a pair is discordant with probability `share` and, if so, lost more often."""
    discordant = np.arange(faces + 1)
    lost_given_discordant = min(1.0, 0.5 + margin / (2 * share))
    # lost - won = 2 lost - discordant
    below = stats.binom.cdf(np.floor((discordant + difference) / 2), discordant, lost_given_discordant)
    return float(np.sum(stats.binom.pmf(discordant, faces, share) * below))
