"""What a gate can see: its power, by calculation, before a model is judged.

A sample of `faces` pairs has `discordant` faces (a share) that one model has right and the other wrong.
"""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from scipy import optimize, stats

from components.gates.faces import ALL
from components.gates.policy import Gates, NonInferiority, Superiority
from components.gates.proportions import unconditional_p_value

EXPECTED_DISCORDANT = 0.1  # what is reckoned with before anything was looked at


def superiority_power(faces: int, discordant: float, gain: float, alpha: float) -> float:
    """P(McNemar's exact test shows the candidate better | its accuracy is higher by `gain`)."""
    counts = _likely(faces, discordant)
    fewest_won = stats.binom.isf(alpha, counts, 0.5) + 1  # P(won >= that) <= alpha
    return _power(counts, fewest_won, faces, discordant, gain)


def non_inferiority_power(faces: int, discordant: float, difference: float, margin: float, alpha: float) -> float:
    """P(the unconditional test shows the candidate not worse by `margin` | the true difference of accuracy)."""
    return _power(*_not_worse(faces, discordant, margin, alpha), faces, discordant, difference)


def drop_caught(faces: int, discordant: float, margin: float, alpha: float, power: float) -> float | None:
    """The least drop of accuracy that is stopped with this power by a gate with this margin; None: there is none."""

    def excess(drop: float) -> float:
        return 1 - non_inferiority_power(faces, discordant, -drop, margin, alpha) - power

    return _least(excess, discordant)


def gain_shown(faces: int, discordant: float, alpha: float, power: float) -> float | None:
    """The least gain of accuracy that is shown with this power to be one; None: there is none."""

    def excess(gain: float) -> float:
        return superiority_power(faces, discordant, gain, alpha) - power

    return _least(excess, discordant)


def _least(excess: Callable[[float], float], discordant: float) -> float | None:
    """Where a growing function is 0, from no difference to the greatest that the discordant pairs allow."""
    if excess(0) >= 0:
        return 0.0
    return float(optimize.brentq(excess, 0, discordant, xtol=1e-5)) if excess(discordant) > 0 else None


def sentence(faces: int, discordant: float, margin: float, alpha: float, power: float = 0.8) -> str:
    """What the gates can see with so many faces, for a person."""
    caught, shown = (
        drop_sentence(faces, discordant, margin, alpha, power),
        gain_sentence(faces, discordant, alpha, power),
    )
    return f"{_given(faces, discordant)} {caught}; {shown}"


def drop_sentence(faces: int, discordant: float, margin: float, alpha: float, power: float = 0.8) -> str:
    """What a gate with a margin can see, as a part of a sentence."""
    equal = non_inferiority_power(faces, discordant, 0, margin, alpha)
    drop = drop_caught(faces, discordant, margin, alpha, power)
    passes = f"by a margin of {100 * margin:g} points, which an equal model passes with {100 * equal:.0f} %"
    if drop is None:
        return f"no drop is caught with {100 * power:.0f} % {passes}"
    return f"a drop of {100 * drop:.1f} points is caught with {100 * power:.0f} % {passes}"


def gain_sentence(faces: int, discordant: float, alpha: float, power: float = 0.8) -> str:
    """What a gate that asks for a better model can see, as a part of a sentence."""
    gain = gain_shown(faces, discordant, alpha, power)
    what = "no gain" if gain is None else f"a gain of {100 * gain:.1f} points"
    return f"{what} is shown with {100 * power:.0f} %"


def foreseen(gates: Gates, faces: int, persons: int) -> tuple[str, ...]:
    """What each gate that counts won and lost faces can see with so many of them, at this policy's share of alpha."""
    lines, at_best = [], f"; at best, for they are of {persons:,} persons" if persons < faces else ""
    for gate in gates.declared:
        if not isinstance(gate, NonInferiority | Superiority) or gate.test == "bootstrap" or gate.slice != ALL:
            continue
        alpha = (1 - gate.confidence) * gates.holdout.alpha_share
        sees = (
            drop_sentence(faces, EXPECTED_DISCORDANT, gate.margin, alpha)
            if isinstance(gate, NonInferiority)
            else gain_sentence(faces, EXPECTED_DISCORDANT, alpha)
        )
        lines.append(f"{gate.name}: {_given(faces, EXPECTED_DISCORDANT)} {sees}{at_best}")
    return tuple(lines)


def _given(faces: int, discordant: float) -> str:
    return f"with {faces:,} faces and {100 * discordant:.0f} % discordant pairs"


def _likely(faces: int, discordant: float) -> np.ndarray:
    """All numbers of discordant faces but those that come less than once in a million samples."""
    low, high = stats.binom.ppf([5e-7, 1 - 5e-7], faces, discordant)
    return np.arange(int(low), int(high) + 1)


def _power(counts: np.ndarray, fewest_won: np.ndarray, faces: int, discordant: float, difference: float) -> float:
    won_given_discordant = 0.5 + difference / (2 * discordant)
    enough = stats.binom.sf(fewest_won - 1, counts, np.clip(won_given_discordant, 0, 1))
    return float(np.sum(stats.binom.pmf(counts, faces, discordant) * enough))


@cache
def _not_worse(faces: int, discordant: float, margin: float, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of discordant faces, and how many of them the unconditional test asks to be won."""
    counts = _likely(faces, discordant)
    fewest_won = np.empty_like(counts)
    won = max(0, (int(counts[0]) - math.ceil(margin * faces)) // 2)  # worse by the margin itself: too few
    for place, count in enumerate(counts.tolist()):
        # more discordant faces ask for as many won or more
        while won <= count and unconditional_p_value(count - won, won, faces, margin, alpha / 50) > alpha:
            won += 1
        fewest_won[place] = won
    return counts, fewest_won
