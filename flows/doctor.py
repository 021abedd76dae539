"""`lldif doctor`: is everything here that the pipeline needs? What is missing comes with the command that gets it."""

import os
import shutil
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from components.config import ConfigError, read_yaml
from flows import policy as policy_file
from flows import project, staging, tracking, versioning
from flows.project import ROOT, Failed
from flows.watch import OWNER

FREE_GIGABYTES = 5
MEMORY_GIGABYTES = 2
SHARED_MEMORY_GIGABYTES = 0.2  # Ray's object store
ANSWER_SECONDS = 5
SHARED_MEMORY = Path("/dev/shm")
MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
RAY_CLUSTER = Path("/tmp/ray/ray_current_cluster")  # where Ray notes the address that "auto" means


@dataclass(frozen=True)
class Finding:
    """What one check found, and the command that mends it: empty where nothing is missing."""

    check: str
    ok: bool
    detail: str
    remedy: str = ""


class Missing(Exception):
    """Something that the pipeline needs, and how to get it."""

    def __init__(self, line: str, remedy: str) -> None:
        super().__init__(line)
        self.remedy = remedy


def examine() -> list[Finding]:
    """Every check, whatever the others say."""
    checks: dict[str, tuple[Callable[[], str], str]] = {
        "python": (lambda: sys.version.split()[0], ""),
        "packages": (_packages, "make install"),
        "git": (_git, "git status"),
        "disk": (_disk, "lldif clean"),
        "memory": (_memory, ""),
        "shared memory": (_shared_memory, ""),
        "device": (_device, ""),
        "environment": (_environment, ""),
        "locks": (_locks, ""),
        "mlflow.yaml": (lambda: f"{len(policy_file.load().gates.declared)} gates", "git diff mlflow.yaml"),
        "MLflow": (_mlflow, "start that server, or unset MLFLOW_TRACKING_URI for the store in this folder"),
        "Prefect": (_prefect, ""),
        "Ray": (_ray, ""),
        "DVC remote": (_remote, "dvc remote list"),
        "params/live.yaml": (_live, "git checkout params/live.yaml"),
    }
    found = [_find(name, check, remedy) for name, (check, remedy) in checks.items()]
    if found[-1].ok:
        found += [_find(f"experiment {name}", lambda name=name: _experiment(name), "") for name in project.live()]  # type: ignore[misc]
    return found


