"""The lines of a comparison as tables in Markdown."""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.comparison import sanity, votes
from benchmarks.comparison.methods import CEILING, PLAIN
from benchmarks.comparison.runs import ANSWERS, PREDICTIONS, Line, judgement
from benchmarks.comparison.sanity import CONFIDENCE, RESAMPLES
from components.data.table import read_known
from components.learning import evaluation
from components.learning.bootstrap import Estimate
from components.learning.evaluation import Predictions, Resampling, exposure_name
from components.records import DataError

DARK = tuple(exposure_name(rung) for rung in evaluation.DARK_RUNGS)
LADDER = ("clean", *DARK, "0.005")
COLUMNS = (*LADDER, "mean dark", evaluation.GAMMA)
TRAININGS_FOR_AN_INTERVAL = 3  # two leave one degree of freedom, whose interval says nothing
# where differences are taken: at every rung, and over the dark ones
TESTED: dict[str, tuple[float, ...]] = {
    **{rung: (1.0 if rung == "clean" else float(rung),) for rung in LADDER},
    "mean dark": evaluation.DARK_RUNGS,
}


@dataclass(frozen=True)
class Metric:
    """One table: a figure of the scores, and how it is written."""

    name: str
    title: str
    scale: float
    digits: int
    short: str = ""  # its name in the table to read first; without one it is not in it


METRICS = (
    Metric("accuracy", "Accuracy, %", 100, 1, "accuracy, %"),
    Metric("mean_class_accuracy", "Mean-class accuracy, %", 100, 1, "mean-class accuracy, %"),
    Metric("nll", "Negative log-likelihood against the votes, nats", 1, 3, "NLL, nats"),
    Metric("votes_brier", "Brier score against the votes", 1, 3),
    Metric("calibration_error", "Calibration error, %", 100, 1),
    Metric("accuracy_at_80", "Accuracy at 80 % coverage, %", 100, 1),
    Metric("aurc", "Area under the risk-coverage curve", 1, 3),
)
REFITTED = Metric(
    "nll",
    "Negative log-likelihood against the votes, the temperature refitted to them, nats",
    1,
    3,
    "NLL refitted, nats",
)


def comparable(found: Sequence[Line]) -> None:
    """Raises DataError unless all runs but a tuning's trials had the same faces as often, and no seed comes twice."""
    runs = [line for line in found if line["trial"] is None]
    keys = ("experiment", "preset", "sizes", "precision", "split", "epochs", "faces_seen", "trials")
    given = {key: {str(line.get(key, "unknown")) for line in runs} for key in keys}
    given["probes at"] = {line["probes"]["exposure"] for line in runs if line.get("probes")}
    for key, values in given.items():
        if len(values) > 1:
            raise DataError(
                f"lines of {key} {', '.join(sorted(values))}: a table needs one; the rest belong in another --out"
            )
    twice = [name for name, count in Counter((line["method"], line["seed"]) for line in runs).items() if count > 1]
    if twice:
        raise DataError(f"lines of {twice[0][0]} seed {twice[0][1]}: more than one; the rest belong in another --out")


def by_method(found: Sequence[Line]) -> dict[str, list[Line]]:
    """Runs of each method in the order met, plain first; trials of a tuning left out."""
    grouped: dict[str, list[Line]] = {}
    for line in found:
        if line["trial"] is None:
            grouped.setdefault(line["method"], []).append(line)
    return dict(sorted(grouped.items(), key=lambda item: item[0] != PLAIN))


def mean_score(runs: Sequence[Line], metric: str) -> dict[str, float]:
    """The seeds' mean by exposure, and their mean over the dark ones as "mean dark"; empty where no score has it."""
    values: dict[str, list[float]] = {}
    for run in runs:
        for score in run["scores"]:
            if metric in score:
                values.setdefault(score["exposure"], []).append(score[metric])
    means = {exposure: float(np.mean(over_seeds)) for exposure, over_seeds in values.items()}
    dark = [means[exposure] for exposure in DARK if exposure in means]
    return means | ({"mean dark": float(np.mean(dark))} if dark else {})


