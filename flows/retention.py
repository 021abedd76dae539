"""What may go, and how it goes: old checkpoints, states, gate predictions, reports, artifacts of MLflow runs.

Whatever the policy says, these stay: the newest state of each stage, a state that a resume needs, a state at work, the
registry, DVC's cache. What goes is first renamed within its folder and then removed, so that a clean that was killed
leaves nothing half usable; the next one finishes it.
"""

import functools
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.records import file_sha256
from flows import staging, tracking
from flows.policy import Policy, Retention
from flows.project import ROOT, Failed
from flows.staging import STATE

TRASH = ".trash-"
REPORTS = ROOT / "reports"
RUN_LOCK = STATE / "run.lock"
BUSY = "at work"
DAY_SECONDS = 86400


@dataclass(frozen=True)
class Leftover:
    """Something that may go."""

    kind: str  # "checkpoint", "ray", "state", "gate", "report", "trash" or "artifacts"
    name: str  # a path in the project, or an MLflow run
    why: str
    size_bytes: int


@dataclass(frozen=True)
class State:
    """A folder under state/ that a stage left."""

    folder: Path
    outcome: dict[str, Any] | None  # None: the stage was killed, or is at work

    @property
    def is_finished(self) -> bool:
        return self.outcome is not None and bool(self.outcome["ok"])

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    def resumable(self) -> Iterator[Path]:
        """What is there for a resume alone: checkpoints, a sweep's trials' too, and Ray's files."""
        ray = self.folder / "ray"
        if ray.exists():
            yield ray
        for path in sorted(self.folder.rglob("checkpoint*.safetensors")):
            if not path.is_relative_to(ray):
                yield path


@dataclass(frozen=True)
class Cleaning:
    """What `lldif clean` did, or would do."""

    dry_run: bool
    gone: tuple[Leftover, ...]
    unfinished: int  # states that wait for a resume, and the bytes that they keep for it
    unfinished_bytes: int
    cache_bytes: int  # of DVC's cache, which is DVC's to clean
    error: str | None  # why MLflow's artifacts were not looked at


def clean(policy: Policy, dry_run: bool) -> Cleaning:
    """Remove all that the policy lets go, or only list it. Raises Failed."""
    with staging.locked(STATE / "clean.lock", "another 'lldif clean' is at work", wait=False):
        files = old_files(policy.retention, time.time())
        try:
            gone = files if dry_run else [leftover for leftover in files if remove_file(leftover)]
        except OSError as error:
            raise Failed(f"{_relative(error.filename)}: not removed: {error.strerror}", "infrastructure") from None
        artifacts, unreachable = _clean_artifacts(policy, dry_run)
        count, kept = unfinished()
        cache = ROOT / ".dvc" / "cache"
        return Cleaning(dry_run, (*gone, *artifacts), count, kept, _size(cache) if cache.exists() else 0, unreachable)


def _clean_artifacts(policy: Policy, dry_run: bool) -> tuple[list[Leftover], str | None]:
    keep = policy.retention.unregistered_runs_per_stage
    why = f"no version came from this run; only the newest {keep} of its stage keep theirs"
    if not tracking.is_there(policy):
        return [], None
    try:
        with tracking.reachable(policy) as client:
            runs = tracking.runs_without_version(client, policy, keep)
            if not dry_run:
                for run in runs:
                    tracking.remove_artifacts(client, run)
    except Failed as error:
        return [], str(error)
    return [Leftover("artifacts", run.name, why, run.size_bytes) for run in runs], None


def text(cleaning: Cleaning) -> str:
    """The cleaning for a person."""
    lines = [f"{one.kind:<10}  {_amount(one.size_bytes):>9}  {one.name}  ({one.why})" for one in cleaning.gone]
    verb = "would go" if cleaning.dry_run else "removed"
    lines.append(f"{verb}: {len(cleaning.gone)}, {_amount(sum(one.size_bytes for one in cleaning.gone))}")
    if cleaning.unfinished:
        kept = f"{cleaning.unfinished} unfinished states, {_amount(cleaning.unfinished_bytes)}"
        lines.append(f"kept: {kept}: the same stage with the same inputs goes on from there")
    if cleaning.cache_bytes:
        how = "'dvc gc --workspace --all-commits' drops what neither a commit nor this tree refers to"
        lines.append(f"kept: DVC's cache, {_amount(cleaning.cache_bytes)}: {how}")
    return "\n".join(lines)


def _amount(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.1f} kB"


def old_files(rules: Retention, now: float) -> list[Leftover]:
    """The files under state/ and reports/ that the policy lets go; `now` in seconds since the epoch."""
    found = [*_trash(), *_old_states(rules, now)]
    if not _is_busy(RUN_LOCK):
        found += _old_entries("gate", STATE / "gate", "*", rules.gate_days, now)
        found += _old_entries("report", REPORTS, "*/*", rules.report_days, now)
    return found


