"""One stage, run for DVC: a locked state folder, reports on disk, an outcome, and no life after the run that asked.

state/<fingerprint>/ holds checkpoint.safetensors, reports.jsonl (the truth of a training) and outcome.json;
state/latest/<stage>@<experiment> names the fingerprint of the newest attempt.
"""

import fcntl
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO

import psutil

from components import atomic
from components.records import Artifact, DataError, Report
from flows import live, project
from flows.progress import Progress
from flows.project import ROOT, Failed, StageSpec
from flows.watch import OWNER, is_dvc, wait_until_gone

STATE = ROOT / "state"
RELAY_SECONDS = 0.2  # a stage tells the run that asked for it no more often where it stands


def run(name: str, experiment: str) -> list[Artifact]:
    """Run one stage and leave its outcome; return what it made. Raises Failed."""
    leave_with_owner()
    spec = next((spec for spec in project.stages(experiment) if spec.name == name), None)
    if spec is None:
        allowed = ", ".join(spec.name for spec in project.stages(experiment))
        raise Failed(f"no stage {name}: there is {allowed}", "config")
    (STATE / "latest").mkdir(parents=True, exist_ok=True)
    latest = STATE / "latest" / spec.target
    latest.unlink(missing_ok=True)
    with one_line_errors() as explain:
        from components import experiment as params_file
        from components.learning import compute

        whole = params_file.load(project.params_path(experiment))
        params = params_file.given(whole, name)
        device = compute.kind()
        fingerprint = project.fingerprint(spec, params.model_dump(mode="json"), torch_version(), device)
        state = STATE / fingerprint
        state.mkdir(parents=True, exist_ok=True)
        atomic.write_text(latest, fingerprint)
    if explain:
        raise explain[0]
    with locked(state / "lock", f"{spec.target} is being run by another process"):
        work = _work(name, experiment)
        folder = project.runs_folder(experiment)
        return _run_locked(spec, state, device, lambda: work(params, ROOT / spec.raw, folder, state))


def _work(name: str, experiment: str) -> Callable[..., Iterator[Report]]:
    """The science's own function, or that of the engine whose stage it is."""
    if name == "validate":
        from flows import validation

        return partial(validation.run, pages=project.reports_folder(experiment) / "validation")
    if name == "sweep":
        from flows.sweep import stage

        return stage.run
    from components.experiment import STAGES

    run: Callable[..., Iterator[Report]] = STAGES[name].run
    return run


def _run_locked(spec: StageSpec, state: Path, device: str, work: Callable[[], Iterator[Report]]) -> list[Artifact]:
    began = time.time()
    (state / "outcome.json").unlink(missing_ok=True)
    with one_line_errors() as explain:
        truncate_reports(state)
        project.runs_folder(spec.experiment).mkdir(parents=True, exist_ok=True)
        with (state / "reports.jsonl").open("a", encoding="utf-8") as reports, _shown(spec) as view:
            for report in work():
                reports.write(json.dumps({**asdict(report), "time": round(time.time(), 3)}) + "\n")
                reports.flush()
                view.progress(Progress.of(spec.target, report))
        artifacts = [Artifact.of(ROOT / name, name) for name in spec.outputs]
    failed = explain[0] if explain else None
    outcome = {
        "stage": spec.target,
        "ok": failed is None,
        "error": str(failed) if failed else None,
        "class": failed.kind if failed else None,
        "seconds": round(time.time() - began, 1),
        "device": device,
        "artifacts": [] if failed else [asdict(artifact) for artifact in artifacts],
    }
    try:
        atomic.write_text(state / "outcome.json", json.dumps(outcome, indent=1) + "\n")
    except OSError as error:  # a full disk has no room for the news either
        failed = failed or Failed(_os_error(error), "infrastructure")
    if failed:
        raise failed
    return artifacts


@contextmanager
def _shown(spec: StageSpec) -> Iterator[live.View]:
    """The stage's own view where it was asked for by itself; under a run, lines from which the run draws its view."""
    if OWNER in os.environ:
        yield live.Lines(seconds=RELAY_SECONDS)
        return
    with live.shown(spec.experiment, [spec.name], remains=True) as view, live.step(spec.name) as step:
        step.status = "ran"
        yield view


def outcome(target: str) -> dict[str, object] | None:
    """What the newest attempt at a stage left, None where it left nothing (it was killed)."""
    state = latest_state(target)
    path = state / "outcome.json" if state else None
    return json.loads(path.read_text()) if path and path.exists() else None


def latest_state(target: str) -> Path | None:
    """The state folder of the newest attempt at a stage, if it was ever attempted here."""
    latest = STATE / "latest" / target
    return STATE / latest.read_text() if latest.exists() else None


@contextmanager
def one_line_errors() -> Iterator[list[Failed]]:
    """What goes wrong for a known reason ends up in the list, as one line; tracebacks are for bugs."""
    from components.config import ConfigError
    from components.learning.training import DivergedError

    caught: list[Failed] = []
    try:
        yield caught
    except Failed as error:
        caught.append(error)
    except DataError as error:
        caught.append(Failed(_short(str(error)), "data"))
    except (ConfigError, DivergedError) as error:
        caught.append(Failed(_short(str(error)), "config"))
    except OSError as error:
        caught.append(Failed(_os_error(error), "infrastructure"))


def _os_error(error: OSError) -> str:
    where = f"{_short(str(error.filename))}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _short(text: str) -> str:
    """Paths as a person in the project would type them."""
    return text.replace(f"{ROOT}{os.sep}", "")


def torch_version() -> str:
    from importlib.metadata import version

    return version("torch")


def truncate_reports(state: Path) -> None:
    """Keep the reports that the checkpoint has passed: what came after will be reported again."""
    from components.learning.training import epochs_done

    done = epochs_done(state / "checkpoint.safetensors")
    path = state / "reports.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    atomic.write_text(path, "".join(lines[:done]))


class Busy(Failed):
    """Somebody else holds the lock, and we were told not to wait."""


@contextmanager
def locked(path: Path, notice: str, wait: bool = True) -> Iterator[IO[str]]:
    """Hold an exclusive lock on `path`; where somebody else holds it, say so once and wait. Raises Busy if not to."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    raise Busy(notice, "infrastructure") from None
                sys.stderr.write(f"{notice}; waiting for it\n")
                fcntl.flock(stream, fcntl.LOCK_EX)
            if not _is_at(path, stream):  # `lldif clean` took the folder away before the lock was ours
                continue
            yield stream
            return


def _is_at(path: Path, stream: IO[str]) -> bool:
    return path.exists() and os.path.samestat(path.stat(), os.fstat(stream.fileno()))


def leave_with_owner() -> None:
    """End this process as soon as the run that asked for it is gone: a killed DVC would leave it at work."""
    owners = [ancestor.pid for ancestor in psutil.Process().parents() if is_dvc(ancestor)]
    if OWNER in os.environ:
        owners.append(int(os.environ[OWNER]))
    for owner in owners:
        threading.Thread(target=_leave_when_gone, args=(owner,), daemon=True).start()


def _leave_when_gone(owner: int) -> None:
    wait_until_gone(owner)
    sys.stderr.write(f"process {owner}, which asked for this stage, is gone: stopping\n")
    os._exit(1)
