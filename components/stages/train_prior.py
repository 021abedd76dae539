"""train_prior: stage 1, the prior and the recogniser it guides."""

from collections.abc import Generator, Iterator
from pathlib import Path

from pydantic import Field

from components.config import Config
from components.learning import losses
from components.learning.compute import prepare
from components.learning.decoder import Decoder
from components.learning.objective import Objective
from components.learning.training import Learner
from components.model.lldif import StageOne
from components.model.weights import fill
from components.records import CLEAN, Report
from components.stages.training import WATCHED, TrainingParams, Workplace, beside


class TrainPrior(Config):
    epochs: int = Field(ge=1)
    epochs_after: int = Field(ge=0)  # of stage 2, where one schedule spans both (train_diffusion.one_schedule); else 0
    loss: losses.StageOneLoss


class Params(TrainingParams):
    train_prior: TrainPrior


def run(params: Params, raw: Path, folder: Path, state: Path) -> Iterator[Report]:
    """faces.parquet, dark_valid.parquet -> prior.safetensors, prior_history.json."""
    yield from train(params, Workplace.open(folder, state))


def train(params: Params, place: Workplace) -> Generator[Report, None, None]:
    """Stage 1; leaves its weights and history in the folder of its workplace."""
    prepare(params.compute)
    network = StageOne(params.model, place.faces)
    fill(network, params.model.weights)
    objective = Objective.of(params.objective, place.train)
    config = params.train_prior.loss
    decoder = Decoder(network) if config.reconstruction_weight else None
    knows_clean = config.clean_share > 0 or params.model.prior.sees == "clean"
    yield from place.fit(
        Learner(
            beside(network, decoder),
            loss=lambda batch, progress: losses.stage_one(network, batch, config, objective, decoder),
            answer=lambda images, labels: network(images, labels),
        ),
        course=params.course(
            "train_prior",
            params.train_prior.epochs,
            darker_views=config.darker_weight > 0,
            epochs_after=params.train_prior.epochs_after,
        ),
        objective=params.objective,
        watched=CLEAN if knows_clean else WATCHED,
    )
    place.save("prior", network, {"kind": "stage_one", "model": network.config.model_dump()})
