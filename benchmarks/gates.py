"""The gates keep their promises: simulated models, judged as a candidate is judged.

`python -m benchmarks.gates`, three to four minutes of one core. Prints the power that is calculated beforehand and what
the simulation finds, beside the usual `new >= old` and `new > old`; draws docs/gates.svg. Three parts: pairs of models
whose faces are independent, by their counts; whole tables whose faces are of few persons, by `judge` itself; and the
calibration error, which resampling inflates, where confidences are as spread as those of real models.
"""

import argparse
import datetime
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy import special, stats

from components import atomic, charts
from components.gates import power
from components.gates.evidence import Evidence, Table
from components.gates.judging import judge
from components.gates.policy import Gates, Holdout, Metric, NonInferiority
from components.gates.proportions import mcnemar_p_value, tango_statistic, unconditional_p_value
from flows import policy

SEED = 20261122
ALPHA = 0.05
FACES, DISCORDANT, MARGIN, RUNS = 2862, 0.1, 0.02, 4000
DIFFERENCES = tuple(points / 200 for points in range(-6, 7))
SHIPPED_FACES, SHIPPED_DIFFERENCES = 1000, (-0.05, -0.03, -0.02, -0.01, 0.0)
RULES = ("not worse", "better", "new >= old", "new > old")
PERSONS, FACES_OF_A_PERSON, CLASSES, WORSE_RUNS, EQUAL_RUNS = 80, 6, 4, 1500, 100
WITH_PERSONS: dict[Metric, float] = {  # metric and margin
    "accuracy": 0.06,
    "mean_class_accuracy": 0.06,
    "macro_f1": 0.06,
    "calibration_error": 0.06,
}
SPREAD_FACES, SPREAD_RUNS, SPREAD_MARGIN = 1000, 200, 0.05
SPREAD = (0.3, 0.95)  # confidences, uniform
HONEST_BY = (0.0, 0.05)  # what the champion is overconfident by
PICTURE = Path(__file__).parent.parent / "docs" / "gates.svg"
COLOURS = ("#0b6bcb", "#b3261e", "#6b6b6b", "#946200")


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    began = time.process_time()
    print(f"{datetime.date.today()}, seed {SEED}, alpha {ALPHA:g}")
    print(power.sentence(FACES, DISCORDANT, MARGIN, ALPHA))
    print(
        f"\nshare promoted of {RUNS:,} pairs of models; independent faces; in brackets what was calculated beforehand"
    )
    print(f"{'true difference':>16}" + "".join(f"{name:>18}" for name in RULES))
    found = {one: shares(Pair(FACES, DISCORDANT, one), MARGIN, ALPHA, RUNS) for one in DIFFERENCES}
    for difference, promoted in found.items():
        print(row(difference, promoted), flush=True)
    print("\n" + "\n".join(shipped()))
    atomic.write_text(PICTURE, picture(found))
    print(f"\nfaces of {PERSONS} persons, {FACES_OF_A_PERSON} each, who differ in what the candidate changes for them")
    chance = 2 * (ALPHA * (1 - ALPHA) / WORSE_RUNS) ** 0.5
    print(
        f"share of {WORSE_RUNS} candidates promoted that are worse by the margin (alpha is {ALPHA:g}, by chance up to"
    )
    print(f"{ALPHA + chance:.3f}), and of {EQUAL_RUNS} that are equal")
    for seed, (metric, margin) in enumerate(WITH_PERSONS.items(), start=SEED):
        worse = passed(metric, margin, population(metric, margin), WORSE_RUNS, seed)
        equal = passed(metric, margin, population(metric, 0.0), EQUAL_RUNS)
        print(f"{metric:>22}, margin {margin:g}: {worse:.3f} {equal:8.3f}", flush=True)
    unknown = passed(
        "accuracy", WITH_PERSONS["accuracy"], population("accuracy", 0.06), WORSE_RUNS, persons_known=False
    )
    print(f"{'accuracy':>22}, were the persons not known: {unknown:.3f}")
    print(f"\ncalibration error, confidences from {SPREAD[0]:g} to {SPREAD[1]:g}, {SPREAD_FACES:,} independent faces:")
    print(f"share of {SPREAD_RUNS} candidates promoted that are overconfident by the margin, {SPREAD_MARGIN:g}, more")
    for overconfident in HONEST_BY:
        share = passed_when_spread(overconfident, SPREAD_RUNS)
        print(f"{'champion overconfident by':>26} {overconfident:g}: {share:.3f}", flush=True)
    print(f"{time.process_time() - began:.0f} s of one core")


