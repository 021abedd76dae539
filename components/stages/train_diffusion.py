"""train_diffusion: stage 2, from the dark image alone, with the parameters that the sweep found best."""

import json
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from components.config import Config
from components.learning import inference, losses
from components.learning.compute import device, prepare
from components.learning.decoder import Decoder
from components.learning.objective import Objective
from components.model.diffusion import DiffusionConfig
from components.model.lldif import LLDif, StageOne
from components.model.weights import fill
from components.records import DataError, Report
from components.stages.training import Inference, TrainingParams, Workplace, beside


class TrainDiffusion(Config):
    epochs: int = Field(ge=1)
    epochs_before: int = Field(ge=0)  # of stage 1, where one schedule of the learning rate spans both; 0: its own
    warm_start: bool  # the recogniser begins with stage 1's weights [L, D]
    frozen_encoder: bool  # E_I of the condition stays as stage 1 left it [L, D]; else it goes on learning
    loss: losses.StageTwoLoss


class Params(TrainingParams):
    inference: Inference
    diffusion: DiffusionConfig
    train_diffusion: TrainDiffusion


def run(params: Params, raw: Path, folder: Path, state: Path) -> Iterator[Report]:
    """faces.parquet, dark_valid.parquet, prior.safetensors, best.json -> lldif.safetensors, lldif_history.json."""
    params = override(params, best_parameters(folder / "best.json"))
    place = Workplace.open(folder, state)
    network = yield from train(params, place)
    notes = {"kind": "lldif", "model": network.config.model_dump(), "diffusion": params.diffusion.model_dump()}
    place.save("lldif", network, notes | place.answering(network, params.inference))


def best_parameters(path: Path) -> dict[str, Any]:
    """What the sweep found. Raises DataError where it left nothing readable."""
    try:
        parameters: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["parameters"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f'{path}: not what a sweep leaves ({error}); without one it is {{"parameters": {{}}}}'
        ) from None
    return parameters


def train(params: Params, place: Workplace) -> Generator[Report, None, LLDif]:
    """Stage 2 from stage 1's weights; returns the network."""
    prepare(params.compute)
    stage_one = inference.load(place.folder / "prior.safetensors").network
    assert isinstance(stage_one, StageOne)
    model = params.model.model_copy(update={"prior": stage_one.config.prior})  # as its file describes it
    network = LLDif(model, params.diffusion, place.faces)
    fill(network, params.model.weights)
    network.start_from(stage_one, params.train_diffusion.warm_start, params.train_diffusion.frozen_encoder)
    teacher = stage_one.to(device()).requires_grad_(False).eval()
    objective, config = Objective.of(params.objective, place.train), params.train_diffusion.loss
    decoder = Decoder(network) if config.reconstruction_weight else None
    yield from place.fit(
        beside(network, decoder),
        loss=lambda batch, progress: losses.stage_two(network, teacher, batch, progress, config, objective, decoder),
        answer=lambda images, labels: network(images),
        course=params.course(
            "train_diffusion", params.train_diffusion.epochs, epochs_before=params.train_diffusion.epochs_before
        ),
        objective=params.objective,
    )
    return network


def override(params: Params, choice: Mapping[str, Any]) -> Params:
    """`params` with some parameters, named by their dotted place, replaced. Raises ValueError, naming the place."""
    content = params.model_dump(mode="json", include=set(Params.model_fields))
    for name, value in choice.items():
        section = content
        *parents, last = name.split(".")
        for part in parents:
            section = section.get(part) if isinstance(section, dict) else None  # type: ignore[assignment]
        if not isinstance(section, dict) or last not in section:
            raise ValueError(f"{name}: no such parameter of stage 2: there is {', '.join(_names(content))}")
        section[last] = value
    return Params.model_validate_json(json.dumps(content))


def _names(content: dict[str, Any], prefix: str = "") -> list[str]:
    return [
        name
        for key, value in content.items()
        for name in (_names(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"])
    ]
