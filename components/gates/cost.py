"""What an answer costs, against the champion."""

import math

import numpy as np
from scipy import stats

from components.gates.evidence import Costs
from components.gates.policy import Cost
from components.gates.verdict import ENDS, Verdict, bounded

COLUMNS = {"latency_p95": "latency_p95_milliseconds", "faces_per_second": "faces_per_second"}


def judge_cost(gate: Cost, candidate: Costs | None, champion: Costs | None) -> Verdict:
    """The ratio candidate / champion. No test face is looked at, so its risk is not split over the looks."""
    if candidate is None or champion is None:
        return Verdict(gate.name, gate.kind, "fail", "costs were not measured", limit=gate.ratio)
    if gate.metric == "artefact_size":
        estimate = candidate.artefact_bytes / champion.artefact_bytes
        low, high, how = estimate, estimate, f"{candidate.artefact_bytes} against {champion.artefact_bytes} bytes"
    else:
        ours, theirs = (getattr(costs, COLUMNS[gate.metric]) for costs in (candidate, champion))
        if not (np.isfinite([ours, theirs]).all() and (np.array([ours, theirs]) > 0).all() and len(ours)):
            why = f"a measurement of {gate.metric} is not a number above 0"
            return Verdict(gate.name, gate.kind, "fail", why, limit=gate.ratio)
        estimate, low, high = ratio(ours, theirs, gate.confidence)
        how = f"{len(ours)} rounds on {candidate.device}"
    outcome = bounded(low, high, gate.ratio, gate.metric == "faces_per_second")
    asked = "at least" if gate.metric == "faces_per_second" else "at most"
    why = (
        f"{gate.metric} is {estimate:.2f} ({low:.2f} to {high:.2f}) of the champion's, {how}; {asked} {gate.ratio:g} "
        f"is {ENDS[outcome]}"
    )
    return Verdict(gate.name, gate.kind, outcome, why, estimate, low, high, gate.ratio)


def ratio(ours: np.ndarray, theirs: np.ndarray, confidence: float) -> tuple[float, float, float]:
    """(estimate, low, high): the geometric mean over rounds (T,), and Student's interval, in logarithms.

    In a round both meet the same disturbances, so the rounds are paired. One round alone gives no interval.
    """
    logarithms = np.log(ours) - np.log(theirs)
    mean, rounds = float(logarithms.mean()), len(logarithms)
    if rounds < 2:
        return math.exp(mean), 0.0, math.inf
    half = stats.t.ppf(confidence, rounds - 1) * logarithms.std(ddof=1) / math.sqrt(rounds)
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)
