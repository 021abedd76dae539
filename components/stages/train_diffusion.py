"""train_diffusion: stage 2, from the dark image alone."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from components.config import Config
from components.learning import inference, losses
from components.learning.compute import prepare
from components.model.diffusion import DiffusionConfig
from components.model.lldif import LLDif, StageOne
from components.records import Report
from components.stages.training import TrainingParams, Workplace


class TrainDiffusion(Config):
    epochs: int = Field(ge=1)
    loss: losses.StageTwoLoss


class Params(TrainingParams):
    diffusion: DiffusionConfig
    train_diffusion: TrainDiffusion


def run(params: Params, raw: Path, folder: Path, state: Path) -> Iterator[Report]:
    """faces.parquet, dark_valid.parquet, prior.safetensors -> lldif.safetensors, lldif_history.json."""
    place = Workplace.open(folder, state)
    prepare(params.compute)
    network = LLDif(params.model, params.diffusion, place.faces)
    stage_one, _ = inference.load(folder / "prior.safetensors")
    assert isinstance(stage_one, StageOne)
    network.start_from(stage_one)
    yield from place.fit(
        network,
        loss=lambda batch: losses.stage_two(network, batch, params.train_diffusion.loss),
        answer=lambda images, labels: network(images),
        course=params.course("train_diffusion", params.train_diffusion.epochs),
    )
    notes = {"kind": "lldif", "model": params.model.model_dump(), "diffusion": params.diffusion.model_dump()}
    place.save("lldif", network, notes)