def text(findings: list[Finding]) -> str:
    """The findings for a person, aligned; under what is missing, what to do."""
    width = max(len(finding.check) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{'ok' if finding.ok else 'MISSING':<8} {finding.check:<{width}}  {finding.detail}")
        if finding.remedy:
            lines.append(f"{'':<8} {'':<{width}}  -> {finding.remedy}")
    return "\n".join(lines)


def _find(name: str, check: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(name, True, check())
    except Missing as missing:
        return Finding(name, False, str(missing), missing.remedy)
    except (Failed, ConfigError) as error:
        line = str(error).replace(f"{ROOT}{os.sep}", "")
        return Finding(name, False, line.removeprefix(f"{name} at "), remedy)


def _packages() -> str:
    wrong = []
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").split()
    for line in lines:
        name, _, locked = line.partition("==")
        try:
            installed = version(name).partition("+")[0]
        except PackageNotFoundError:
            installed = "missing"
        if installed != locked:
            wrong.append(f"{name} {installed} (lock: {locked})")
    if wrong:
        raise Failed(f"{len(wrong)} differ from requirements.lock: {', '.join(wrong[:5])}", "config")
    return f"{len(lines)} as locked"


def _git() -> str:
    if shutil.which("git") is None:
        raise Missing("no git command: versions cannot say which code made them", "apt-get install git")
    first = "git add -A && git commit -m 'First commit'"
    if not (ROOT / ".git").exists():
        raise Missing("not a git repository: versions cannot say which code made them", f"git init && {first}")
    source = project.provenance()
    if source.commit == "none":
        raise Missing("no commit yet: versions cannot say which code made them", first)
    return f"{source.commit[:12]}{', with changes' if source.dirty else ', clean'}"


def _disk() -> str:
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < FREE_GIGABYTES:
        raise Failed(f"{free:.1f} GB free: at least {FREE_GIGABYTES} are needed", "infrastructure")
    return f"{free:.0f} GB free"


def _memory() -> str:
    """What is free, or what a container lets us have, if that is less."""
    free = psutil.virtual_memory().available / 1e9
    limit = MEMORY_LIMIT.read_text().strip() if MEMORY_LIMIT.exists() else "max"
    free = free if limit == "max" else min(free, int(limit) / 1e9)
    if free < MEMORY_GIGABYTES:
        raise Missing(
            f"{free:.1f} GB free: at least {MEMORY_GIGABYTES} are needed",
            "end what else runs here, or give the container more: docker run --memory=4g",
        )
    return f"{free:.0f} GB free"


def _shared_memory() -> str:
    free = shutil.disk_usage(SHARED_MEMORY).free / 1e9 if SHARED_MEMORY.exists() else 0.0
    if free < SHARED_MEMORY_GIGABYTES:
        raise Missing(
            f"{free:.2f} GB free in {SHARED_MEMORY}: Ray's object store needs {SHARED_MEMORY_GIGABYTES}",
            f"mount -o remount,size=1G {SHARED_MEMORY}; for a container, docker run --shm-size=1g",
        )
    return f"{free:.1f} GB free"


def _device() -> str:
    import torch

    from components.learning.compute import own_precision

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {os.cpu_count()} cores"
    return f"{name}; precision auto is {own_precision()}"


def _environment() -> str:
    """A run sets a variable for what it starts; in a person's shell it would end every stage at once."""
    if OWNER in os.environ:
        raise Missing(f"{OWNER}: for processes of a run alone", f"unset {OWNER}")
    return "no variable of a run left behind"


def _locks() -> str:
    """A lock ends with its processes; one of those may outlive the run that started it."""
    holders = _holders({str(staging.STATE / name) for name in ("run.lock", "dvc.lock")})
    for process in holders:
        owner = _owner(process)
        if owner is not None and not psutil.pid_exists(owner):
            raise Missing(
                f"process {process.pid} of a run that was killed is still at work: the next run waits for it",
                f"kill {process.pid}",
            )
    return f"a run is at work: process {holders[0].pid}" if holders else "no run is at work"


def _holders(paths: set[str]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it is gone, or not ours to look at
            if any(file.path in paths for file in process.open_files()):
                found.append(process)
    return found


def _owner(process: psutil.Process) -> int | None:
    with suppress(psutil.Error):
        owner = process.environ().get(OWNER)
        return int(owner) if owner else None
    return None


def _mlflow() -> str:
    rules = policy_file.load()
    with tracking.reachable(rules) as client:
        client.search_experiments(max_results=1)
    return tracking.public(tracking.tracking_uri(rules))


def _prefect() -> str:
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return "a server of its own for each run"
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=ANSWER_SECONDS):
            return tracking.public(url)
    except (OSError, ValueError):
        remedy = "prefect server start, or unset PREFECT_API_URL for a server of each run's own"
        raise Missing(f"{tracking.public(url)} does not answer", remedy) from None


def _ray() -> str:
    """Its address answers; Ray itself, which takes seconds to import, is not asked."""
    address = os.environ.get("RAY_ADDRESS")
    if not address or address == "local":
        return "started for a sweep where one runs"
    remedy = "ray start --head, or unset RAY_ADDRESS for a Ray of the sweep's own"
    if address == "auto":
        if not RAY_CLUSTER.exists():
            raise Missing("RAY_ADDRESS is auto, and no Ray was started on this machine", remedy)
        address = RAY_CLUSTER.read_text().strip()
    place = urlsplit(address if "://" in address else f"ray://{address}")
    try:
        with socket.create_connection((place.hostname or "", place.port or 10001), ANSWER_SECONDS):
            return address
    except (OSError, ValueError):
        raise Missing(f"{address} does not answer", remedy) from None


def _remote() -> str:
    try:
        remotes = versioning.remotes()
    except staging.Busy as busy:
        return str(busy)
    return ", ".join(remotes) or "none, outputs stay here; 'dvc remote add -d NAME URL' to share them"


def _live() -> str:
    content = read_yaml(ROOT / "params" / "live.yaml")
    live = content.get("live") if isinstance(content, dict) else None
    if not live:
        raise Missing("no experiment is live", "git checkout params/live.yaml")
    return ", ".join(live)


def _experiment(name: str) -> str:
    raw = project.live()[name]["raw"]
    try:
        project.check_params(name)
    except ConfigError as error:
        raise Missing(str(error).replace(f"{ROOT}{os.sep}", ""), f"git diff params/{name}.yaml") from None
    if not (ROOT / raw).exists():
        pull = f"dvc pull {raw}.dvc, or " if (ROOT / f"{raw}.dvc").exists() else ""
        raise Missing(f"{raw} is not here", pull + _adding(name, raw))
    try:
        stale = versioning.stale(name, wait=False)
    except staging.Busy as busy:
        return str(busy)
    except Failed as error:
        raise Missing(str(error), "dvc status") from None
    return f"to do: {', '.join(stale)}" if stale else "up to date"


def _adding(name: str, raw: str) -> str:
    """The command that brings the raw data of an experiment whose params file is sound."""
    source = read_yaml(project.params_path(name))["ingest"]["source"]
    if source == "embedded":
        return f"git checkout {raw}"
    return f"lldif data add {source} {f'{name} ' if source in ('folder', 'parquet') else ''}PATH"
