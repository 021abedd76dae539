"""No slice may be worse than the champion by more than a margin."""

import numpy as np
from statsmodels.stats.multitest import multipletests

from components.gates.absolute import too_small
from components.gates.evidence import Table
from components.gates.faces import EXPOSURE, faces_in, rows_at, slices, where
from components.gates.paired import Comparison, compare, limit_of
from components.gates.policy import Slices
from components.gates.resampling import enough
from components.gates.verdict import ENDS, Outcome, Part, Verdict


def judge_slices(gate: Slices, candidate: Table, champion: Table, alpha: float) -> Verdict:
    """Every slice is compared with the champion; what is shown of one decides as follows.

    fail: some slice is shown to be worse by more than the margin, with Holm's correction across slices (1979), since
    any of them would do. pass: each slice is shown not to be, at alpha each: where all must hold, no correction is
    needed (Berger 1982). Neither, or a slice with too few faces: inconclusive.
    """
    rows, limit = rows_at(candidate, gate.exposures), limit_of(gate.metric, gate.margin)
    found = slices(candidate, rows, gate.by)
    counts = {name: faces_in(candidate, part) for name, part in found.items()}
    small = [name for name, part in found.items() if not enough(candidate, part, gate.minimum_faces)]
    names = [name for name in found if name not in small]
    faces = faces_in(candidate, rows)
    if not names:
        why = f"no slice by {gate.by} has {gate.minimum_faces} faces"
        return Verdict(gate.name, gate.kind, "inconclusive", why, limit=limit, faces=faces)
    compared = [compare(gate.test, gate.metric, candidate, champion, found[n], limit, alpha) for n in names]
    p_for, p_against = map(np.array, zip(*(one.toward(gate.metric) for one in compared), strict=True))
    p_against = multipletests(p_against, alpha, method="holm")[1]
    outcomes: list[Outcome] = [_outcome(*p, alpha) for p in zip(p_for, p_against, strict=True)]
    worst = int(np.argmax(p_for))
    outcome = _whole(outcomes, bool(small))
    p_value = float(p_against.min() if outcome == "fail" else p_for.max())
    why = (
        f"{_worst(gate, names[worst], compared[worst])}; no slice by {gate.by} worse by {gate.margin:g} is "
        f"{ENDS[outcome]}: {outcomes.count('pass')} of {len(found)} shown" + too_small(small, gate.minimum_faces)
    )
    parts = [
        Part(name, of, one.estimate, one.low, one.high, counts[name])
        for name, of, one in zip(names, outcomes, compared, strict=True)
    ] + [Part(name, "inconclusive", np.nan, np.nan, np.nan, counts[name]) for name in small]
    low, high = compared[worst].low, compared[worst].high
    return Verdict(
        gate.name, gate.kind, outcome, why, compared[worst].estimate, low, high, limit, faces, p_value, tuple(parts)
    )


def _outcome(p_for: float, p_against: float, alpha: float) -> Outcome:
    return "fail" if p_against <= alpha else "pass" if p_for <= alpha else "inconclusive"


def _whole(outcomes: list[Outcome], any_small: bool) -> Outcome:
    if "fail" in outcomes:
        return "fail"
    return "inconclusive" if any_small or "inconclusive" in outcomes else "pass"


def _worst(gate: Slices, name: str, of: Comparison) -> str:
    span = f"{of.estimate:+.3f} ({of.low:+.3f} to {of.high:+.3f})"
    place = "" if gate.by == EXPOSURE else f" {where(gate)}"
    return f"{gate.metric} of {name}{place} differs by {span} from the champion's, the least sure"
