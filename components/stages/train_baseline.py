"""train_baseline: a peer of LLDif, by default its recogniser without a prior, on as many faces as both its stages."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import Field, model_validator

from components.config import Config
from components.learning.compute import prepare
from components.learning.objective import Objective
from components.learning.peers import Phase, phases
from components.learning.training import Learner, epoch_history, epochs_done
from components.model.baselines import MEMBERS, Peer
from components.model.weights import fill
from components.records import CLEAN, Report
from components.stages.training import WATCHED, Inference, TrainingParams, Workplace


class TrainBaseline(Config):
    peer: Peer
    epochs: int = Field(ge=1)  # of all its phases together

    @model_validator(mode="after")
    def _every_phase_has_an_epoch(self) -> "TrainBaseline":
        least = {"distilled": 2, "ensemble": MEMBERS}.get(self.peer, 1)
        if self.epochs < least:
            raise ValueError(f"epochs must be at least {least} for the peer {self.peer}")
        return self


class Params(TrainingParams):
    inference: Inference
    train_baseline: TrainBaseline

    @model_validator(mode="after")
    def _rare_classes_gain_once(self) -> "Params":
        self.inference.check_beside(self.objective)
        return self


def run(params: Params, raw: Path, folder: Path, state: Path) -> Iterator[Report]:
    """faces.parquet, dark_valid.parquet -> baseline.safetensors, baseline_history.json."""
    place = Workplace.open(folder, state)
    prepare(params.compute)
    wants, objective = params.train_baseline, Objective.of(params.objective, place.train)
    kept = epochs_done(place.checkpoint)  # whoever keeps reports has cut them to so many
    network, plan = phases(wants.peer, params.model, place.faces, wants.epochs, objective)
    places = [replace(place, checkpoint=state / f"checkpoint_{phase.name}.safetensors") for phase in plan[:-1]]
    done = 0
    for phase, own in zip(plan, [*places, place], strict=True):
        for report in _train(params, own, phase, done):
            step = done + report.step
            if step > kept:
                yield Report("train_baseline", step, wants.epochs, report.metrics)
        phase.network.requires_grad_(False).eval()
        done += phase.epochs
    judged = replace(place, valid=place.valid.at(place.valid.rung(CLEAN))) if plan[-1].clean else place
    notes = {"kind": wants.peer, "model": params.model.model_dump()}
    notes |= judged.answering(network, params.objective, params.inference)
    place.save("baseline", network, notes, [own.checkpoint for own in places])


def _train(params: Params, place: Workplace, phase: Phase, done: int) -> Iterator[Report]:
    """The reports of one phase, after `done` epochs of others: of the epochs that its checkpoint holds, then of those
    that are left.
    """
    for epoch, metrics in enumerate(epoch_history(place.checkpoint), start=1):
        yield Report("train_baseline", epoch, phase.epochs, metrics)
    fill(phase.network, params.model.weights)
    yield from place.fit(
        Learner(phase.network, phase.loss, answer=lambda images, labels: phase.network(images)),
        course=params.course("train_baseline", phase.epochs, seen_before=done),
        objective=params.objective,
        watched=CLEAN if phase.clean else WATCHED,
    )
