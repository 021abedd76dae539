"""A sweep that is under way, as a person sees it: a table on a terminal, a line for each trial that ends elsewhere."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from components.stages.sweep import Params
from flows import live
from flows.progress import duration
from flows.sweep import verdict
from flows.sweep.journal import CONFIRMATION, SEARCH, Standing, Training

SHOWN = 24  # trials in the table, the newest
STATES = ("running", "finished", "stopped", "failed")
STYLES = {"running": "bold cyan", "finished": "green", "stopped": "yellow", "failed": "bold red"}


class SweepView(Protocol):
    """Whoever is told how a sweep stands."""

    def show(self, standing: Standing) -> None: ...


@contextmanager
def shown(experiment: str, params: Params) -> Iterator[SweepView]:
    """Show the sweep until the end of the block, in the way standard error allows."""
    if not live.is_watched():
        yield Lines(experiment, params)
        return
    stream = sys.stderr
    console = live.Terminal(file=stream)
    above = live.Above(console, stream)
    sys.stderr = above
    screen = Screen(experiment, params)
    try:
        with Live(console=console, get_renderable=screen.frame, refresh_per_second=2, redirect_stdout=False,
                  redirect_stderr=False):  # fmt: skip
            yield screen
    finally:
        above.finish()
        sys.stderr = stream


class Lines:
    """A line whenever a training begins, dies or ends."""

    def __init__(self, experiment: str, params: Params) -> None:
        self.experiment, self.params = experiment, params
        self.told: dict[str, tuple[str, int]] = {}

    def show(self, standing: Standing) -> None:
        for one in standing.trainings.values():
            now = (one.status, one.deaths)
            if one.status != "waiting" and self.told.get(one.job.name) != now:
                self.told[one.job.name] = now
                sys.stderr.write(f"sweep {self.experiment}: {_line(one)}; {summary(self.params, standing)}\n")
                sys.stderr.flush()


def _line(one: Training) -> str:
    name = f"trial {one.job.trial}" if one.is_trial else f"trial {one.job.trial} with seed {one.job.seed}"
    after = f"after {one.epochs} of {one.job.epochs} epochs"
    match one.status:
        case "running" if one.deaths:
            return f"{name} died {after} and is tried again ({one.error})"
        case "stopped":
            return f"{name} stopped by {one.stopped_by} {after} at {one.accuracy:.3f}"
        case "finished":
            return f"{name} finished at {one.accuracy:.3f}"
        case "failed":
            return f"{name} failed {after} ({one.error})"
    return f"{name} began"


def summary(params: Params, standing: Standing) -> str:
    """Trainings by state, the best so far, the time left."""
    trials = standing.trials() if standing.phase == SEARCH else standing.confirmations()
    counts = [f"{n} {state}" for state in STATES if (n := sum(one.status == state for one in trials))]
    best = standing.best()
    parts = [", ".join(counts) or "starting"]
    if standing.phase == SEARCH and params.sweep.trials:
        parts[0] += f" of {params.sweep.trials} trials"
    if best is not None:
        parts.append(f"best {best.accuracy:.3f} (trial {best.job.trial})")
    left = seconds_left(params, standing)
    if left is not None:
        parts.append(f"{duration(left)} left" + (" of the search" if standing.phase == SEARCH else ""))
    return "; ".join(parts)


def seconds_left(params: Params, standing: Standing) -> float | None:
    """Of the phase at hand, by the pace of the trials that have ended, or by the budget; None until one has."""
    trials = standing.trials() if standing.phase == SEARCH else standing.confirmations()
    ended = sum(one.has_ended for one in trials)
    is_search = standing.phase == SEARCH
    wanted = params.sweep.trials if is_search else len(verdict.confirmations(params, standing.trials()))
    spent = standing.spent()
    by_pace = spent / ended * max(0, wanted - ended) if ended and wanted else None  # 0: as many as the budget allows
    minutes = params.sweep.minutes
    by_budget = max(0.0, 60 * minutes - spent) if minutes is not None and standing.phase == SEARCH else None
    known = [seconds for seconds in (by_pace, by_budget) if seconds is not None]
    return min(known, default=None)


class Screen:
    """The table, redrawn in place."""

    def __init__(self, experiment: str, params: Params) -> None:
        self.experiment, self.params = experiment, params
        self.standing: Standing | None = None
        self.began = time.monotonic()

    def show(self, standing: Standing) -> None:
        self.standing = standing

    def frame(self) -> RenderableType:
        if self.standing is None or not self.standing.trainings:
            return Group(
                Text(f"sweep {self.experiment}: starting Ray, {duration(time.monotonic() - self.began)}"), Text("")
            )
        phase = "confirming the best" if self.standing.phase == CONFIRMATION else "searching"
        head = Text.assemble((f"sweep {self.experiment}", "bold"), f"  {phase}")
        told = Text(summary(self.params, self.standing), no_wrap=True, overflow="ellipsis")
        return Group(head, told, _table(self.standing), Text(""))


def _table(standing: Standing) -> Table:
    newest = [*standing.trials(), *standing.confirmations()][-SHOWN:]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("trial", "state", "epochs", "accuracy"):
        table.add_column(name, justify="right" if name in ("epochs", "accuracy") else "left", no_wrap=True)
    table.add_column("parameters", no_wrap=True, overflow="ellipsis")
    best = standing.best()
    for one in newest:
        name = str(one.job.trial) if one.is_trial else f"{one.job.trial}, seed {one.job.seed}"
        state = f"{one.status} by {one.stopped_by}" if one.stopped_by else one.status
        table.add_row(
            Text(name, "bold" if one is best else ""),
            Text(state, STYLES.get(one.status, "dim")),
            f"{one.epochs}/{one.job.epochs}",
            "" if one.accuracy is None else f"{one.accuracy:.3f}",
            Text(parameters_text(one.job.parameters), "dim"),
        )
    return table


def parameters_text(parameters: Mapping[str, Any]) -> str:
    """Parameters in few words: the last part of each name."""
    short = {name.rpartition(".")[2]: value for name, value in sorted(parameters.items())}
    words = (f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in short.items())
    return " ".join(words)
