"""`lldif doctor`: is everything here that the pipeline needs?"""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from components.config import ConfigError
from flows import policy as policy_file
from flows import project, staging, tracking, versioning
from flows.project import ROOT, Failed

FREE_GIGABYTES = 5


@dataclass(frozen=True)
class Finding:
    check: str
    ok: bool
    detail: str


def examine() -> list[Finding]:
    """Every check, whatever the others say."""
    checks: dict[str, Callable[[], str]] = {
        "python": _python,
        "packages": _packages,
        "git": _git,
        "disk": _disk,
        "device": _device,
        "mlflow.yaml": lambda: f"{len(policy_file.load().gates)} gates",
        "MLflow": _mlflow,
        "Prefect": lambda: os.environ.get("PREFECT_API_URL", "a server of its own for each run"),
    }
    checks |= {f"experiment {name}": (lambda name=name: _experiment(name)) for name in project.live()}  # type: ignore[misc]
    return [_find(name, check) for name, check in checks.items()]


def _find(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except (Failed, ConfigError) as error:
        return Finding(name, False, str(error).replace(f"{ROOT}{os.sep}", ""))


def _python() -> str:
    return sys.version.split()[0]


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
        raise Failed(f"{len(wrong)} differ from requirements.lock: {', '.join(wrong[:5])}: 'make install'", "config")
    return f"{len(lines)} as locked"


def _git() -> str:
    source = project.provenance()
    return f"{source.commit[:12]}{', with changes' if source.dirty else ', clean'}"


def _disk() -> str:
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < FREE_GIGABYTES:
        raise Failed(f"{free:.1f} GB free: at least {FREE_GIGABYTES} are needed", "infrastructure")
    return f"{free:.0f} GB free"


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {os.cpu_count()} cores"


def _mlflow() -> str:
    rules = policy_file.load()
    with tracking.reachable(rules) as client:
        client.search_experiments(max_results=1)
    return tracking.public(tracking.tracking_uri(rules))


def _experiment(name: str) -> str:
    project.check_params(name)
    raw = ROOT / project.live()[name]["raw"]
    if not raw.exists():
        raise Failed(f"{project.live()[name]['raw']} is not here: 'dvc pull' or 'lldif data add'", "data")
    try:
        stale = versioning.stale(name, wait=False)
    except staging.Busy as busy:
        return str(busy)
    return f"to do: {', '.join(stale)}" if stale else "up to date"
