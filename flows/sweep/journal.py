"""A sweep's journal: one line for each thing that happened, in the order in which this process learnt of it.

It is the truth of a sweep. Ray's own state is not read back: whatever was killed, and whenever, what goes on is what
the journal says. A line that a kill cut short is dropped.
"""

import json
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from components.stages.sweep import METRIC, Job

Status = Literal["waiting", "running", "finished", "stopped", "failed"]
ENDED: tuple[Status, ...] = ("finished", "stopped", "failed")
SEARCH, CONFIRMATION = "search", "confirmation"


@dataclass
class Training:
    """What became of a job so far."""

    job: Job
    status: Status = "waiting"
    stopped_by: str | None = None  # "asha" or "budget"
    error: str | None = None  # of a job that failed, its last one
    deaths: int = 0
    history: dict[int, dict[str, float]] = field(default_factory=dict)  # epoch -> figures
    began: float | None = None  # seconds since 1970
    last: float | None = None  # when it was last heard of

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def is_trial(self) -> bool:
        return self.job.name == trial_name(self.job.trial)

    @property
    def epochs(self) -> int:
        return max(self.history, default=0)

    @property
    def accuracy(self) -> float | None:
        """The last one."""
        return self.history[self.epochs][METRIC] if self.history else None


def trial_name(number: int) -> str:
    return f"trial-{number:04}"


@dataclass
class Standing:
    """How a sweep stands: what its journal comes to."""

    trainings: dict[str, Training] = field(default_factory=dict)  # by the name of the job
    seconds: dict[str, float] = field(default_factory=lambda: {SEARCH: 0.0, CONFIRMATION: 0.0})  # in all sessions
    epochs: dict[str, int] = field(default_factory=lambda: {SEARCH: 0, CONFIRMATION: 0})  # those repeated included
    reports: list[tuple[str, int]] = field(default_factory=list)  # (job, epoch) in the order they came
    phase: str = SEARCH
    then: float | None = None  # when anything was last heard of

    def trials(self) -> list[Training]:
        """By number."""
        return sorted((one for one in self.trainings.values() if one.is_trial), key=lambda one: one.job.trial)

    def confirmations(self) -> list[Training]:
        """By trial and seed."""
        found = [one for one in self.trainings.values() if not one.is_trial]
        return sorted(found, key=lambda one: (one.job.trial, one.job.seed))

    def best(self) -> Training | None:
        """The trial whose last accuracy is highest, of equals the first; None where none that did not fail has any."""
        known = [one for one in self.trials() if one.accuracy is not None and one.status != "failed"]
        return max(known, key=lambda one: (float(one.accuracy or 0.0), -one.job.trial), default=None)

    def spent(self) -> float:
        """Seconds of the phase at hand until now."""
        return self.seconds[self.phase] + (time.time() - self.then if self.then is not None else 0.0)

    def apply(self, line: dict[str, Any]) -> None:
        now = line["time"]
        if line["event"] == "opened":  # nobody spent the time since the session before on it
            self.phase, self.then = line["phase"], now
            return
        self.seconds[self.phase] += now - (self.then or now)
        self.then = now
        if line["event"] == "job":
            job = Job(**line["job"])
            self.trainings[job.name] = Training(job)
            return
        training = self.trainings[line["name"]]
        training.last = now
        match line["event"]:
            case "began":
                training.status = "running"
                training.began = training.began or now
            case "report":
                training.history[line["epoch"]] = line["metrics"] | {"time": now}
                self.epochs[self.phase] += 1
                self.reports.append((line["name"], line["epoch"]))
            case "died":
                training.deaths += 1
                training.error = line["error"]
            case "ended":
                training.status = line["status"]
                training.stopped_by = line["stopped_by"]
                training.error = line["error"]

    def copy(self) -> "Standing":
        trainings = {name: replace(one, history=dict(one.history)) for name, one in self.trainings.items()}
        return replace(
            self,
            trainings=trainings,
            seconds=dict(self.seconds),
            epochs=dict(self.epochs),
            reports=list(self.reports),
        )


class Journal:
    """The file, and how the sweep stands by it. One thread writes; others take copies of the standing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.standing = Standing()
        self.lock = threading.Lock()
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with path.open("r+b") as stream:
                stream.truncate(len(whole))
        for line in whole.splitlines():
            self.standing.apply(json.loads(line))

    def copy(self) -> Standing:
        """The standing as it is now, for another thread to keep."""
        with self.lock:
            return self.standing.copy()

    def opened(self, phase: str) -> None:
        """This process begins, or goes on with, a phase."""
        self._note("opened", phase=phase)

    def wants(self, job: Job) -> None:
        self._note("job", job=asdict(job))

    def began(self, name: str) -> None:
        self._note("began", name=name)

    def reported(self, name: str, epoch: int, metrics: Mapping[str, float]) -> None:
        self._note("report", name=name, epoch=epoch, metrics=dict(metrics))

    def died(self, name: str, error: str) -> None:
        self._note("died", name=name, error=error)

    def ended(self, name: str, status: Status, stopped_by: str | None = None, error: str | None = None) -> None:
        self._note("ended", name=name, status=status, stopped_by=stopped_by, error=error)

    def _note(self, event: str, **what: Any) -> None:
        line = {"event": event, "time": round(time.time(), 3), **what}
        with self.lock, self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
            self.standing.apply(line)


def rows(
    trials: Iterable[Training], confirmations: Iterable[Training], with_times: bool = False
) -> list[dict[str, Any]]:
    """The trials as trials.json tells of them: nothing of times (unless asked), deaths and places."""
    again: dict[int, list[dict[str, Any]]] = {}
    for one in confirmations:
        again.setdefault(one.job.trial, []).append({"seed": one.job.seed, **_told(one, with_times)})
    return [
        {
            "number": one.job.trial,
            "parameters": dict(one.job.parameters),
            **_told(one, with_times),
            "confirmations": again.get(one.job.trial, []),
        }
        for one in trials
    ]


def _told(one: Training, with_times: bool) -> dict[str, Any]:
    history = [{"epoch": epoch, **one.history[epoch]} for epoch in sorted(one.history)]
    if not with_times:
        history = [{name: value for name, value in row.items() if name != "time"} for row in history]
    return {
        "status": one.status,
        "stopped_by": one.stopped_by,
        "error": one.error if one.status == "failed" else None,
        "epochs": one.epochs,
        METRIC: one.accuracy,
        "history": history,
        **({"began": one.began, "last": one.last} if with_times else {}),
    }
