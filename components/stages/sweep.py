"""sweep: which parameters of stage 2, and of stage 1 where asked, do best on valid.

Here is the space and what a trial is; the engine that searches is flows/sweep's.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from components.config import Config
from components.data.table import Faces, read_split
from components.lowlight.table import DarkFaces, read_dark
from components.records import CLEAN, Report
from components.stages import train_diffusion
from components.stages.train_diffusion import is_of_stage_one, override, with_own_prior
from components.stages.training import WATCHED, Workplace

METRIC = "valid_accuracy"  # what is searched for, as in the history of every training
ITS_OWN = ("train_diffusion.epochs", "compute.seed", "compute.threads")  # what the sweep itself sets in a trial


class Range(Config):
    """Numbers from low to high."""

    kind: Literal["uniform", "log_uniform"]
    low: float
    high: float

    @model_validator(mode="after")
    def _holds_numbers(self) -> "Range":
        if self.low >= self.high:
            raise ValueError("low must be below high")
        if self.kind == "log_uniform" and self.low <= 0:
            raise ValueError("low must be above 0")
        return self

    @property
    def ends(self) -> tuple[float, ...]:
        return self.low, self.high


class IntegerRange(Config):
    """Whole numbers from low to high, both included."""

    kind: Literal["integer"]
    low: int
    high: int

    @model_validator(mode="after")
    def _holds_numbers(self) -> "IntegerRange":
        if self.low >= self.high:
            raise ValueError("low must be below high")
        return self

    @property
    def ends(self) -> tuple[int, ...]:
        return self.low, self.high


class Choice(Config):
    """One of several values."""

    kind: Literal["choice"]
    values: tuple[bool | int | float | str, ...] = Field(min_length=1)

    @property
    def ends(self) -> tuple[bool | int | float | str, ...]:
        return self.values


Domain = Annotated[Range | IntegerRange | Choice, Field(discriminator="kind")]


class Confirm(Config):
    """How the winner is told from luck: the best trials and the defaults are trained anew, in full, with new seeds."""

    best: int = Field(ge=0)  # so many trials; 0: none, and the winner is the best of single trainings
    seeds: int = Field(ge=2)  # one training has no spread
    in_stage: bool  # in the pipeline's stage too; else by `lldif sweep` alone


class Sweep(Config):
    """The search: its budget, how long a trial is, by what rule, on what, over which parameters."""

    trials: int = Field(ge=0)  # the budget: so many trials (0: none in the stage, no limit to `lldif sweep`),
    epochs: int | None = Field(ge=1)  # so many epochs of all trials together
    minutes: float | None = Field(gt=0)  # and so many minutes; whichever is spent first
    epochs_per_trial: int = Field(ge=1)  # at most, in place of train_diffusion.epochs
    seed: int = Field(ge=0, lt=2**32)
    searcher: Literal["random", "tpe"]
    scheduler: Literal["none", "asha"]
    grace_epochs: int = Field(ge=1)  # ASHA stops no trial before
    reduction_factor: int = Field(ge=2)  # of so many trials that reach a rung, ASHA lets one go on
    retries: int = Field(ge=0)  # of a trial that died
    cpus_per_trial: int = Field(ge=1)
    gpus_per_trial: float = Field(ge=0)  # a share of one, or whole ones
    stage_one: bool  # the space holds parameters of stage 1: each trial trains one of its own
    confirm: Confirm
    space: dict[str, Domain]  # dotted place of the parameter -> its values

    @model_validator(mode="after")
    def _can_be_searched(self) -> "Sweep":
        if self.trials > 1 and not self.space:
            raise ValueError("space is empty: needed is at least one parameter, or trials: 0")
        if self.grace_epochs > self.epochs_per_trial:
            raise ValueError("grace_epochs must not exceed epochs_per_trial")
        if self.gpus_per_trial > 1 and self.gpus_per_trial % 1:
            raise ValueError("gpus_per_trial: allowed are a share of one GPU or whole GPUs")
        return self


class Params(train_diffusion.Params):
    sweep: Sweep

    @model_validator(mode="after")
    def _space_is_of_this_model(self) -> "Params":
        """The ends of every domain are values that the stages searched would take."""
        for name, domain in self.sweep.space.items():
            if name in ITS_OWN:
                raise ValueError(f"sweep.space: {name}: the sweep sets it itself")
            if is_of_stage_one([name]) and not self.sweep.stage_one:
                raise ValueError(f"sweep.space: {name}: a parameter of stage 1: allowed with sweep.stage_one: true")
            for value in domain.ends:
                try:
                    override(self, {name: value})
                except ValueError as error:
                    raise ValueError(f"sweep.space: {name} = {value}: {error}") from None
        return self


def defaults(params: Params) -> dict[str, Any]:
    """The values that the params file itself gives to the parameters of the space: every search begins with them."""
    content: Any = params.model_dump(mode="json")
    values = {}
    for name in params.sweep.space:
        value = content
        for part in name.split("."):
            value = value[part]
        values[name] = value
    return values


@dataclass(frozen=True)
class Material:
    """All that trials learn from, read once for all of them. There is no face of test in it."""

    train: Faces
    valid: DarkFaces  # at the rungs that trainings watch
    prior: bytes  # prior.safetensors, as stage 1 left it

    @classmethod
    def read(cls, folder: Path) -> "Material":
        """From faces.parquet, dark_valid.parquet and prior.safetensors. Raises DataError."""
        valid = read_dark(folder / "dark_valid.parquet")
        watched = [valid.rung(exposure) for exposure in (WATCHED, CLEAN)]
        return cls(
            read_split(folder / "faces.parquet", "train"),
            valid.where(np.isin(valid.exposures, watched)),
            (folder / "prior.safetensors").read_bytes(),
        )

    @property
    def size_bytes(self) -> int:
        return self.train.images.nbytes + self.valid.images.nbytes + len(self.prior)


@dataclass(frozen=True)
class Job:
    """One training that a sweep wants: a trial, or a trial's confirmation with another seed."""

    name: str  # of its folder
    trial: int
    parameters: Mapping[str, Any]  # by dotted place
    seed: int
    epochs: int


def train(params: Params, job: Job, material: Material, state: Path, keep: Callable[[Path], None]) -> Iterator[Report]:
    """Stage 2 as a job wants it; goes on from its checkpoint in `state` and leaves no model.

    `keep` is given every file that a resume needs, as soon as it stands.
    """
    own = dict(zip(ITS_OWN, (job.epochs, job.seed, params.sweep.cpus_per_trial), strict=True))
    if params.sweep.stage_one and params.train_prior.epochs_after:
        own["train_prior.epochs_after"] = job.epochs  # one schedule spans both stages, as long as they are
    changed = override(params, {**job.parameters, **own})
    (state / "prior.safetensors").write_bytes(material.prior)
    place = Workplace.of(material.train, material.valid, state, state, keep)
    yield from train_diffusion.train(changed, with_own_prior(changed, place) if params.sweep.stage_one else place)
