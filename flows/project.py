"""The project on disk: where things lie, what dvc.yaml and params/live.yaml declare, what git knows."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.records import file_sha256

ROOT = Path(__file__).resolve().parent.parent

SETTINGS = {
    # no engine reports home from here
    "DVC_NO_ANALYTICS": "1",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # threads that wait should soon sleep: where anything else wants a core, spinning is ten times slower
    "GOMP_SPINCOUNT": "2000",
}


class Failed(Exception):
    """Work that did not succeed: one line for the person, and the class that decides whether to try again.

    Classes: "data", "config", "infrastructure" (worth a retry) and "bug" (a traceback went before).
    """

    def __init__(self, line: str, kind: str) -> None:
        super().__init__(line)
        self.kind = kind


@contextmanager
def config_errors() -> Iterator[None]:
    """A wrong config file as one line, its path as a person in the project would type it."""
    from components.config import ConfigError

    try:
        yield
    except ConfigError as error:
        raise Failed(str(error).replace(f"{ROOT}{os.sep}", ""), "config") from None


@dataclass(frozen=True)
class StageSpec:
    """One stage of one experiment, as dvc.yaml declares it; paths are relative to the project."""

    name: str
    experiment: str
    raw: str
    dependencies: tuple[str, ...]
    sections: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def target(self) -> str:
        return f"{self.name}@{self.experiment}"


def params_path(experiment: str) -> Path:
    return ROOT / "params" / f"{experiment}.yaml"


def runs_folder(experiment: str) -> Path:
    return ROOT / "runs" / experiment


def reports_folder(experiment: str) -> Path:
    """Pictures and pages: made again from the outputs at any time, known to neither DVC nor git."""
    return ROOT / "reports" / experiment


def live() -> dict[str, dict[str, str]]:
    """The experiments whose data is here: {"demo": {"raw": ...}}."""
    return _yaml("params/live.yaml")["live"]


def stages(experiment: str) -> list[StageSpec]:
    """The experiment's stages in the order of dvc.yaml. Raises Failed where the experiment is not live."""
    if experiment not in live():
        known = "params file there is" if params_path(experiment).exists() else "no params file either"
        hint = f"live are {', '.join(live())}; data is brought in by 'lldif data add'"
        raise Failed(f"params/live.yaml: {experiment} is not live ({known}): {hint}", "config")
    raw = live()[experiment]["raw"]
    graph = _yaml("dvc.yaml")["stages"]
    return [_spec(name, declared["do"], experiment, raw) for name, declared in graph.items()]


def _spec(name: str, do: dict[str, Any], experiment: str, raw: str) -> StageSpec:
    def fill(text: str) -> str:
        return text.replace("${key}", experiment).replace("${item.raw}", raw)

    outputs = [entry for kind in ("outs", "metrics", "plots") for entry in do.get(kind, [])]
    names = [entry if isinstance(entry, str) else next(iter(entry)) for entry in outputs]
    sections = [section for entry in do["params"] for section in next(iter(entry.values()))]
    return StageSpec(name, experiment, raw, tuple(map(fill, do["deps"])), tuple(sections), tuple(map(fill, names)))


def fingerprint(spec: StageSpec, params: dict[str, Any], torch_version: str, device: str) -> str:
    """What a stage's result follows from, as one hash: inputs, code, its sections of the params, torch, device."""
    content = {
        "stage": spec.target,
        "dependencies": {path: content_sha256(ROOT / path) for path in spec.dependencies},
        "params": params,
        "torch": torch_version,
        "device": device,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def content_sha256(path: Path) -> str:
    """Of a file, or of all files under a folder with their names. Raises Failed where it is missing."""
    if not path.exists():
        raise Failed(f"{_relative(path)}: missing: run the stage that makes it, or 'dvc checkout'", "data")
    if path.is_file():
        return file_sha256(path)
    listing = "".join(f"{file.relative_to(path)}\0{file_sha256(file)}\n" for file in _files(path))
    return hashlib.sha256(listing.encode()).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.is_file() and "__pycache__" not in file.parts)


def _relative(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def _yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Provenance:
    """The commit that made something, and whether the tree differed from it in more than dvc.lock and *.dvc."""

    commit: str
    dirty: bool


def provenance() -> Provenance:
    if not (ROOT / ".git").exists():
        return Provenance("none", True)
    return Provenance(git("rev-parse", "--verify", "-q", "HEAD", check=False).strip() or "none", bool(changed()))


def changed() -> list[str]:
    """Files that differ from the commit, dvc.lock and *.dvc apart: those are what publishing commits."""
    return [name for name in _differing() if not _is_published(name)]


def _is_published(name: str) -> bool:
    return name == "dvc.lock" or name.endswith(".dvc")


def _differing() -> list[str]:
    # a file that was moved is two: a pair of names would be an entry of another form
    entries = git("status", "--porcelain", "--no-renames", "--untracked-files=all", "-z").split("\0")
    return [entry[3:] for entry in entries if entry]


def publish(message: str) -> str:
    """Commit dvc.lock and *.dvc, and return the commit. Raises Failed where anything else has changed."""
    names = _differing()
    other = next((name for name in names if not _is_published(name)), None)
    if other:
        raise Failed(f"not published: {other} has changed too; allowed are dvc.lock and *.dvc", "config")
    if names:
        # unlike `git add`, content with files that are gone from tree and index alike
        git("update-index", "--add", "--remove", "--", *names)
        git("commit", "--quiet", "-m", message)
    return git("rev-parse", "HEAD").strip()


def git(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode:
        # `git commit` says on standard output that there is nothing to commit
        said = (done.stderr.strip() or done.stdout.strip() or f"ended with {done.returncode}").splitlines()[-1]
        raise Failed(f"git {arguments[0]}: {said}", "infrastructure")
    return done.stdout


def environment() -> dict[str, str]:
    """The environment for subprocesses: our interpreter's commands first on PATH, no analytics."""
    return {**os.environ, **SETTINGS, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def read_params(experiment: str) -> dict[str, Any]:
    return _yaml(f"params/{experiment}.yaml")


def check_params(experiment: str) -> None:
    """Validate the params file against the science's own types. Raises ConfigError.

    Those types live beside torch, so a file that passed is remembered with the code that passed it.
    """
    path = params_path(experiment)
    marker = ROOT / "state" / "latest" / f"params@{experiment}"
    content = file_sha256(path) + content_sha256(ROOT / "components") if path.exists() else ""
    if content and marker.exists() and marker.read_text() == content:
        return
    from components import atomic
    from components import experiment as params_file

    params_file.load(path)
    atomic.write_text(marker, content)
