"""DVC owns what is up to date. It runs as a subprocess with our environment; its output never reaches our stdout."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows import progress, project, staging, watch
from flows.progress import Progress
from flows.project import ROOT, Failed, StageSpec


@dataclass(frozen=True)
class StageRun:
    """How a stage came to be up to date."""

    name: str
    status: str  # "ran" or "cached"
    seconds: float

    @property
    def word(self) -> str:
        """The status as a person reads it."""
        return "up to date" if self.status == "cached" else self.status


def stale(experiment: str, wait: bool = True) -> dict[str, list[object]]:
    """The experiment's stages that are not up to date, with DVC's reasons. Raises Busy where not to wait for a run."""
    targets = [spec.target for spec in project.stages(experiment)]
    with _started("status", "--json", *targets, wait=wait, stderr=subprocess.PIPE) as process:
        out, errors = process.communicate()
    if process.returncode:
        raise Failed(_last_error(errors.splitlines()) or "dvc status failed", "infrastructure")
    return json.loads(out)


def reproduce(spec: StageSpec, told: Callable[[Progress], None]) -> StageRun:
    """Bring one stage up to date, its inputs being so; `told` hears how far it is. Raises Failed with its own line."""
    began = time.monotonic()
    with _started("repro", "--single-item", spec.target, stderr=subprocess.STDOUT) as process:
        lines = _relay(process, told)
    if process.returncode:
        raise _failure(spec, lines)
    ran = any(line.startswith("Running stage") for line in lines)
    return StageRun(spec.name, "ran" if ran else "cached", round(time.monotonic() - began, 1))


def add(path: Path) -> None:
    """Put a file under DVC. Raises Failed."""
    with _started("add", "--quiet", str(path), stderr=subprocess.PIPE) as process:
        _, errors = process.communicate()
    if process.returncode:
        raise Failed(_last_error(errors.splitlines()) or "dvc add failed", "infrastructure")


def remotes() -> list[str]:
    """The names of DVC's remotes. Raises Failed, Busy where a run is at work."""
    with _started("remote", "list", wait=False, stderr=subprocess.PIPE) as process:
        out, errors = process.communicate()
    if process.returncode:
        raise Failed(_last_error(errors.splitlines()) or "dvc remote list failed", "infrastructure")
    return [line.split()[0] for line in out.splitlines() if line.strip()]


@contextmanager
def _started(*arguments: str, stderr: int, wait: bool = True) -> Iterator["subprocess.Popen[str]"]:
    """DVC at work in this clone, one command at a time.

    The lock passes to DVC, so that it lasts as long as DVC does: after a kill, the next run waits for what is left.
    """
    environment = project.environment() | {watch.OWNER: str(os.getpid())}
    with staging.locked(ROOT / "state" / "dvc.lock", "another run is at work in this clone", wait) as lock:
        yield subprocess.Popen(
            ["dvc", *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            pass_fds=(lock.fileno(),),
        )


def _relay(process: "subprocess.Popen[str]", told: Callable[[Progress], None]) -> list[str]:
    """Collect DVC's lines, and pass on how far the stage is."""
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip())
        where = progress.parse(line)
        if where:
            told(where)
    process.wait()
    return lines


def _failure(spec: StageSpec, lines: list[str]) -> Failed:
    ran = any(line.startswith("Running stage") for line in lines)
    left = staging.outcome(spec.target) if ran else None
    if left and left["error"]:
        return Failed(f"{spec.target}: {left['error']}", str(left["class"]))
    if "Traceback (most recent call last):" in lines:
        sys.stderr.write("\n".join(lines) + "\n")
        return Failed(f"{spec.target}: a bug: the traceback is above", "bug")
    if ran and staging.latest_state(spec.target):
        return Failed(
            f"{spec.target}: the stage was killed; the same command goes on from its checkpoint", "infrastructure"
        )
    full = next((name for name in ("runs", "state", ".dvc") if _is_full(ROOT / name)), None)
    if full:  # DVC names whatever it tried to do there
        return Failed(f"{spec.target}: no space left on the disk of {full}/", "infrastructure")
    said = [line for line in lines if line.startswith("lldif: ")]
    return Failed(f"{spec.target}: {said[-1][7:] if said else _last_error(lines) or 'dvc failed'}", "infrastructure")


def _is_full(folder: Path) -> bool:
    return folder.exists() and shutil.disk_usage(folder).free < 2**20


def _last_error(lines: list[str]) -> str | None:
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return errors[0] if errors else None
