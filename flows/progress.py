"""How far a stage is, as one line of text: a stage writes it, a run reads it from what DVC prints."""

import re
from dataclasses import dataclass

from components.records import Report

LINE = re.compile(r"(?P<target>[a-z_]+@\S+) (?P<step>\d+)/(?P<total>\d+)(?: (?P<figures>.+))?")


@dataclass(frozen=True)
class Progress:
    """Where a stage stands and what it measured there."""

    target: str  # stage@experiment
    step: int  # 1 .. total
    total: int
    figures: str  # "loss=0.51 accuracy=0.7", empty where nothing was measured

    @classmethod
    def of(cls, target: str, report: Report) -> "Progress":
        figures = " ".join(f"{name}={_figure(value)}" for name, value in report.metrics.items())
        return cls(target, report.step, report.total, figures)

    def line(self) -> str:
        return f"{self.target} {self.step}/{self.total} {self.figures}".rstrip()


def _figure(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.3g}"


def parse(line: str) -> Progress | None:
    """The progress that a line tells of, None where it is about something else."""
    found = LINE.fullmatch(line.rstrip())
    if found is None:
        return None
    return Progress(found["target"], int(found["step"]), int(found["total"]), found["figures"] or "")


class Pace:
    """The time left, if the steps to come take as long as those that were seen."""

    def __init__(self) -> None:
        self.first: tuple[int, float] | None = None
        self.last: tuple[int, float] | None = None

    def saw(self, step: int, now: float) -> None:
        """`now` in seconds of any clock that does not jump."""
        self.last = (step, now)
        self.first = self.first or self.last

    def seconds_left(self, total: int, now: float) -> float | None:
        """Until step `total` is done; None until two steps were seen."""
        if self.first is None or self.last is None or self.last[0] <= self.first[0]:
            return None
        (first, began), (last, then) = self.first, self.last
        return max(0.0, (total - last) * (then - began) / (last - first) - (now - then))


def duration(seconds: float) -> str:
    """In the two largest units that matter: 42 s, 3 min 05 s, 2 h 04 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
