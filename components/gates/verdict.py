"""What the gates say, and what follows."""

import math
from dataclasses import dataclass
from typing import Literal

from components.gates.policy import Cost, Declared, Gates, Integrity, Statistical

Outcome = Literal["pass", "fail", "inconclusive", "not_applicable"]
NAN = float("nan")


@dataclass(frozen=True)
class Part:
    """One slice within a gate's verdict."""

    name: str
    outcome: Outcome
    estimate: float
    low: float
    high: float
    faces: int


@dataclass(frozen=True)
class Verdict:
    """What one gate says, and why. Figures that do not exist are NaN."""

    name: str
    kind: str
    outcome: Outcome
    why: str  # one sentence
    estimate: float = NAN
    low: float = NAN  # the two-sided interval whose either end is the bound that decides
    high: float = NAN
    limit: float = NAN
    faces: int = 0
    p_value: float | None = None
    parts: tuple[Part, ...] = ()


ENDS: dict[Outcome, str] = {"pass": "shown", "fail": "refuted", "inconclusive": "undecided"}


def bounded(low: float, high: float, limit: float, at_least: bool) -> Outcome:
    """Where an interval lies: wholly on the asked side of the limit, wholly on the other, or on both.

    What is not a number fails: no gate may pass for want of a figure.
    """
    if math.isnan(low) or math.isnan(high):
        return "fail"
    if not at_least:
        low, high, limit = -high, -low, -limit
    return "pass" if low >= limit else "fail" if high < limit else "inconclusive"


@dataclass(frozen=True)
class Decision:
    promote: bool
    why: str  # one sentence


def decide(verdicts: tuple[Verdict, ...], policy: Gates, has_champion: bool) -> Decision:
    """Whether the candidate becomes champion. Without one, gates that compare with it do not count."""
    if not policy.declared:
        return Decision(False, "no gate is declared")
    if not has_champion and not policy.bootstrap:
        return Decision(False, "there is no champion and gates.bootstrap is false")
    counted = [v for v in verdicts if has_champion or v.outcome != "not_applicable"]
    if not counted:
        return Decision(False, "there is no champion and no gate that judges a model by itself")
    warns = {gate.name for gate in policy.declared if _warns(gate)}
    blocking = [v for v in counted if not (v.outcome == "pass" or (v.outcome == "inconclusive" and v.name in warns))]
    if blocking:
        return Decision(False, "; ".join(f"{v.name}: {v.why}" for v in blocking))
    warned = [v.name for v in counted if v.outcome == "inconclusive"]
    passed = f"{len(counted) - len(warned)} of {len(counted)} gates passed"
    return Decision(True, f"{passed}; inconclusive: {', '.join(warned)}" if warned else passed)


def _warns(gate: Declared) -> bool:
    match gate:
        case Statistical() | Cost():
            return gate.on_inconclusive == "warn"
        case Integrity():
            return False
    raise AssertionError(gate)
