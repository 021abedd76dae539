"""Gates on the candidate alone: a figure against a limit, and the gap between slices."""

from itertools import permutations

import numpy as np

from components.gates.evidence import Table
from components.gates.faces import faces_in, rows_at, rows_of_slice, slices, where
from components.gates.policy import HIGHER_IS_BETTER, Absolute, Fairness
from components.gates.proportions import share_interval
from components.gates.resampling import draw, enough, independent
from components.gates.verdict import ENDS, Part, Verdict, bounded
from components.learning.metrics import majority_share


def judge_absolute(gate: Absolute, table: Table, alpha: float) -> Verdict:
    """The bound decides, not the point: at least the limit, or at most for brier and calibration_error.

    The interval of accuracy_above_majority is that of accuracy alone, moved: the share of the commonest class is found
    on these same faces and taken as given.
    """
    rows = rows_of_slice(table, rows_at(table, gate.exposures), gate.slice)
    faces = faces_in(table, rows)
    if gate.test != "bootstrap" and independent(table, rows):
        right = int((table.predicted[rows] == table.labels[rows]).sum())
        low, high = share_interval(right, faces, alpha, gate.test)
        less = majority_share(table.labels[rows]) if gate.metric == "accuracy_above_majority" else 0.0
        estimate, low, high, how = right / faces - less, low - less, high - less, f"{gate.test} interval"
    else:
        drawn = draw(gate.metric, (table,), [rows], alpha).of(0)
        estimate, (low, high), how = drawn.value, drawn.interval(alpha), drawn.how
    at_least = gate.metric in HIGHER_IS_BETTER
    outcome = bounded(low, high, gate.limit, at_least)
    why = (
        f"{gate.metric} of {gate.slice} is {estimate:.3f} ({low:.3f} to {high:.3f}) {where(gate)}, {faces} faces, "
        f"{how}; {'at least' if at_least else 'at most'} {gate.limit:g} is {ENDS[outcome]}"
    )
    return Verdict(gate.name, gate.kind, outcome, why, estimate, low, high, gate.limit, faces)


def judge_fairness(gate: Fairness, table: Table, alpha: float) -> Verdict:
    """The gap between best and worst slice is bounded when that between every two slices is.

    Each of those is tested at alpha: where all must hold, their conjunction has the level of one (Berger 1982). That
    some gap is too wide is said at alpha over the number of pairs.
    """
    rows = rows_at(table, gate.exposures)
    found = slices(table, rows, gate.by)
    counts = {name: faces_in(table, part) for name, part in found.items()}
    small = [name for name, part in found.items() if not enough(table, part, gate.minimum_faces)]
    names = [name for name in found if name not in small]
    if len(names) < 2:
        why = f"{len(names)} slices by {gate.by} have the {gate.minimum_faces} faces that a comparison takes"
        return Verdict(gate.name, gate.kind, "inconclusive", why, limit=gate.gap, faces=faces_in(table, rows))
    pairs = list(permutations(range(len(names)), 2))
    # as many resamples as the farther of the two bounds takes
    draws = draw(gate.metric, (table,), [found[name] for name in names], alpha / len(pairs))
    high = max(draws.gap(*pair).interval(alpha)[1] for pair in pairs)
    low = max(0.0, *(draws.gap(*pair).interval(alpha / len(pairs))[0] for pair in pairs))
    best, worst = int(np.argmax(draws.values)), int(np.argmin(draws.values))
    outcome = bounded(low, high, gate.gap, at_least=False)
    outcome = "inconclusive" if outcome == "pass" and small else outcome
    estimate = float(draws.values[best] - draws.values[worst])
    why = (
        f"{gate.metric} {where(gate)} differs by {estimate:.3f} ({low:.3f} to {high:.3f}) between {names[best]} and "
        f"{names[worst]}; at most {gate.gap:g} is {ENDS[outcome]}" + too_small(small, gate.minimum_faces)
    )
    parts = [_part(draws.of(n).value, draws.of(n).interval(alpha), name, counts[name]) for n, name in enumerate(names)]
    parts += [Part(name, "inconclusive", np.nan, np.nan, np.nan, counts[name]) for name in small]
    faces = faces_in(table, rows)
    return Verdict(gate.name, gate.kind, outcome, why, estimate, low, high, gate.gap, faces, parts=tuple(parts))


def _part(value: float, interval: tuple[float, float], name: str, faces: int) -> Part:
    return Part(name, "pass", value, *interval, faces)


def too_small(names: list[str], minimum_faces: int) -> str:
    """The end of a sentence: which slices nothing can be said of."""
    return f"; fewer than {minimum_faces} faces: {', '.join(names)}" if names else ""