def remove_file(leftover: Leftover) -> bool:
    """Remove what `old_files` found; False where it has come into use since."""
    trash = path = ROOT / leftover.name
    if leftover.kind != "trash":
        trash = path.with_name(f"{TRASH}{path.name}")
        try:
            with staging.locked(_lock_of(leftover), BUSY, wait=False):
                if Path(leftover.name).parts[1] in _newest():
                    return False
                path.rename(trash)
        except staging.Busy:
            return False
    if trash.is_dir() and not trash.is_symlink():
        shutil.rmtree(trash)
    else:
        trash.unlink()
    return True


def unfinished() -> tuple[int, int]:
    """How many states wait for a resume, and the bytes they keep for it."""
    waiting = [state for state in _states() if not state.is_finished and not _is_busy(state.lock)]
    kept = [size for state in waiting if (size := sum(map(_size, state.resumable())))]
    return len(kept), sum(kept)


def _trash() -> Iterator[Leftover]:
    for folder in (STATE, REPORTS):
        for path in sorted(folder.rglob(f"{TRASH}*")):
            if TRASH not in str(path.parent):
                yield _leftover("trash", path, "left by a clean that was killed")


def _old_states(rules: Retention, now: float) -> Iterator[Leftover]:
    states = _states()
    whole = _newest() | {state.folder.name for state in _newest_finished(states, rules.whole_states_per_stage)}
    sha256 = functools.cache(file_sha256)
    for state in states:
        needed = list(state.resumable())
        if state.folder.name in whole or (needed and not state.is_finished) or _is_busy(state.lock):
            continue
        if now - _newest_change(state.folder) > rules.state_days * DAY_SECONDS and not _is_current(state, sha256):
            yield _leftover("state", state.folder, f"{_owner(state)}: older than {rules.state_days} days")
            continue
        for path in needed:
            why = f"{_owner(state)}: only the newest {rules.whole_states_per_stage} are kept whole"
            yield _leftover("ray" if path.is_dir() else "checkpoint", path, why)


def _newest() -> set[str]:
    """The fingerprints of the newest attempt at every stage."""
    return {path.read_text() for path in (STATE / "latest").glob("*@*")}


def _states() -> list[State]:
    folders = [path for path in sorted(STATE.glob("*")) if re.fullmatch("[0-9a-f]{64}", path.name)]
    outcomes = [folder / "outcome.json" for folder in folders]
    return [State(path.parent, json.loads(path.read_text()) if path.exists() else None) for path in outcomes]


def _newest_finished(states: list[State], count: int) -> Iterator[State]:
    """The newest finished states of every stage and experiment."""
    finished: dict[str, list[State]] = {}
    for state in states:
        if state.is_finished:
            finished.setdefault(_owner(state), []).append(state)
    for of_a_stage in finished.values():
        ordered = sorted(of_a_stage, key=lambda state: (state.folder / "outcome.json").stat().st_mtime, reverse=True)
        yield from ordered[:count]


def _owner(state: State) -> str:
    return str(state.outcome["stage"]) if state.outcome else "a stage that was killed"


def _is_current(state: State, sha256: Callable[[Path], str]) -> bool:
    """Whether an output that is here now came from the state."""
    made = state.outcome["artifacts"] if state.outcome else []
    return any((ROOT / one["path"]).exists() and sha256(ROOT / one["path"]) == one["sha256"] for one in made)


def _old_entries(kind: str, folder: Path, pattern: str, days: int, now: float) -> Iterator[Leftover]:
    for path in sorted(folder.glob(pattern)):
        if TRASH not in path.name and now - _newest_change(path) > days * DAY_SECONDS:
            yield _leftover(kind, path, f"older than {days} days")


def _leftover(kind: str, path: Path, why: str) -> Leftover:
    return Leftover(kind, str(path.relative_to(ROOT)), why, _size(path))


def _lock_of(leftover: Leftover) -> Path:
    """The lock of whoever may be using it: a state's own where it lies in one, the run's otherwise."""
    first, second, *_ = Path(leftover.name).parts
    owned = first == STATE.name and re.fullmatch("[0-9a-f]{64}", second)
    return STATE / second / "lock" if owned else RUN_LOCK


def _is_busy(lock: Path) -> bool:
    try:
        with staging.locked(lock, BUSY, wait=False):
            return False
    except staging.Busy:
        return True


def _size(path: Path) -> int:
    return sum(file.lstat().st_size for file in _with_content(path) if not file.is_dir())


def _newest_change(path: Path) -> float:
    """Of the files: a folder changes when something in it is cleaned, too."""
    files = [file for file in _with_content(path) if not file.is_dir()]
    return max(file.lstat().st_mtime for file in files or [path])


def _relative(path: str) -> str:
    return path.removeprefix(f"{ROOT}/")


def _with_content(path: Path) -> list[Path]:
    return [path, *path.rglob("*")]
