"""Candidate against champion on the same faces."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from components.gates.evidence import Table
from components.gates.faces import faces_in, rows_at, rows_of_slice, where
from components.gates.policy import HIGHER_IS_BETTER, NonInferiority, Superiority
from components.gates.proportions import mcnemar_p_value, tango_interval, tango_statistic, unconditional_p_value
from components.gates.resampling import Drawn, draw, independent
from components.gates.verdict import ENDS, Outcome, Verdict


@dataclass(frozen=True)
class Comparison:
    """Candidate less champion, and how surely that lies on either side of a limit."""

    estimate: float
    low: float
    high: float
    p_above: float  # of the null that the true difference is at most the limit
    p_below: float  # of the null that it is at least the limit
    how: str  # part of a sentence

    def toward(self, metric: str) -> tuple[float, float]:
        """(p that speaks for the candidate, p that speaks against it): for an error, below the limit is good."""
        return (self.p_above, self.p_below) if metric in HIGHER_IS_BETTER else (self.p_below, self.p_above)


def judge_paired(gate: NonInferiority | Superiority, candidate: Table, champion: Table, alpha: float) -> Verdict:
    rows = rows_of_slice(candidate, rows_at(candidate, gate.exposures), gate.slice)
    margin = gate.margin if isinstance(gate, NonInferiority) else 0.0
    limit = limit_of(gate.metric, margin)
    found = compare(gate.test, gate.metric, candidate, champion, rows, limit, alpha)
    p_for, p_against = found.toward(gate.metric)
    outcome: Outcome = "pass" if p_for <= alpha else "fail" if p_against <= alpha else "inconclusive"
    asked = f"not worse by {margin:g}" if margin else "better"
    why = (
        f"{gate.metric} of {gate.slice} {where(gate)} differs by {found.estimate:+.3f} ({found.low:+.3f} to "
        f"{found.high:+.3f}) from the champion's; {asked} is {ENDS[outcome]}: {found.how}, p = {p_for:.2g}, at most "
        f"{alpha:.2g}"
    )
    faces = faces_in(candidate, rows)
    return Verdict(gate.name, gate.kind, outcome, why, found.estimate, found.low, found.high, limit, faces, p_for)


def limit_of(metric: str, margin: float) -> float:
    """The difference, candidate less champion, that is worse by the margin."""
    return -margin if metric in HIGHER_IS_BETTER else margin


def compare(
    test: str, metric: str, candidate: Table, champion: Table, rows: np.ndarray, limit: float, alpha: float
) -> Comparison:
    """`test` is exact, tango or bootstrap. Where faces are of one person, exact and tango give way to the bootstrap."""
    if test != "bootstrap" and independent(candidate, rows):
        return compare_right(test, candidate, champion, rows, limit, alpha)
    return of_drawn(draw(metric, (candidate, champion), [rows], alpha).of(0), limit, alpha)


def compare_right(
    test: str, candidate: Table, champion: Table, rows: np.ndarray, limit: float, alpha: float
) -> Comparison:
    """Shares of right answers of independent faces. The interval is Tango's whatever the test."""
    right, before = (table.predicted[rows] == table.labels[rows] for table in (candidate, champion))
    won, lost, faces = int((right & ~before).sum()), int((before & ~right).sum()), len(rows)
    low, high = tango_interval(lost, won, faces, alpha)
    if test == "tango":
        z = float(tango_statistic(lost, won, faces, limit))
        p_above, p_below = float(stats.norm.sf(z)), float(stats.norm.cdf(z))
    elif limit == 0:
        p_above, p_below = mcnemar_p_value(lost, won), mcnemar_p_value(won, lost)
    else:  # a fiftieth of alpha covers the unknown share of discordant faces
        p_above = unconditional_p_value(lost, won, faces, -limit, alpha / 50)
        p_below = unconditional_p_value(won, lost, faces, limit, alpha / 50)
    how = f"{won} faces won and {lost} lost of {faces}, {test} test"
    return Comparison((won - lost) / faces, low, high, p_above, p_below, how)


def of_drawn(drawn: Drawn, limit: float, alpha: float) -> Comparison:
    low, high = drawn.interval(alpha)
    return Comparison(drawn.value, low, high, drawn.p_above(limit), drawn.p_below(limit), drawn.how)