@dataclass(frozen=True)
class Pair:
    """Two models, by what is true of them."""

    faces: int
    discordant: float
    difference: float  # of accuracy, candidate less champion


def shares(pair: Pair, margin: float, alpha: float, runs: int) -> dict[str, float]:
    """How often each rule promotes the candidate."""
    lost, won = (pair.discordant - pair.difference) / 2, (pair.discordant + pair.difference) / 2
    drawn = np.random.default_rng(SEED).multinomial(pair.faces, [lost, won, 1 - lost - won], runs)
    counts, times = np.unique(drawn[:, :2], axis=0, return_counts=True)
    promoted = np.array([rules(*one, pair.faces, margin, alpha) for one in counts.tolist()])
    return dict(zip(RULES, (times @ promoted / runs).tolist(), strict=True))


@cache
def rules(lost: int, won: int, faces: int, margin: float, alpha: float) -> tuple[bool, bool, bool, bool]:
    """What each of RULES says."""
    excess = float(tango_statistic(lost, won, faces, -margin)) - stats.norm.isf(alpha)
    near = abs(excess) < 0.3  # elsewhere the exact test says what Tango's says, which costs nothing
    shown = unconditional_p_value(lost, won, faces, margin, alpha / 50) <= alpha if near else excess > 0
    return bool(shown), mcnemar_p_value(lost, won) <= alpha, won >= lost, won > lost


def row(difference: float, promoted: dict[str, float]) -> str:
    beforehand = {
        "not worse": power.non_inferiority_power(FACES, DISCORDANT, difference, MARGIN, ALPHA),
        "better": power.superiority_power(FACES, DISCORDANT, difference, ALPHA),
    }
    cells = [f"{promoted[name]:.3f}" + (f" ({beforehand[name]:.3f})" if name in beforehand else "") for name in RULES]
    return f"{100 * difference:+9.1f} points" + "".join(f"{cell:>18}" for cell in cells)


def shipped() -> list[str]:
    """What mlflow.yaml's own gate on accuracy lets through, calculated, on the demo's test faces."""
    gates = policy.load().gates
    gate = next(g for g in gates.declared if isinstance(g, NonInferiority) and g.metric == "accuracy")
    alpha = (1 - gate.confidence) * gates.holdout.alpha_share
    passes = [
        (at, power.non_inferiority_power(SHIPPED_FACES, DISCORDANT, at, gate.margin, alpha))
        for at in SHIPPED_DIFFERENCES
    ]
    told = ", ".join(f"{100 * at:+g} points {share:.3f}" for at, share in passes)
    given = f"mlflow.yaml, {gate.name} (margin {100 * gate.margin:g} points, alpha {alpha:g} a look)"
    return [f"{given}, on the demo's {SHIPPED_FACES:,} faces promotes, calculated:", told]


def picture(found: dict[float, dict[str, float]]) -> str:
    """Share promoted over the true difference."""
    series = [
        charts.Series(name, [charts.Point(100 * one, promoted[name]) for one, promoted in found.items()])
        for name in RULES
    ]
    ticks = [(float(at), f"{at:+d}" if at else "0") for at in range(-3, 4)]
    across = charts.Axis(f"true difference in accuracy, points; margin {100 * MARGIN:g}", -3, 3, ticks)
    up = charts.Axis("share promoted", 0, 1, [(ALPHA, f"α {ALPHA:.2f}"), (0.5, ".5"), (1, "1")])
    drawn = str(charts.lines(series, across, up, "How often a candidate is promoted", ("", ALPHA)))
    style = (
        "svg{font:13px system-ui,sans-serif;fill:#1a1a1a;background:#fff}.quiet{fill:#666}.grid{stroke:#ddd}"
        ".level{stroke:#666;stroke-dasharray:3 5}.line{fill:none;stroke-width:2.2}.name{font-weight:600}"
        + "".join(f".series-{n}{{fill:{c}}}.series-{n}.line{{stroke:{c};fill:none}}" for n, c in enumerate(COLOURS))
    )
    opening, inside = drawn.split(">", 1)
    return f'{opening} xmlns="http://www.w3.org/2000/svg"><style>{style}</style>{inside}\n'


@dataclass(frozen=True)
class Population:
    """Where tables are drawn from: classes are equally frequent, and so are errors among the other classes."""

    accuracy: float  # of the champion
    difference: float  # candidate less champion
    overconfidence: tuple[float, float]  # of candidate and champion: stated chance of being right less the true one
    discordant: float = 0.2


