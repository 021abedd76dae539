"""What a person sees while work goes on: a view of all steps on a terminal, a line now and then elsewhere.

Both write to standard error: standard output is for the answer alone.
"""

import io
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.progress import Pace, Progress, duration

LINE_SECONDS = 5.0  # a stage says no more often where it stands, its last step apart
STYLES = {"waiting": "dim", "running": "bold cyan", "failed": "bold red", "stopped": "yellow"}  # green: all went well


class View(Protocol):
    """Whoever is told how the work goes."""

    def begin(self, name: str) -> None: ...

    def detail(self, name: str, text: str) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def end(self, name: str, status: str) -> None: ...

    def note(self, text: str) -> None:
        """What goes on before the first step."""

    def say(self, line: str) -> None:
        """A line that stays."""


class Lines:
    """Plain lines, throttled: for logs and pipes."""

    def __init__(self, experiment: str = "", seconds: float = LINE_SECONDS) -> None:
        self.suffix = f"@{experiment}" if experiment else ""
        self.seconds = seconds
        self.began: dict[str, float] = {}
        self.shown: dict[str, float] = {}

    def begin(self, name: str) -> None:
        self.began[name] = time.monotonic()

    def detail(self, name: str, text: str) -> None:
        self.say(f"{name}{self.suffix}: {text}")

    def progress(self, progress: Progress) -> None:
        now = time.monotonic()
        before = self.shown.get(progress.target)
        if progress.step == progress.total or before is None or now - before > self.seconds:
            self.shown[progress.target] = now
            self.say(progress.line())

    def end(self, name: str, status: str) -> None:
        if status != "failed":  # the error says it
            self.say(f"{name}{self.suffix}: {status}, {duration(time.monotonic() - self.began[name])}")

    def note(self, text: str) -> None:
        pass

    def say(self, line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


@dataclass
class Row:
    """One step on the screen."""

    name: str
    status: str = "waiting"
    began: float = 0.0
    seconds: float | None = None
    detail: str = ""
    progress: Progress | None = None
    pace: Pace = field(default_factory=Pace)


class Screen:
    """All steps with their state, the running one with bar, figures and time left, redrawn in place."""

    def __init__(self, experiment: str, steps: Iterable[str], console: Console, remains: bool = False) -> None:
        self.experiment = experiment
        self.remains = remains
        self.rows = {name: Row(name) for name in steps}
        self.text = ""
        self.live = Live(
            console=console,
            get_renderable=self.frame,
            refresh_per_second=2,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def begin(self, name: str) -> None:
        self.text = ""
        self.rows = self.rows | {name: Row(name, "running", time.monotonic())}

    def detail(self, name: str, text: str) -> None:
        self.rows[name].detail = text

    def progress(self, progress: Progress) -> None:
        row = self.rows[progress.target.partition("@")[0]]
        row.pace.saw(progress.step, time.monotonic())
        row.progress = progress

    def end(self, name: str, status: str) -> None:
        row = self.rows[name]
        row.seconds = time.monotonic() - row.began
        row.status = status

    def note(self, text: str) -> None:
        self.text = text

    def say(self, line: str) -> None:
        self.live.console.print(Text(line))

    def frame(self) -> RenderableType:
        lines: list[RenderableType] = [Text.assemble((self.experiment, "bold"), f"  {self.text}")]
        now = time.monotonic()
        width = max(map(len, self.rows))
        for row in self.rows.values():
            lines += _row(row, width, now)
        # ends on a line of its own: whatever ends this process, the next prompt stands alone
        return Group(*(_cropped(line) for line in lines), Text(""))

    def __enter__(self) -> "Screen":
        self.live.start(refresh=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.live.transient = kind is None and not self.remains  # after an error it shows where
        self.live.stop()


def _row(row: Row, width: int, now: float) -> list[RenderableType]:
    running = row.status == "running"
    seconds = now - row.began if running else row.seconds
    spent = "" if seconds is None else duration(seconds)
    style = STYLES.get(row.status, "green")
    first = Text.assemble(f"  {row.name:<{width}}  ", (f"{row.status:<10}", style), f"  {spent:>11}")
    if not running:
        return [first]
    if row.progress is None:
        return [first, Text(f"    {row.detail}", "dim")] if row.detail else [first]
    return [first, _bar(row, row.progress, now), Text(f"    {row.progress.figures}", "dim")]


def _bar(row: Row, progress: Progress, now: float) -> Table:
    left = row.pace.seconds_left(progress.total, now)
    line = Table.grid(padding=(0, 1))
    for _ in range(4):
        line.add_column(no_wrap=True)
    line.add_row(
        "   ",
        ProgressBar(progress.total, progress.step, width=24),
        f"{progress.step}/{progress.total}",
        "" if left is None or progress.step == progress.total else f"{duration(left)} left",
    )
    return line


def _cropped(line: RenderableType) -> RenderableType:
    """A line too long for the terminal is cut: what wraps cannot be redrawn in place."""
    if isinstance(line, Text):
        line.no_wrap, line.overflow = True, "ellipsis"
    return line


class Terminal(Console):
    """The terminal behind standard error. Its cursor is never hidden: a killed run could not bring it back."""

    def show_cursor(self, show: bool = True) -> bool:
        return False


class Above(io.TextIOBase):
    """A standard error for others: whole lines, printed above the view.

    Not rich's own proxy, which another rich console, Prefect's log handler for one, sees through.
    """

    def __init__(self, console: Console, stream: TextIO) -> None:
        self.console = console
        self.stream = stream
        self.begun = ""

    def write(self, text: str) -> int:
        *lines, self.begun = (self.begun + text).split("\n")
        for line in lines:
            self.console.print(Text.from_ansi(line), soft_wrap=True)
        return len(text)

    def fileno(self) -> int:
        return self.stream.fileno()

    def isatty(self) -> bool:
        return self.stream.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.stream.encoding

    def finish(self) -> None:
        """A last line without an end."""
        if self.begun:
            self.write("\n")


_current: ContextVar[View] = ContextVar("view")


def current() -> View:
    """The view of the work at hand; plain lines where nobody asked for one, as under a Prefect worker."""
    return _current.get(None) or Lines()


def is_watched() -> bool:
    """Whether standard error is a terminal that can be drawn on."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


@contextmanager
def shown(experiment: str, steps: Iterable[str], remains: bool = False) -> Iterator[View]:
    """Show the steps of an experiment until the end of the block, in the way standard error allows.

    A view on a terminal then makes room for the answer, unless it `remains` or an error ended the block.
    """
    if not is_watched():
        with _as_current(Lines(experiment)) as lines:
            yield lines
        return
    stream = sys.stderr
    console = Terminal(file=stream)
    above = Above(console, stream)
    sys.stderr = above
    try:
        with Screen(experiment, steps, console, remains) as screen, _as_current(screen):
            yield screen
    finally:
        above.finish()
        sys.stderr = stream


@contextmanager
def _as_current(view: View) -> Iterator[View]:
    token = _current.set(view)
    try:
        yield view
    finally:
        _current.reset(token)


@dataclass
class Step:
    """A step at work; whoever does it may say more than that it is done."""

    name: str
    view: View
    status: str = "done"

    def detail(self, text: str) -> None:
        self.view.detail(self.name, text)


@contextmanager
def step(name: str) -> Iterator[Step]:
    """Show `name` as running during the block, then with its status; "failed" or "stopped" where it is left early."""
    one = Step(name, current())
    one.view.begin(name)
    try:
        yield one
    except Exception:
        one.view.end(name, "failed")
        raise
    except BaseException:
        one.view.end(name, "stopped")
        raise
    one.view.end(name, one.status)
