"""The params file of an experiment: complete, strict, the union of what the stages are given."""

from pathlib import Path
from types import ModuleType

from components.config import Config, parse, read_yaml
from components.stages import (
    darken,
    evaluate,
    ingest,
    sweep,
    train_baseline,
    train_diffusion,
    train_prior,
    validate,
)

STAGES: dict[str, ModuleType] = {
    "ingest": ingest,
    "validate": validate,
    "darken": darken,
    "train_prior": train_prior,
    "sweep": sweep,
    "train_diffusion": train_diffusion,
    "train_baseline": train_baseline,
    "evaluate": evaluate,
}
# run by an engine that the science does not know: what they are given is declared here all the same
NEED_AN_ENGINE = ("validate", "sweep")


class Experiment(
    validate.Params,
    darken.Params,
    sweep.Params,
    train_diffusion.Params,
    train_prior.Params,
    train_baseline.Params,
    evaluate.Params,
):
    """Every section of a params file, each declared by the stages that use it."""


def load(path: Path) -> Experiment:
    """The experiment of a params file. Raises ConfigError."""
    return parse(Experiment, read_yaml(path), path)


def sections(stage: str) -> list[str]:
    """The sections of the params file that a stage is given."""
    return list(STAGES[stage].Params.model_fields)


def given(experiment: Experiment, stage: str) -> Config:
    """A stage's own sections, and nothing else."""
    return STAGES[stage].Params(**{name: getattr(experiment, name) for name in sections(stage)})