def population(metric: Metric, worse: float) -> Population:
    """A candidate that is worse by that in one metric. Accuracy, mean-class accuracy and macro-F1 are one here."""
    if metric == "calibration_error":
        return Population(0.7, 0.0, (0.1 + worse, 0.1))
    return Population(0.7, -worse, (0.0, 0.0))


def passed(
    metric: Metric, margin: float, of: Population, runs: int, seed: int = SEED, persons_known: bool = True
) -> float:
    """The share of runs in which the gate says that the candidate is not worse."""
    generator = np.random.default_rng(seed)
    return share_passed(metric, margin, (tables(of, generator, persons_known) for _ in range(runs)))


def passed_when_spread(overconfident: float, runs: int) -> float:
    """The same for the calibration error, of a champion that claims so much more than is true on every face."""
    generator = np.random.default_rng(SEED)
    return share_passed(
        "calibration_error", SPREAD_MARGIN, (spread_tables(overconfident, generator) for _ in range(runs))
    )


def spread_tables(overconfident: float, generator: np.random.Generator) -> tuple[Table, Table]:
    """Candidate and champion, right by chances of their own; the candidate claims the margin more than the champion."""
    labels = np.arange(SPREAD_FACES) % CLASSES

    def one(claimed: float) -> Table:
        chance = generator.uniform(*SPREAD, SPREAD_FACES) - SPREAD_MARGIN - overconfident
        right = generator.uniform(size=SPREAD_FACES) < chance
        return table(right, labels, chance + claimed, [""] * SPREAD_FACES, generator)

    return one(SPREAD_MARGIN + overconfident), one(overconfident)


def share_passed(metric: Metric, margin: float, drawn: Iterable[tuple[Table, Table]]) -> float:
    """Of pairs of candidate and champion, by the gate itself."""
    gate = NonInferiority(
        kind="non_inferiority",
        name="not_worse",
        metric=metric,
        slice="all",
        exposures=(1.0,),
        margin=margin,
        test="exact" if metric == "accuracy" else "bootstrap",
        confidence=1 - ALPHA,
        minimum_faces=100,
        on_inconclusive="fail",
    )
    gates = Gates(bootstrap=True, holdout=Holdout(looks=1), declared=(gate,))
    outcomes = [
        judge(gates, Evidence(candidate, champion, None, None, None), gates.holdout.alpha_share)[0].outcome
        for candidate, champion in drawn
    ]
    return outcomes.count("pass") / len(outcomes)


def tables(of: Population, generator: np.random.Generator, persons_known: bool) -> tuple[Table, Table]:
    """Candidate and champion on the same faces.

    A face is lost where a normal number is below one quantile and won where it is above another; half of the number's
    variance is the person's, so a model wins some persons and loses others.
    """
    persons = np.repeat(np.arange(PERSONS), FACES_OF_A_PERSON)
    labels = generator.permuted(np.arange(len(persons)) % CLASSES)
    rank = special.ndtr((generator.normal(size=PERSONS)[persons] + generator.normal(size=len(persons))) / np.sqrt(2))
    lost, won = (of.discordant - of.difference) / 2, (of.discordant + of.difference) / 2
    both = generator.uniform(size=len(persons)) < (of.accuracy - lost) / (1 - of.discordant)
    is_lost, is_won = rank < lost, rank > 1 - won
    subjects = [f"{person}" for person in persons] if persons_known else [""] * len(persons)
    candidate, champion = (
        table(right, labels, accuracy + excess, subjects, generator)
        for right, accuracy, excess in (
            (is_won | (both & ~is_lost), of.accuracy + of.difference, of.overconfidence[0]),
            (is_lost | (both & ~is_won), of.accuracy, of.overconfidence[1]),
        )
    )
    return candidate, champion


def table(
    right: np.ndarray,
    labels: np.ndarray,
    confidence: float | np.ndarray,
    subjects: list[str],
    generator: np.random.Generator,
) -> Table:
    """A model that is right there, with one confidence for all or one (N,) for each face."""
    faces = len(labels)
    named = np.where(right, labels, (labels + generator.integers(1, CLASSES, faces)) % CLASSES)
    probabilities = np.repeat(((1 - np.broadcast_to(confidence, faces)) / (CLASSES - 1))[:, None], CLASSES, axis=1)
    probabilities[np.arange(faces), named] = confidence
    ids, classes = [f"{face}" for face in range(faces)], tuple(f"class {number}" for number in range(CLASSES))
    return Table(ids, np.ones(faces), labels, probabilities, subjects, [{}] * faces, classes)


if __name__ == "__main__":
    main()
