"""The gates' verdict for people: sentences, a table, an interval drawn in text."""

import textwrap
from collections.abc import Container
from typing import Any

from components.learning.evaluation import DARK_RUNGS, exposure_name

WIDTH = 41  # characters of a drawn interval
MARKS = {"pass": "passed", "fail": "FAILED", "inconclusive": "undecided", "not_applicable": "not asked"}


def sentences(gates: tuple[dict[str, Any], ...]) -> list[str]:
    """Each gate in a sentence, with its interval drawn below where it has one."""
    lines = []
    for gate in gates:
        lines.append(f"{MARKS[gate['outcome']]:<9}  {gate['name']}: {gate['why']}")
        lines += [f"{'':<11}{line}" for line in interval(gate["low"], gate["estimate"], gate["high"], gate["limit"])]
        worst = [part for part in gate["parts"] if part["outcome"] != "pass"]
        lines += [f"{'':<11}{MARKS[part['outcome']]} in {part['name']}, {part['faces']} faces" for part in worst]
    return lines


def interval(low: float | None, estimate: float | None, high: float | None, limit: float | None) -> list[str]:
    """The interval as a line with `o` where the estimate is and `|` at the limit, and below it the numbers.

    Nothing where one of them does not exist.
    """
    if low is None or estimate is None or high is None or limit is None:
        return []
    least, most = min(low, limit), max(high, limit)
    margin = 0.05 * (most - least) or 0.01
    least, most = least - margin, most + margin

    def place(value: float) -> int:
        return round((value - least) / (most - least) * (WIDTH - 1))

    drawn = ["."] * WIDTH
    drawn[place(low) : place(high) + 1] = ["-"] * (place(high) - place(low) + 1)
    drawn[place(low)], drawn[place(high)] = "[", "]"
    drawn[place(limit)] = "|"
    drawn[place(estimate)] = "o"
    return [f"{''.join(drawn)}  {estimate:.4g} in [{low:.4g}, {high:.4g}], limit {limit:.4g}"]


def table(gates: tuple[dict[str, Any], ...], width: int = 400) -> list[str]:
    """Lines of Markdown, a gate's reason in so many characters."""
    rows = [f"| {MARKS[gate['outcome']]} | {gate['name']} | {_cell(gate['why'], width)} |" for gate in gates]
    return ["| verdict | gate | why |", "|---|---|---|", *rows]


def _cell(text: str, width: int) -> str:
    return textwrap.shorten(text.replace("|", "/"), width, placeholder=" ...")


def curve(accuracy: dict[str, float]) -> list[str]:
    """Accuracy by exposure as bars of text, brightest first, the mean last."""
    ends = {"clean": 2.0, "mean_dark": -1.0}
    ordered = sorted(accuracy, key=lambda name: ends.get(name) or float(name), reverse=True)
    lines = [f"{name:>9}  {accuracy[name]:.3f}  {'#' * round(40 * accuracy[name])}" for name in ordered]
    return [*lines, f"mean_dark: over {averaged(accuracy)}"] if "mean_dark" in accuracy else lines


def averaged(ladder: Container[str]) -> str:
    """What mean_dark is the mean over: those of the dark exposures that a ladder has."""
    return ", ".join(name for name in map(exposure_name, DARK_RUNGS) if name in ladder)
