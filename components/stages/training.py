"""What the three training stages share: their sections, what they read, what they leave."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field
from torch import nn

from components import atomic
from components.config import Config
from components.data.table import Faces, read_split
from components.learning import inference
from components.learning.batches import Batches
from components.learning.calibration import adjusted, fit_temperature
from components.learning.compute import Compute
from components.learning.objective import ObjectiveConfig, log_shares, targets_of
from components.learning.optim import OptimConfig
from components.learning.training import Course, Learner, epoch_history, fit
from components.lowlight.camera import Camera
from components.lowlight.table import DarkFaces, read_dark
from components.model.lldif import FacesConfig, ModelConfig
from components.records import Report

WATCHED = 0.05  # the exposure whose accuracy on valid is followed from epoch to epoch


class Inference(Config):
    """How a trained model answers."""

    flip_average: bool  # the mean for a face and its mirror image, at twice the cost
    adjustment: float = Field(ge=0, le=1)  # how far rare classes are answered as if all were equally common; 1 is full

    def check_beside(self, objective: ObjectiveConfig) -> None:
        """Raises ValueError where rare classes would gain twice, in the loss and in the answer."""
        if self.adjustment and objective.balance != "none":
            raise ValueError(f"inference.adjustment: with objective.balance {objective.balance}, allowed is 0")


class TrainingParams(Config):
    compute: Compute
    camera: Camera
    batches: Batches
    optim: OptimConfig
    objective: ObjectiveConfig
    model: ModelConfig

    def course(self, stage: str, epochs: int, **more: Any) -> Course:
        return Course(stage, epochs, self.compute, self.batches, self.camera, self.optim, **more)


def beside(network: nn.Module, helper: nn.Module | None) -> nn.Module:
    """What is trained: the network, and whatever learns with it and is no part of the model that is saved."""
    return network if helper is None else nn.ModuleList([network, helper])


@dataclass(frozen=True)
class Workplace:
    """The faces a training sees, and where its checkpoint and results go."""

    folder: Path
    checkpoint: Path
    train: Faces
    valid: DarkFaces  # at every rung of the ladder
    faces: FacesConfig
    keep: Callable[[Path], None] | None = None  # given each checkpoint as soon as it stands

    @classmethod
    def open(cls, folder: Path, state: Path) -> "Workplace":
        train = read_split(folder / "faces.parquet", "train")
        return cls.of(train, read_dark(folder / "dark_valid.parquet"), folder, state)

    @classmethod
    def of(
        cls, train: Faces, valid: DarkFaces, folder: Path, state: Path, keep: Callable[[Path], None] | None = None
    ) -> "Workplace":
        """Where the faces have been read already."""
        height, width, channels = train.images.shape[1:]
        faces = FacesConfig(classes=train.classes, shape=(height, width, channels))
        return cls(folder, state / "checkpoint.safetensors", train, valid, faces, keep)

    def fit(
        self,
        learner: Learner,
        course: Course,
        objective: ObjectiveConfig,
        watched: float = WATCHED,
    ) -> Iterator[Report]:
        """Train; accuracy is followed on valid, at the rung nearest to the exposure `watched`."""
        targets, watch = targets_of(self.train, objective), self.valid.at(self.valid.rung(watched))
        return fit(learner, self.train, targets, watch, course, self.checkpoint, self.keep)

    def answering(self, network: nn.Module, objective: ObjectiveConfig, inference_config: Inference) -> dict[str, Any]:
        """What belongs to an answer beside the weights: the temperature is fitted on valid, over all exposures."""
        flips = inference_config.flip_average
        logits = inference.logits(network.eval(), self.valid.images, flips)
        return {
            # to labels, not votes: a confidence is the chance of the majority's word
            "temperature": fit_temperature(logits, np.eye(len(self.faces.classes))[self.valid.labels]),
            "offsets": adjusted(log_shares(self.train, objective), inference_config.adjustment),
            "flip_average": flips,
        }

    def save(self, name: str, network: nn.Module, notes: dict[str, Any], earlier: Sequence[Path] = ()) -> None:
        """The weights, and the history of the training: figures only, no times.

        `earlier` are the checkpoints of trainings that came before, whose epochs the history begins with.
        """
        history = [metrics for path in (*earlier, self.checkpoint) for metrics in epoch_history(path)]
        rows = [{"epoch": epoch, **metrics} for epoch, metrics in enumerate(history, start=1)]
        atomic.write_text(self.folder / f"{name}_history.json", json.dumps(rows, indent=1, sort_keys=True) + "\n")
        inference.save(self.folder / f"{name}.safetensors", network, notes | {"faces": self.faces.model_dump()})
