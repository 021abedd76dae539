"""The lines of a comparison as a figure of accuracy by exposure."""

import math
from collections.abc import Sequence

from benchmarks.comparison.methods import CEILING
from benchmarks.comparison.report import LADDER, TESTED, by_method, mean_score
from benchmarks.comparison.runs import Line
from components.charts import RIGHT, WIDTH, Axis, Point, Series, lines

LETTER = 6.6  # wide, of a name beside its line
# one for each method, told apart on white (the first six: Okabe and Ito 2008, without black and yellow)
COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"),
    *("#777777", "#8c6bb1", "#a6611a", "#4d9221", "#b2182b", "#1b1b1b"),
    *("#00695c", "#ad1457", "#6d4c41", "#9e9d24"),
)


def accuracy_by_exposure(found: Sequence[Line]) -> str:
    """Accuracy by exposure, a line per method, as a page of its own: SVG."""
    series = []
    for name, runs in by_method(found).items():
        means = mean_score(runs, "accuracy")
        rungs = [rung for rung in LADDER if rung in means and (name != CEILING or rung == "clean")]
        series.append(
            Series(name.replace("_", " "), [Point(math.log10(_light(rung)), means[rung]) for rung in reversed(rungs)])
        )
    heights = [point.y for one in series for point in one.points]
    low, high = math.floor(min(heights) * 20) / 20, math.ceil(max(heights) * 20) / 20
    present = {score["exposure"] for line in found for score in line["scores"]}
    ticks = [(math.log10(_light(rung)), rung.removeprefix("0")) for rung in LADDER if rung in present]
    x = Axis("exposure (share of the light)", min(at for at, _ in ticks), 0, ticks)
    y = Axis("accuracy", low, high, [(k / 20, f"{k / 20:.2f}") for k in range(round(low * 20), round(high * 20) + 1)])
    return standing_alone(str(lines(series, x, y, "Accuracy by exposure")), [one.name for one in series])


def _light(rung: str) -> float:
    (light,) = TESTED[rung]
    return light


def standing_alone(svg: str, names: Sequence[str]) -> str:
    """A chart drawn for a page, with the style sheet that the page would give it, and as wide as its names ask."""
    colours = "".join(
        f".series-{n}{{stroke:{COLOURS[n % len(COLOURS)]};fill:{COLOURS[n % len(COLOURS)]}}}" for n in range(len(names))
    )
    style = (
        "text{font:12px system-ui,sans-serif;fill:#333}.quiet{fill:#666}.grid{stroke:#ddd}"
        f"{colours}.line{{fill:none;stroke-width:2}}.name{{stroke:none}}"
    )
    opened = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    width = max(WIDTH, math.ceil(WIDTH - RIGHT + 16 + LETTER * max(map(len, names))))
    opened = opened.replace(f'viewBox="0 0 {WIDTH} ', f'viewBox="0 0 {width} ', 1)
    head, _, rest = opened.partition(">")
    return f'{head}><style>{style}</style><rect width="100%" height="100%" fill="#fff"/>{rest}\n'
