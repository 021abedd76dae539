"""Data made once, and what one run is: a method and a seed on it.

Under the root folder, data/<digest>/ holds the tables of the faces, runs/<digest>/ whatever a run needs to go on
after a kill, with a folder for each split that it was judged on, and plans/ what a budget paid for. The digests know
params, method, seed and the sizes of the preset, but no other code: who changes that removes runs/.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.comparison.methods import Method, chosen, overridden
from components import experiment
from components.config import parse
from components.learning.compute import meant
from components.model.presets import PRESETS
from components.records import file_sha256

SPLITS = ("valid", "test")


@dataclass(frozen=True)
class Arena:
    """What all runs of a comparison share."""

    experiment: str
    content: Mapping[str, Any]  # of the params file
    split: str  # the one of SPLITS that is judged
    data: Path
    root: Path

    @property
    def sizes(self) -> dict[str, Any]:
        """Of the recogniser: what the preset's name stands for."""
        return asdict(PRESETS[self.content["model"]["llformer"]["preset"]])

    @property
    def precision(self) -> str:
        """What is done here: digests and lines know no "auto"."""
        return meant(self.content["compute"]["precision"])

    def job(
        self,
        method: Method,
        seed: int,
        epochs: int,
        tuned: Mapping[str, Any] | None = None,
        trial: int | None = None,
        trials: int = 0,
    ) -> "Job":
        """Raises ConfigError where the method changes what the experiment does not have."""
        changes = {**(tuned or {}), **method.overrides}
        own = {"compute.seed": seed, "compute.precision": self.precision}
        content = method.applied(overridden(self.content, {**(tuned or {}), **own}), epochs)
        parse(experiment.Experiment, content, Path(f"{self.experiment} as {method.name}"))
        lender = self.job(chosen(method.asks)[0], seed, epochs, tuned, trial, trials) if method.asks else None
        return Job(self, method, content, changes, seed, epochs, trial, trials, lender)


@dataclass(frozen=True)
class Job:
    """One run: everything that a process needs to do it."""

    arena: Arena
    method: Method
    content: dict[str, Any]  # of the params file, with every change made
    changes: dict[str, Any]  # by the method and its tuning, by dotted place
    seed: int
    epochs: int  # over train, of all stages together
    trial: int | None  # its number, where it is one of a tuning
    trials: int  # how many chose its settings
    lender: "Job | None" = None  # whose trained weights it asks

    @property
    def digest(self) -> str:
        """Of all that its weights depend on: whichever split is judged, they are trained once."""
        sections = sorted({name for stage in self.method.stages for name in experiment.sections(stage)})
        known = {name: self.content[name] for name in sections}
        return digest([self.method.name, self.arena.data.name, self.trial, known, self.arena.sizes])

    @property
    def folder(self) -> Path:
        return run_folder(self.arena.root, self.digest)

    @property
    def judgement(self) -> Path:
        return self.folder / self.arena.split

    @property
    def title(self) -> str:
        return f"{self.method.name} seed {self.seed}" + ("" if self.trial is None else f" trial {self.trial}")


def run_folder(root: Path, of: str) -> Path:
    """Of the run whose digest that is."""
    return root / "runs" / of


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def prepare(name: str, content: Mapping[str, Any], raw: Path | None, root: Path) -> Path:
    """The folder with faces.parquet, dark_valid.parquet and dark_test.parquet, made where it is not there yet. Raises
    ConfigError.
    """
    params = parse(experiment.Experiment, content, Path(name))
    sections = {key: content[key] for key in ("ingest", "camera", "darken")}
    folder = root / "data" / digest([sections, _identity(raw)])
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for stage in ("ingest", "darken"):
            say(f"{stage} ...")
            for _ in experiment.STAGES[stage].run(experiment.given(params, stage), raw or Path(), folder, folder):
                pass
        (folder / "done").touch()
    return folder


def _identity(raw: Path | None) -> object:
    """The bytes of an archive; of a folder, its files' names and bytes; nothing where the faces are drawn."""
    if raw is None:
        return None
    if raw.is_file():
        return file_sha256(raw)
    return [[str(path.relative_to(raw)), file_sha256(path)] for path in sorted(raw.rglob("*")) if path.is_file()]


def say(line: str) -> None:
    """Where the comparison stands; its results alone go to standard output."""
    print(line, file=sys.stderr, flush=True)
