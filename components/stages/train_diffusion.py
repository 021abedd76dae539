"""train_diffusion: stage 2, from the dark image alone, with the parameters that the sweep found best."""

import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from components import atomic
from components.config import Config, said
from components.learning import inference, losses
from components.learning.compute import device, prepare
from components.learning.decoder import Decoder
from components.learning.objective import Objective
from components.learning.training import Learner
from components.model.diffusion import DiffusionConfig
from components.model.lldif import LLDif, StageOne
from components.model.weights import fill
from components.records import DataError, Report
from components.stages import train_prior
from components.stages.training import Inference, Workplace, beside

STAGE_ONE = ("train_prior.", "model.")  # how the parameters begin that ask for a stage 1 of their own


class TrainDiffusion(Config):
    epochs: int = Field(ge=1)
    one_schedule: bool  # the learning rate goes on where stage 1's left it (train_prior.epochs_after)
    warm_start: bool  # the recogniser begins with stage 1's weights [L, D]
    frozen_encoder: bool  # E_I of the condition stays as stage 1 left it [L, D]; else it goes on learning
    loss: losses.StageTwoLoss


class Params(train_prior.Params):
    inference: Inference
    diffusion: DiffusionConfig
    train_diffusion: TrainDiffusion

    @model_validator(mode="after")
    def _sections_go_together(self) -> "Params":
        self.inference.check_beside(self.objective)
        first, second = self.train_prior, self.train_diffusion
        if second.one_schedule != (first.epochs_after > 0):
            # not exactly: whoever tries more epochs of stage 2 need not train stage 1 anew, and a trial is shorter
            needed = "1 or more; without a jump of the rate, the epochs of stage 2" if second.one_schedule else "0"
            schedule = f"train_diffusion.one_schedule {second.one_schedule}"
            raise ValueError(f"train_prior.epochs_after: with {schedule}, allowed is {needed}")
        prompts_learn = first.loss.contrastive_weight > 0 or first.loss.dark_text_weight > 0
        if (self.diffusion.voice or second.loss.contrastive_weight) and not prompts_learn:
            raise ValueError(
                "diffusion.voice and train_diffusion.loss.contrastive_weight: need prompts that stage 1 has learned: "
                "allowed with train_prior.loss.contrastive_weight or dark_text_weight above 0"
            )
        if self.diffusion.form == "mlp" and second.loss.denoising_weight:
            raise ValueError("train_diffusion.loss.denoising_weight: with diffusion.form mlp, allowed is 0")
        return self


def run(params: Params, raw: Path, folder: Path, state: Path) -> Iterator[Report]:
    """faces.parquet, dark_valid.parquet, prior.safetensors, best.json -> lldif.safetensors, lldif_history.json, and
    teacher.safetensors: the stage 1 that it learned from, which is another where best.json changes stage 1.
    """
    path = folder / "best.json"
    best = best_parameters(path)
    try:
        params = override(params, best)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    place = Workplace.open(folder, state)
    taught = with_own_prior(params, place) if is_of_stage_one(best) else place
    network = yield from train(params, taught)
    atomic.copy(taught.folder / "prior.safetensors", folder / "teacher.safetensors")
    notes = {"kind": "lldif", "model": network.config.model_dump(), "diffusion": params.diffusion.model_dump()}
    place.save("lldif", network, notes | place.answering(network, params.objective, params.inference))


def best_parameters(path: Path) -> dict[str, Any]:
    """What the sweep found. Raises DataError where it left nothing readable."""
    try:
        parameters: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8"))["parameters"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f'{path}: not what a sweep leaves ({error}); without one it is {{"parameters": {{}}}}'
        ) from None
    return parameters


def is_of_stage_one(choice: Iterable[str]) -> bool:
    """Whether one of these parameters, named by their dotted place, needs a stage 1 of its own."""
    return any(name.startswith(STAGE_ONE) for name in choice)


def with_own_prior(params: Params, place: Workplace) -> Workplace:
    """The workplace with a stage 1 trained under `params`, beside the checkpoint of stage 2.

    Its reports go unheard: the epochs that are counted, here and in a sweep, are those of stage 2.
    """
    folder = place.checkpoint.parent / "prior"
    weights = folder / "prior.safetensors"
    if not weights.exists():
        for _ in train_prior.train(params, replace(place, folder=folder, checkpoint=folder / "checkpoint.safetensors")):
            pass
        if place.keep is not None:
            place.keep(weights)
    return replace(place, folder=folder)


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
        Learner(
            beside(network, decoder),
            loss=lambda batch, progress: losses.stage_two(
                network, teacher, batch, progress, config, objective, decoder
            ),
            answer=lambda images, labels: network(images),
        ),
        course=params.course(
            "train_diffusion",
            params.train_diffusion.epochs,
            epochs_before=params.train_prior.epochs if params.train_diffusion.one_schedule else 0,
            seen_before=params.train_prior.epochs,
        ),
        objective=params.objective,
    )
    return network


def override(params: Params, choice: Mapping[str, Any]) -> Params:
    """`params` with some parameters, named by their dotted place, replaced.

    Raises ValueError, one line: the place, and what is allowed there.
    """
    content = params.model_dump(mode="json", include=set(Params.model_fields))
    for name, value in choice.items():
        section: Any = content
        *parents, last = name.split(".")
        for depth, part in enumerate([*parents, last]):
            if not isinstance(section, dict) or part not in section:
                known = ", ".join(section) if isinstance(section, dict) else "nothing"
                where = ".".join(parents[:depth]) or "the params"
                raise ValueError(f"{name}: no such parameter: in {where} there is {known}")
            if depth < len(parents):
                section = section[part]
        section[last] = value
    try:
        return Params.model_validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])  # none, where sections do not go together
        raise ValueError(f"{place}: {said(first)}".removeprefix(": ")) from None
