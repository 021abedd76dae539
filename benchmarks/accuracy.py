"""How well each method reads faces in the dark, on equal terms: the same faces, as many of them, the same seeds.

    python -m benchmarks.accuracy ferplus-dev --raw PATH --methods lldif,plain --seeds 2 --epochs 24 \\
        --workers 2 --threads 1 --out benchmarks/results/NAME.jsonl

Each run adds a JSON line to --out; a run that has its line is not run again, and a killed one goes on from its
checkpoint. The tables are printed and put beside the lines as NAME.md, the figure as NAME.svg. On a CPU or a GPU. A
bare machine does: components, and of packages torch (with its MarkupSafe), numpy, scipy, scikit-learn, pyarrow,
pillow, safetensors, pydantic and PyYAML.
"""

import argparse
import itertools
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.comparison import budget, figure, methods, report, runs, tuning
from benchmarks.comparison.budget import Plan
from benchmarks.comparison.jobs import SPLITS, Arena, digest, prepare, say
from benchmarks.comparison.methods import overridden
from components import atomic, experiment
from components.config import ConfigError, read_yaml
from components.data.table import class_counts
from components.learning.compute import device
from components.learning.evaluation import exposure_name
from components.model.presets import PRESETS
from components.records import DataError

REPOSITORY = Path(__file__).resolve().parents[1]
ROOT = REPOSITORY / "state" / "accuracy"


