"""What the three training stages share: their sections, what they read, what they leave."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from components import atomic
from components.config import Config
from components.data.table import DarkFaces, Faces, read_dark, read_split
from components.learning import checkpoint, inference
from components.learning.batches import Batches
from components.learning.calibration import fit_temperature
from components.learning.compute import Compute
from components.learning.optim import OptimConfig
from components.learning.training import Answer, Course, Loss, fit
from components.lowlight.camera import Camera
from components.model.lldif import FacesConfig, ModelConfig
from components.records import Report

WATCHED = 0.05  # the exposure whose accuracy on valid is followed from epoch to epoch


class TrainingParams(Config):
    compute: Compute
    camera: Camera
    batches: Batches
    optim: OptimConfig
    model: ModelConfig

    def course(self, stage: str, epochs: int) -> Course:
        return Course(stage, epochs, self.compute, self.batches, self.camera, self.optim)


@dataclass(frozen=True)
class Workplace:
    """The faces a training sees, and where its checkpoint and results go."""

    folder: Path
    checkpoint: Path
    train: Faces
    watch: DarkFaces  # valid, at the rung nearest to WATCHED
    faces: FacesConfig

    @classmethod
    def open(cls, folder: Path, state: Path) -> "Workplace":
        train = read_split(folder / "faces.parquet", "train")
        valid = read_dark(folder / "dark_valid.parquet")
        rungs = np.unique(valid.exposures)
        watch = valid.at(rungs[np.argmin(abs(rungs - WATCHED))])
        height, width, channels = train.images.shape[1:]
        faces = FacesConfig(classes=train.classes, shape=(height, width, channels))
        return cls(folder, state / "checkpoint.safetensors", train, watch, faces)

    def fit(self, network: nn.Module, loss: Loss, answer: Answer, course: Course) -> Iterator[Report]:
        return fit(network, loss, answer, self.train, self.watch, course, self.checkpoint)

    def temperature(self, network: nn.Module) -> float:
        """Fitted on valid, over all exposures together."""
        valid = read_dark(self.folder / "dark_valid.parquet")
        return fit_temperature(inference.logits(network.eval(), valid.images), valid.labels)

    def save(self, name: str, network: nn.Module, notes: dict[str, Any]) -> None:
        """The weights, and the history of the training: figures only, no times."""
        history = checkpoint.read(self.checkpoint)[1]["history"]
        rows = [{"epoch": epoch, **metrics} for epoch, metrics in enumerate(history, start=1)]
        atomic.write_text(self.folder / f"{name}_history.json", json.dumps(rows, indent=1, sort_keys=True) + "\n")
        inference.save(self.folder / f"{name}.safetensors", network, notes | {"faces": self.faces.model_dump()})