def markdown(found: Sequence[Line], root: Path, against: str = PLAIN) -> str:
    """A table per metric. Differences to the method `against` need the predictions of both, which are under `root`
    where they ran. Raises DataError where the lines are not of one comparison.
    """
    comparable(found)
    methods = by_method(found)
    apart = differences(methods, against, root, functools.cache(answers))
    measured = [
        Measured(metric, {name: mean_score(runs, metric.name) for name, runs in methods.items()}, apart)
        for metric in METRICS
    ]
    dark, refitted = {name: runs for name, runs in methods.items() if name != CEILING}, functools.cache(votes.answers)
    means = {name: mean_score(votes.rescored(runs, root, refitted), REFITTED.name) for name, runs in dark.items()}
    measured.append(Measured(REFITTED, means, differences(dark, against, root, refitted)))
    measured = [one for one in measured if any(one.means.values())]
    names, over = titles(methods), f"the mean over {', '.join(dark_rungs(methods))}"
    parts = [provenance([line for runs in methods.values() for line in runs]), in_short(measured, against, names, over)]
    if any(len(runs) > 1 for runs in methods.values()):
        parts.append(f"**Each training, {over}, {sanity.READ}**\n\n{trainings(methods, against)}")
    parts += [by_exposure(one, against, names) for one in measured]
    if any(line.get("probes") for runs in methods.values() for line in runs):
        parts.append(f"**What the prior is worth, {sanity.READ}**\n\n{table(*sanity.probes(methods))}")
    if PLAIN in methods and CEILING in methods:
        parts.append(
            f"**Of the gap from plain in the dark to the clean ceiling, recovered, %**\n\n{recovered(methods, names)}"
        )
    trends = sanity.trends(methods, root)
    if trends:
        parts.append(f"**Accuracy that more light gains, points**\n\n{table(*trends)}")
    parts.append(f"**What each run took**\n\n{costs(methods)}")
    return "\n\n".join(parts) + "\n"


def titles(methods: Mapping[str, Sequence[Line]]) -> dict[str, str]:
    """Each method's name; with fewer seeds than another has, it says so: a mean over them stands beside whole ones."""
    most = max(len(runs) for runs in methods.values())
    return {
        name: name if len(runs) == most else f"{name} ({len(runs)} of {most} seeds)" for name, runs in methods.items()
    }


def dark_rungs(methods: Mapping[str, Sequence[Line]]) -> list[str]:
    """Those of DARK that were judged: what "mean dark" is over."""
    judged = {score["exposure"] for runs in methods.values() for line in runs for score in line["scores"]}
    return [rung for rung in DARK if rung in judged]


Differences = Mapping[str, Mapping[str, Mapping[str, Estimate]]]  # by method, place in TESTED, metric


def differences(
    methods: Mapping[str, Sequence[Line]], against: str, root: Path, read: Callable[[Path], Predictions]
) -> Differences:
    """Nothing for `against` itself and for the ceiling, which was never meant to see in the dark."""
    others = methods.get(against, [])
    return {
        name: {
            where: {} if name in (against, CEILING) else difference(runs, others, root, rungs, read)
            for where, rungs in TESTED.items()
        }
        for name, runs in methods.items()
    }


@dataclass(frozen=True)
class Measured:
    """A metric of every method: by exposure, and how far each is from the one it is read against."""

    metric: Metric
    means: Mapping[str, Mapping[str, float]]  # by method, exposure
    apart: Differences


def in_short(measured: Sequence[Measured], against: str, names: Mapping[str, str], over: str) -> str:
    """Means over the dark rungs, with their differences: the table to read first."""
    shown = [one for one in measured if one.metric.short]
    heads = [head for one in shown for head in (one.metric.short, f"less {against}'s")]
    rows = [
        [names[name], *(cell for one in shown for cell in _in_short(one, name))]
        for name in measured[0].means
        if name != CEILING
    ]
    title = f"In short, {over}, with {CONFIDENCE:.0%} intervals"
    return f"**{title}**\n\n{table(['method', *heads], rows)}"


