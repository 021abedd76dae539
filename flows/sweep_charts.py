"""Pictures of a sweep as SVG files that stand alone."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

HEIGHT, TOP, BOTTOM, GAP = 420, 76, 48, 170
LEFT, RIGHT = 90, 110
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#333}.quiet{fill:#777;font-size:11px}.axis{stroke:#999}"
    ".trial{fill:none;stroke-width:1.6}.stopped{stroke-dasharray:4 4;stroke-width:1}.best{stroke-width:4}"
    ".curve{fill:none;stroke:#2b6cb0;stroke-width:2}.dot{fill:#2b6cb0}.grid{stroke:#e5e5e5}"
)
DULL, BRIGHT = (176, 190, 205), (200, 60, 20)  # the colours of the lowest and the highest accuracy
METRIC = "valid_accuracy"


def parallel(trials: Sequence[dict[str, Any]], best: int | None) -> str:
    """Parallel coordinates: an axis for each parameter and one for accuracy, a line for each trial.

    Colour is accuracy, dashes are trials that were stopped, the thick line is the winner.
    """
    known = [row for row in trials if row[METRIC] is not None]
    names = sorted({name for row in known for name in row["parameters"]})
    axes = [_Axis(name, [row["parameters"][name] for row in known]) for name in names]
    axes.append(_Axis(METRIC, [row[METRIC] for row in known]))
    body = [_axis(axis, LEFT + GAP * place) for place, axis in enumerate(axes)]
    # the best are drawn last, over the others
    for row in sorted(known, key=lambda one: (one["number"] == best, one[METRIC])):
        values = [*(row["parameters"][name] for name in names), row[METRIC]]
        heights = [_height(axis.share(value)) for axis, value in zip(axes, values, strict=True)]
        points = " ".join(f"{LEFT + GAP * place},{height:.1f}" for place, height in enumerate(heights))
        kind = "best" if row["number"] == best else "stopped" if row["status"] == "stopped" else ""
        told = escape(f"trial {row['number']}, {row['status']}: {row[METRIC]:.3f}")
        body.append(
            f'<polyline class="trial {kind}" stroke="{_colour(axes[-1].share(row[METRIC]))}" points="{points}">'
            f"<title>{told}</title></polyline>"
        )
    width = LEFT + GAP * (len(axes) - 1) + RIGHT
    title = f"{len(known)} trials; thick: the winner; dashed: stopped early"
    return _svg(width, f'<text x="{LEFT - 70}" y="24">{title}</text>{"".join(body)}')


class _Axis:
    """Where a parameter's values stand between bottom (0) and top (1)."""

    def __init__(self, name: str, values: Sequence[Any]) -> None:
        self.name = name
        self.is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        self.values = sorted(set(values)) if self.is_number else sorted(set(map(str, values)))
        numbers = [float(value) for value in values] if self.is_number else []
        self.is_log = bool(numbers) and min(numbers) > 0 and max(numbers) / min(numbers) >= 10

    def share(self, value: Any) -> float:
        if not self.is_number:
            return 0.5 if len(self.values) == 1 else self.values.index(str(value)) / (len(self.values) - 1)
        low, high, here = (self._scaled(one) for one in (self.values[0], self.values[-1], value))
        return 0.5 if high == low else (here - low) / (high - low)

    def _scaled(self, value: Any) -> float:
        return math.log(value) if self.is_log else float(value)

    def ticks(self) -> list[tuple[float, str]]:
        if not self.is_number:
            return [(self.share(value), str(value)) for value in self.values]
        ends = {self.values[0], self.values[-1]}
        return [(self.share(value), f"{value:.3g}") for value in sorted(ends)]


def _axis(axis: _Axis, x: int) -> str:
    # a dotted name in two lines: the section would run into the next axis
    section, _, name = axis.name.rpartition(".")
    ticks = "".join(
        f'<text class="quiet" x="{x + 6}" y="{_height(share) + (14 if share < 0.5 else -6):.1f}">{escape(text)}</text>'
        for share, text in axis.ticks()
    )
    log = " (log)" if axis.is_log else ""
    return (
        f'<line class="axis" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text class="quiet" text-anchor="middle" x="{x}" y="{TOP - 34}">{escape(section)}</text>'
        f'<text text-anchor="middle" x="{x}" y="{TOP - 19}">{escape(name)}{log}</text>{ticks}'
    )


def curve(points: Sequence[tuple[int, float]]) -> str:
    """The best accuracy so far, by trial, as steps."""
    width, left = 640, 70
    values = [value for _, value in points] or [0.0]
    low, high = min(values), max(values)
    pad = (high - low) * 0.1 or 0.01
    low, high = low - pad, high + pad
    last = max((number for number, _ in points), default=0)

    def x(number: float) -> float:
        return left + number / max(1, last) * (width - left - 40)

    def y(value: float) -> float:
        return _height((value - low) / (high - low))

    body = [
        f'<line class="grid" x1="{left}" x2="{width - 40}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        f'<text class="quiet" text-anchor="end" x="{left - 8}" y="{y(value) + 4:.1f}">{value:.3f}</text>'
        for value in sorted({values[0], values[-1]})
    ]
    corners = []
    for index, (number, value) in enumerate(points):
        if index:
            corners.append(f"{x(number):.1f},{y(points[index - 1][1]):.1f}")
        corners.append(f"{x(number):.1f},{y(value):.1f}")
    body.append(f'<polyline class="curve" points="{" ".join(corners)}"/>')
    body += [f'<circle class="dot" cx="{x(number):.1f}" cy="{y(value):.1f}" r="3"/>' for number, value in points]
    body += [
        f'<text class="quiet" text-anchor="middle" x="{x(number):.1f}" y="{HEIGHT - BOTTOM + 20}">{number}</text>'
        for number in sorted({0, last // 2, last})
    ]
    body.append(f'<text class="quiet" text-anchor="middle" x="{width / 2}" y="{HEIGHT - 8}">trial</text>')
    return _svg(width, f'<text x="20" y="24">best {METRIC} so far</text>{"".join(body)}')


def _height(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


def _colour(share: float) -> str:
    return "#" + "".join(
        f"{round(dull + share * (bright - dull)):02x}" for dull, bright in zip(DULL, BRIGHT, strict=True)
    )


def _svg(width: int, body: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}">'
        f'<style>{STYLE}</style><rect width="100%" height="100%" fill="white"/>{body}</svg>\n'
    )
