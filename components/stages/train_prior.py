"""train_prior: stage 1, the prior and the recogniser it guides."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from components.config import Config
from components.learning import losses
from components.learning.compute import prepare
from components.model.lldif import StageOne
from components.records import Report
from components.stages.training import TrainingParams, Workplace


class TrainPrior(Config):
    epochs: int = Field(ge=1)
    loss: losses.StageOneLoss


class Params(TrainingParams):
    train_prior: TrainPrior


def run(params: Params, raw: Path, folder: Path, state: Path) -> Iterator[Report]:
    """faces.parquet, dark_valid.parquet -> prior.safetensors, prior_history.json."""
    place = Workplace.open(folder, state)
    prepare(params.compute)
    network = StageOne(params.model, place.faces)
    yield from place.fit(
        network,
        loss=lambda batch: losses.stage_one(network, batch, params.train_prior.loss),
        answer=lambda images, labels: network(images, labels)[0],
        course=params.course("train_prior", params.train_prior.epochs),
    )
    place.save("prior", network, {"kind": "stage_one", "model": params.model.model_dump()})