def _in_short(one: Measured, method: str) -> tuple[str, str]:
    mean = one.means.get(method, {}).get("mean dark")
    estimate = one.apart[method]["mean dark"].get(one.metric.name)
    return _cell(mean, one.metric, method, "mean dark"), _interval(estimate, one.metric)


def trainings(methods: Mapping[str, Sequence[Line]], against: str) -> str:
    """How far trainings of one method lie apart, which no interval over faces knows; of enough, one that does."""
    seeds = sorted({line["seed"] for runs in methods.values() for line in runs})
    found = {name: {line["seed"]: line for line in runs} for name, runs in methods.items() if name != CEILING}
    heads, rows = ["method", *(f"seed {seed}" for seed in seeds)], []
    shown = [metric for metric in METRICS if metric.name in ("accuracy", "nll")]
    known = len(seeds) >= TRAININGS_FOR_AN_INTERVAL
    if known:
        heads += [f"{metric.short}, less {against}'s, {CONFIDENCE:.0%} interval over trainings" for metric in shown]
    for name, runs in found.items():
        others = found.get(against, {}) if known else {}
        against_itself = name == against
        apart = [
            _interval(None if against_itself else over_trainings(runs, others, one.name), one) for one in shown if known
        ]
        rows.append([name, *(_training(runs.get(seed)) for seed in seeds), *apart])
    return table(heads, rows)


def _training(line: Line | None) -> str:
    if line is None:
        return "–"
    accuracy, nll = (mean_score([line], figure)["mean dark"] for figure in ("accuracy", "nll"))
    return f"{100 * accuracy:.1f} / {nll:.3f}"


def over_trainings(ours: Mapping[int, Line], theirs: Mapping[int, Line], figure: str) -> Estimate | None:
    """Of a figure's mean over the dark, ours less theirs, by seed: Student's interval of the mean. The faces stay as
    they are. None where fewer than TRAININGS_FOR_AN_INTERVAL seeds are of both.
    """
    seeds = sorted(set(ours) & set(theirs))
    if len(seeds) < TRAININGS_FOR_AN_INTERVAL:
        return None
    one, other = ([mean_score([side[seed]], figure)["mean dark"] for seed in seeds] for side in (ours, theirs))
    apart = np.subtract(one, other)
    mean = float(apart.mean())
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(seeds) - 1) * stats.sem(apart))
    return Estimate(mean, mean - half, mean + half)


def by_exposure(one: Measured, against: str, names: Mapping[str, str]) -> str:
    """A table of the metric, and where differences are known a second of them."""
    metric, exposures = one.metric, [e for e in COLUMNS if any(e in values for values in one.means.values())]
    values = [
        [names[name], *(_cell(means.get(exposure), metric, name, exposure) for exposure in exposures)]
        for name, means in one.means.items()
    ]
    text = f"**{metric.title}**\n\n{table(['method', *exposures], values)}"
    tested = [where for where in TESTED if any(metric.name in found[where] for found in one.apart.values())]
    if not tested:
        return text
    apart = [
        [names[name], *(_interval(one.apart[name][where].get(metric.name), metric) for where in tested)]
        for name in one.means
        if name not in (against, CEILING)
    ]
    title = f"{metric.title}: less {against}'s, with {CONFIDENCE:.0%} intervals"
    return f"{text}\n\n**{title}**\n\n{table(['method', *tested], apart)}"


def provenance(found: Sequence[Line]) -> str:
    def all_of(key: str) -> str:
        return listed(line[key] for line in found)

    trained = trained_by(found)
    faces = listed(f"{score['faces']:,}" for line in found for score in line["scores"])
    what = f"{all_of('experiment')}, preset {all_of('preset')}, {faces} faces of {all_of('split')}"
    return f"{what}, seeds {all_of('seed')}; {all_of('date')}, {all_of('machine')}, commit {trained}."