def main(arguments: list[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    try:
        return compare(given)
    except (ConfigError, DataError) as error:
        say(str(error))
        return 2


def parser() -> argparse.ArgumentParser:
    what = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what.add_argument("experiment", nargs="?", default="demo", help="a name in params/, or the path of a params file")
    what.add_argument("--raw", type=Path, metavar="PATH", help="the raw data, unless it is drawn")
    what.add_argument("--methods", default="peers", metavar="NAMES", help="names or groups of them; see --list")
    what.add_argument("--seeds", type=from_one, default=2, metavar="N")
    what.add_argument("--epochs", type=from_one, default=24, metavar="N", help="of every method, its stages together")
    what.add_argument("--preset", choices=tuple(PRESETS), help="of the recogniser; else the params file's")
    what.add_argument("--split", choices=SPLITS, default="valid", help="whose faces are judged; training is once")
    what.add_argument("--budget", type=above_zero, metavar="MINUTES", help="take fewer epochs, seeds or faces, to fit")
    what.add_argument("--sweep-trials", type=from_zero, default=0, metavar="N", help="tune each method first, on valid")
    what.add_argument("--sweep-epochs", type=from_one, default=6, metavar="N", help="of a trial")
    what.add_argument("--workers", type=from_one, metavar="N", help="runs at a time; else a core each, or one on a GPU")
    what.add_argument("--threads", type=from_one, default=1, metavar="N", help="of each run")
    what.add_argument("--out", type=Path, default=ROOT / "lines.jsonl", metavar="JSONL")
    what.add_argument("--root", type=Path, default=ROOT, metavar="FOLDER", help="for data, checkpoints, predictions")
    what.add_argument("--list", action="store_true", help="say what methods there are, and do nothing else")
    what.add_argument("--against", default=methods.PLAIN, metavar="NAME", help="whom differences are to")
    what.add_argument("--report", action="store_true", help="only the tables and the figure of the lines there are")
    return what


def from_zero(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: allowed are whole numbers from 0")
    return int(text)


def from_one(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text}: allowed are whole numbers from 1")
    return int(text)


def above_zero(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: allowed are numbers above 0")
    return found


def compare(given: argparse.Namespace) -> int:
    if given.list:
        width = 2 + max(len(method.name) for method in methods.GROUPS["all"])
        for method in methods.GROUPS["all"]:
            print(f"{method.name:{width}}{method.says}")
        for name, members in methods.GROUPS.items():
            print(f"{name:{width}}a group: {len(members)} of these, {members[0].name} to {members[-1].name}")
        return 0
    if given.report:
        return show(given.out, given.root, given.against)
    wanted = methods.chosen(given.methods)
    workers = given.workers or (1 if device().type == "cuda" else os.cpu_count() or 1)
    arena = opened(given, {})
    plan = Plan(given.epochs, given.seeds, train_faces(arena), given.sweep_trials, given.sweep_epochs)
    trained = [method for method in wanted if not method.asks]
    if given.budget is not None:
        plan, arena = affordable_comparison(given, arena, plan, wanted, workers)
    about_to = {"experiment": arena.experiment, "preset": arena.content["model"]["llformer"]["preset"]}
    about_to |= {"sizes": digest(arena.sizes), "split": given.split, "epochs": plan.epochs}
    about_to |= {"precision": arena.precision, "trials": given.sweep_trials}
    for line in runs.lines(given.out):  # better now than after hours
        if line["trial"] is None and (other := [key for key in about_to if line.get(key) != about_to[key]]):
            was, now = line.get(other[0], "unknown"), about_to[other[0]]
            raise DataError(
                f"{given.out}: holds lines of {other[0]} {was}: allowed are those of {now}, or another --out"
            )
    runs.refuse_strangers(arena, given.out)
    settled: dict[str, tuning.Settings] = {}
    if given.sweep_trials:
        tried = tuning.settings(given.sweep_trials)
        jobs = tuning.trials(arena, trained, tried, given.sweep_epochs)
        complain(runs.run(jobs, given.out, min(workers, len(jobs))))
        settled = tuning.best(tried, jobs, runs.lines(given.out))
        if given.split == "valid":
            say("tuned on valid and judged on it: the figures flatter; --split test does not")
    failed = 0
    for part in (trained, [method for method in wanted if method.asks]):  # whoever is asked has been trained by then
        jobs = []
        for seed, method in itertools.product(range(1, plan.seeds + 1), part):
            best = settled.get(method.asks or method.name, tuning.AS_IT_IS)
            jobs.append(arena.job(method, seed, plan.epochs, best.changes, trials=given.sweep_trials))
        failed |= complain(runs.run(jobs, given.out, min(workers, len(jobs))))
    return show(given.out, given.root, given.against) or failed


def opened(given: argparse.Namespace, changes: Mapping[str, Any]) -> Arena:
    """The experiment's faces, ready. Raises ConfigError where its params file says what cannot be compared."""
    path = Path(given.experiment)
    path = path if path.suffix == ".yaml" else REPOSITORY / "params" / f"{given.experiment}.yaml"
    refuse_no_dark(path, experiment.load(path).darken.exposures)
    sizes = {"model.llformer.preset": given.preset} if given.preset else {}
    content = overridden(read_yaml(path), {"compute.threads": given.threads, **sizes, **changes})
    data = prepare(path.name, content, given.raw, given.root)
    return Arena(path.stem, content, given.split, data, given.root)


def refuse_no_dark(path: Path, ladder: Sequence[float]) -> None:
    """A tuning's choice and the tables to read first are the mean over the dark rungs: one must be judged. Raises
    ConfigError.
    """
    if not {exposure_name(exposure) for exposure in ladder} & set(report.DARK):
        raise ConfigError(
            f"{path}: darken.exposures: {', '.join(map(str, ladder))} has no mean in the dark: allowed is a ladder with"
            f" one or more of {', '.join(report.DARK)}"
        )


def train_faces(arena: Arena) -> int:
    return sum(class_counts(arena.data / "faces.parquet")["train"].values())


def affordable_comparison(
    given: argparse.Namespace, arena: Arena, wanted: Plan, wanted_methods: list[methods.Method], workers: int
) -> tuple[Plan, Arena]:
    """What the minutes pay for, and the faces for it. Says what it chose, and keeps it under --root: whoever goes on
    after a kill, or judges the other split, goes on with the same plan, whatever the speeds are by then.
    """
    names = sorted(method.name for method in wanted_methods)
    asked = [arena.content, arena.precision, arena.sizes, arena.data.name, given.budget, workers, names, asdict(wanted)]
    place, kept = budget.faces_place(arena.content), given.root / "plans" / f"{digest(asked)}.json"
    if kept.exists():
        plan = Plan(**json.loads(kept.read_text()))
        say(f"as planned before: {plan.epochs} epochs of {plan.faces:,} faces, {plan.seeds} seeds")
    else:
        costs = budget.measured(arena, wanted_methods, workers)
        plan = budget.affordable(budget.plans(wanted, place is not None), costs, workers, given.budget)
        minutes = plan.seconds(costs, workers) / 60
        fits = f"{given.budget:g} minutes pay for" if minutes <= given.budget else "no plan fits, so the least:"
        say(f"{fits} {plan.epochs} epochs of {plan.faces:,} faces, {plan.seeds} seeds; about {minutes:.1f} minutes")
        kept.parent.mkdir(exist_ok=True)
        atomic.write_text(kept, json.dumps(asdict(plan)) + "\n")
    fewer = {place: plan.faces} if place is not None and plan.faces < wanted.faces else {}
    return plan, opened(given, fewer) if fewer else arena


def complain(failures: list[str]) -> int:
    for failure in failures:
        say(failure)
    return 1 if failures else 0


def show(out: Path, root: Path, against: str) -> int:
    """The tables on standard output and, with the figure, beside the lines.

    Tables without some runs' predictions have fewer intervals: they take no other tables' place. Raises DataError
    where there is another table than the one asked for, or none.
    """
    found = runs.lines(out)
    if not found:
        say(f"{out}: holds no run yet")
        return 1
    if against != methods.PLAIN and against not in (there := list(report.by_method(found))):
        raise DataError(f"--against {against}: no line is of it: allowed are {', '.join(there)}")
    tables = report.markdown(found, root, against)
    print(tables, end="")
    atomic.write_text(out.with_suffix(".svg"), figure.accuracy_by_exposure(found))
    beside = out.with_suffix(".md")
    lost = [
        line for line in found if line["trial"] is None and not (runs.judgement(root, line) / runs.PREDICTIONS).exists()
    ]
    if lost and beside.exists():
        say(f"{beside}: left as it was: of {len(lost)} runs the predictions are not under {root}")
    else:
        atomic.write_text(beside, tables)
    return 0


if __name__ == "__main__":
    sys.exit(main())
