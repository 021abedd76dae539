"""Charts as SVG text: drawn by hand, so that one page holds them, in light and in dark.

Colours are classes (series-0, series-1, ...) that the page's style sheet fills; lines differ in dashes and markers too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 52, 120, 16, 48
DASHES = ("", "7 4", "2 4", "10 3 2 3", "14 3")


@dataclass(frozen=True)
class Point:
    """One value, at a place on the x axis, with its interval where there is one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Axis:
    """Where its ticks stand and what they are called."""

    title: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]


def lines(series: Sequence[Series], x: Axis, y: Axis, title: str, level: tuple[str, float] | None = None) -> Markup:
    """A chart of lines with their intervals as bands; `level` is a dashed line across, with its name."""
    body = [_grid(x, y)]
    if level:
        height = _y(level[1], y)
        body.append(f'<line class="level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>')
        body.append(f'<text class="quiet" x="{LEFT + 12}" y="{height + 15:.1f}">{escape(level[0])}</text>')
    for number, one in enumerate(series):
        body.append(_line(number, one, x, y))
    body += _names(series, y)
    return _svg("".join(body), title)


def intervals(rows: Sequence[tuple[str, str, Point]], x: Axis, title: str) -> Markup:
    """A row for each (name, remark, value with interval): a dot and a bar, values to the right."""
    row_height, left, right = 22, 170, 110
    height = TOP + len(rows) * row_height + BOTTOM
    scale = (WIDTH - left - right) / (x.high - x.low)

    def place(value: float) -> float:
        return left + (value - x.low) * scale

    body = [
        f'<line class="grid" x1="{place(at):.1f}" x2="{place(at):.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>'
        f'<text class="quiet" text-anchor="middle" x="{place(at):.1f}" y="{height - BOTTOM + 18}">{escape(name)}</text>'
        for at, name in x.ticks
    ]
    for number, (name, remark, point) in enumerate(rows):
        middle = TOP + (number + 0.5) * row_height
        low, high = point.low if point.low is not None else point.y, point.high if point.high is not None else point.y
        body.append(
            f'<text text-anchor="end" x="{left - 10}" y="{middle + 4}">{escape(name)}</text>'
            f'<line class="series-0 bar" x1="{place(low):.1f}" x2="{place(high):.1f}" y1="{middle}" y2="{middle}"/>'
            f'<circle class="series-0 dot" cx="{place(point.y):.1f}" cy="{middle}" r="4"/>'
            f'<text class="quiet" x="{WIDTH - right + 10}" y="{middle + 4}">{point.y:.3f} {escape(remark)}</text>'
        )
    middle = left + (WIDTH - left - right) / 2
    body.append(f'<text class="quiet" text-anchor="middle" x="{middle}" y="{height - 8}">{escape(x.title)}</text>')
    return _svg("".join(body), title, height)


def _svg(body: str, title: str, height: int = HEIGHT) -> Markup:
    label = escape(title, quote=True)
    text = f'<svg role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {height}"><title>{label}</title>{body}</svg>'
    return Markup(text)  # its words were escaped where they came in


def _grid(x: Axis, y: Axis) -> str:
    across = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(at, y):.1f}" y2="{_y(at, y):.1f}"/>'
        f'<text class="quiet" text-anchor="end" x="{LEFT - 8}" y="{_y(at, y) + 4:.1f}">{escape(name)}</text>'
        for at, name in y.ticks
    )
    up = "".join(
        f'<text class="quiet" text-anchor="middle" x="{_x(at, x):.1f}" y="{HEIGHT - BOTTOM + 20}">{escape(name)}</text>'
        for at, name in x.ticks
    )
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    titles = (
        f'<text class="quiet" text-anchor="middle" x="{middle}" y="{HEIGHT - 8}">{escape(x.title)}</text>'
        f'<text class="quiet" text-anchor="middle" transform="translate(13 {(HEIGHT - BOTTOM + TOP) / 2}) rotate(-90)">'
        f"{escape(y.title)}</text>"
    )
    return across + up + titles


def _line(number: int, series: Series, x: Axis, y: Axis) -> str:
    places = [(_x(point.x, x), _y(point.y, y)) for point in series.points]
    band = ""
    known = [point for point in series.points if point.low is not None and point.high is not None]
    if known:
        there = [f"{_x(point.x, x):.1f},{_y(point.high, y):.1f}" for point in known if point.high is not None]
        back = [f"{_x(point.x, x):.1f},{_y(point.low, y):.1f}" for point in reversed(known) if point.low is not None]
        band = f'<polygon class="series-{number} band" points="{" ".join(there + back)}"/>'
    path = " ".join(f"{across:.1f},{up:.1f}" for across, up in places)
    dashes = DASHES[number % len(DASHES)]
    dots = "".join(_marker(number, across, up) for across, up in places)
    return f'{band}<polyline class="series-{number} line" stroke-dasharray="{dashes}" points="{path}"/>{dots}'


def _marker(number: int, across: float, up: float) -> str:
    """Circles, squares and triangles, so that colour is not all that tells series apart."""
    match number % 3:
        case 0:
            return f'<circle class="series-{number} dot" cx="{across:.1f}" cy="{up:.1f}" r="4"/>'
        case 1:
            return f'<rect class="series-{number} dot" x="{across - 4:.1f}" y="{up - 4:.1f}" width="8" height="8"/>'
        case _:
            corners = f"{across:.1f},{up - 5:.1f} {across - 5:.1f},{up + 4:.1f} {across + 5:.1f},{up + 4:.1f}"
            return f'<polygon class="series-{number} dot" points="{corners}"/>'


def _names(series: Sequence[Series], y: Axis) -> list[str]:
    """Each line's name at its end, moved apart where ends are close."""
    wanted = sorted((_y(one.points[-1].y, y), number) for number, one in enumerate(series) if one.points)
    names, last = [], float("-inf")
    for height, number in wanted:
        last = max(height, last + 16)
        name = escape(series[number].name)
        names.append(f'<text class="series-{number} name" x="{WIDTH - RIGHT + 8}" y="{last + 4:.1f}">{name}</text>')
    return names


def _x(value: float, axis: Axis) -> float:
    return LEFT + 10 + (value - axis.low) / ((axis.high - axis.low) or 1) * (WIDTH - LEFT - RIGHT - 20)


def _y(value: float, axis: Axis) -> float:
    return HEIGHT - BOTTOM - (value - axis.low) / ((axis.high - axis.low) or 1) * (HEIGHT - BOTTOM - TOP)
