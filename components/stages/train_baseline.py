"""train_baseline: the same recogniser without a prior, for as many epochs as both stages together."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from components.config import Config
from components.learning import losses
from components.learning.compute import prepare
from components.learning.objective import Objective
from components.model.baselines import Plain
from components.records import Report
from components.stages.training import Inference, TrainingParams, Workplace


class TrainBaseline(Config):
    epochs: int = Field(ge=1)


class Params(TrainingParams):
    inference: Inference
    train_baseline: TrainBaseline


def run(params: Params, raw: Path, folder: Path, state: Path) -> Iterator[Report]:
    """faces.parquet, dark_valid.parquet -> baseline.safetensors, baseline_history.json."""
    place = Workplace.open(folder, state)
    prepare(params.compute)
    network = Plain(params.model, place.faces)
    objective = Objective.of(params.objective, place.train)
    yield from place.fit(
        network,
        loss=lambda batch, progress: losses.plain(network, batch, objective),
        answer=lambda images, labels: network(images),
        course=params.course("train_baseline", params.train_baseline.epochs),
        objective=params.objective,
    )
    notes = {"kind": "plain", "model": params.model.model_dump()}
    place.save("baseline", network, notes | place.answering(network, params.inference))
