"""sweep: which parameters of stage 2 do best on valid.

Here is the space and what a trial is; the engine that searches is flows/sweep.py's.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from components.config import Config
from components.records import Report
from components.stages import train_diffusion
from components.stages.train_diffusion import override
from components.stages.training import Workplace


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


class Sweep(Config):
    """The search: how many trials, how long each, by what rule, over which parameters."""

    trials: int = Field(ge=0)  # 0: none, the params file stands as it is
    epochs: int = Field(ge=1)  # of a trial, in place of train_diffusion.epochs
    seed: int = Field(ge=0, lt=2**32)
    searcher: Literal["random", "tpe"]
    scheduler: Literal["none", "asha"]
    cpus_per_trial: int = Field(ge=1)
    gpus_per_trial: float = Field(ge=0)
    space: dict[str, Domain]  # dotted place of the parameter -> its values


class Params(train_diffusion.Params):
    sweep: Sweep

    @model_validator(mode="after")
    def _space_is_of_this_model(self) -> "Params":
        """The ends of every domain are values that stage 2 would take."""
        for name, domain in self.sweep.space.items():
            for value in domain.ends:
                try:
                    override(self, {name: value})
                except ValidationError as error:
                    raise ValueError(f"sweep.space: {name} = {value}: {error.errors()[0]['msg']}") from None
                except ValueError as error:
                    raise ValueError(f"sweep.space: {error}") from None
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


def trial(params: Params, choice: Mapping[str, Any], folder: Path, state: Path) -> Iterator[Report]:
    """Stage 2 under one choice of parameters; goes on from its checkpoint in `state` and leaves no model."""
    short = {"train_diffusion.epochs": params.sweep.epochs, "compute.threads": params.sweep.cpus_per_trial}
    yield from train_diffusion.train(override(params, {**choice, **short}), Workplace.open(folder, state))
