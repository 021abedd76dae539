"""The pipeline's stage: a sweep whose answer is two outputs of DVC's."""

import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from components import atomic
from components.records import Report
from components.stages.sweep import METRIC, Params
from flows.sweep import verdict
from flows.sweep.journal import Standing, Training, rows


def run(params: Params, raw: Path, folder: Path, state: Path) -> Iterator[Report]:
    """faces.parquet, dark_valid.parquet, prior.safetensors -> best.json, trials.json.

    With no trials, best.json changes nothing and Ray is not started. Raises DataError where every trial failed.
    """
    standing = Standing()
    if params.sweep.trials:
        standing = yield from _searched(params, folder, state)
    total = _total(params)
    yield Report("sweep", total, total)
    write(folder / "trials.json", rows(standing.trials(), standing.confirmations()))
    write(folder / "best.json", verdict.best(standing.trials(), standing.confirmations()))


def _searched(params: Params, folder: Path, state: Path) -> Generator[Report, None, Standing]:
    """A report whenever an epoch has passed."""
    from flows.sweep.search import search  # with Ray, which takes seconds to import

    going, step = search(params, folder, state, params.sweep.confirm.in_stage), 0
    while True:
        try:
            standing = next(going)
        except StopIteration as ended:
            return ended.value
        best = standing.best()  # none yet, or none any more: the only trial that had an accuracy may have failed
        if best is not None and (now := _step(standing)) > step:
            step = now
            yield Report("sweep", step, _total(params), figures(standing, best))


def figures(standing: Standing, best: Training) -> dict[str, float]:
    """What a person wants to know of a sweep that is under way."""
    ended = sum(one.has_ended for one in standing.trials())
    return {METRIC: float(best.accuracy or 0.0), "trial": best.job.trial, "ended": ended}


def _step(standing: Standing) -> int:
    """Epochs done, and those that a trial which has ended will not need."""
    return sum(one.job.epochs if one.has_ended else one.epochs for one in standing.trainings.values())


def _total(params: Params) -> int:
    config = params.sweep
    again = (config.confirm.best + 1) * config.confirm.seeds if config.confirm.in_stage and config.confirm.best else 0
    return max(1, config.trials * config.epochs_per_trial + again * params.train_diffusion.epochs)


def write(path: Path, value: Any) -> None:
    """The same value gives the same bytes."""
    atomic.write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")