def trained_by(found: Sequence[Line]) -> str:
    return listed(line.get("trained", line["commit"]) for line in found)  # older lines know the judging's alone


def listed(values: Iterable[object]) -> str:
    """Each once, in the order met."""
    return ", ".join(dict.fromkeys(str(value) for value in values))


def recovered(methods: Mapping[str, Sequence[Line]], names: Mapping[str, str]) -> str:
    """What each method adds to plain's accuracy, as a share of what full light and clean training add: over the seeds
    that all three have.
    """
    rungs = dark_rungs(methods)
    rows = [
        [names[name], *_recovered(runs, methods[PLAIN], methods[CEILING], rungs)]
        for name, runs in methods.items()
        if name not in (PLAIN, CEILING)
    ]
    return table(["method", *rungs], rows)


def _recovered(runs: Sequence[Line], plain: Sequence[Line], ceiling: Sequence[Line], rungs: Sequence[str]) -> list[str]:
    """By rung; no share where there is no gap."""
    seeds = set.intersection(*({line["seed"] for line in side} for side in (runs, plain, ceiling)))
    ours, dark, light = (
        mean_score([line for line in side if line["seed"] in seeds], "accuracy") for side in (runs, plain, ceiling)
    )
    gaps = {rung: light["clean"] - dark[rung] for rung in rungs if seeds}
    return [f"{100 * (ours[rung] - dark[rung]) / gaps[rung]:.0f}" if gaps.get(rung, 0) > 0 else "–" for rung in rungs]


def costs(methods: Mapping[str, Sequence[Line]]) -> str:
    rows = []
    for name, runs in methods.items():
        one, seconds = runs[0], float(np.mean([run["seconds"] for run in runs]))
        changes = ", ".join(f"{place}={value}" for place, value in one["changes"].items())
        figures = [f"{one['epochs']}", f"{one['faces_seen']:,}", f"{one['parameters']:,}", f"{one['flops'] / 1e6:.1f}"]
        rows.append([name, str(len(runs)), *figures, f"{seconds:.0f}", trained_by(runs), changes])
    head = ["method", "seeds", "epochs", "faces seen", "parameters", "MFLOP an answer", "seconds", "commit", "changes"]
    return table(head, rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    ruler = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ruler, *rows))


def _cell(value: float | None, metric: Metric, method: str, exposure: str) -> str:
    """The ceiling is what clean faces allow: it was never meant to see in the dark."""
    known = value is not None and not (method == CEILING and exposure != "clean")
    return f"{value * metric.scale:.{metric.digits}f}" if known and value is not None else "–"


def _interval(one: Estimate | None, metric: Metric) -> str:
    if one is None:
        return "–"
    value, low, high = (f"{part * metric.scale:+.{metric.digits}f}" for part in (one.value, one.low, one.high))
    return f"{value} ({low} to {high})"


def answers(folder: Path) -> Predictions:
    """Those of a run."""
    return evaluation.read(folder / PREDICTIONS, ANSWERS)


def difference(
    runs: Sequence[Line],
    others: Sequence[Line],
    root: Path,
    rungs: Sequence[float],
    read: Callable[[Path], Predictions] = answers,
) -> dict[str, Estimate]:
    """Over the exposures `rungs` and the seeds that both have; empty where predictions are not at hand."""
    ours, theirs = ({line["seed"]: judgement(root, line) for line in side} for side in (runs, others))
    seeds = [s for s in ours if s in theirs and all((side[s] / PREDICTIONS).exists() for side in (ours, theirs))]
    if not seeds:
        return {}
    one, other = ([read(side[seed]) for seed in seeds] for side in (ours, theirs))
    exposures = [rung for rung in rungs if rung in one[0].exposures]
    if not exposures:
        return {}
    faces = one[0].at(exposures[0]).ids
    subjects, _ = read_known(ours[seeds[0]].parent / "faces.parquet", runs[0]["split"])
    how = Resampling.of(faces, subjects, RESAMPLES, CONFIDENCE, seed=1)
    return evaluation.compare(one, other, exposures, how)
