"""A model's file, and its answers. All that a registered model needs of this folder."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.learning import checkpoint
from components.learning.calibration import Calibration
from components.model.baselines import PEERS
from components.model.diffusion import DiffusionConfig
from components.model.lldif import FacesConfig, LLDif, ModelConfig, StageOne
from components.records import DataError, first_line

BATCH = 256


def save(path: Path, network: nn.Module, notes: dict[str, Any]) -> None:
    """Weights with all that is needed to build the network again."""
    checkpoint.write(path, network.state_dict(), notes)


@dataclass(frozen=True)
class Model:
    """A network ready to answer, what it was built for, and what makes probabilities of its logits."""

    network: nn.Module
    faces: FacesConfig
    calibration: Calibration
    flip_average: bool  # the answer is the mean for the face and its mirror image


def load(path: Path) -> Model:
    """The model of a file, on the CPU. Raises DataError where the file is damaged."""
    tensors, notes = checkpoint.read(path)
    try:
        network = build(notes)
        network.load_state_dict(tensors)
    except (KeyError, ValueError, RuntimeError) as error:
        raise DataError(f"{path}: not a model of this version ({first_line(error)}); train it again") from None
    faces = FacesConfig.model_validate(notes["faces"], strict=False)
    # stage 1 answers nobody: it has none of these
    offsets = tuple(float(offset) for offset in notes.get("offsets", [0.0] * len(faces.classes)))
    calibration = Calibration(float(notes.get("temperature", 1.0)), offsets)
    return Model(network.eval(), faces, calibration, bool(notes.get("flip_average", False)))


def build(notes: dict[str, Any]) -> nn.Module:
    """An untrained network from the notes of its file."""
    faces = FacesConfig.model_validate(notes["faces"], strict=False)
    model = ModelConfig.model_validate(notes["model"])
    if notes["kind"] == "stage_one":
        return StageOne(model, faces)
    if notes["kind"] in PEERS:
        return PEERS[notes["kind"]](model, faces)
    return LLDif(model, DiffusionConfig.model_validate(notes["diffusion"]), faces)


def predict(model: Model, images: np.ndarray) -> np.ndarray:
    """Images (N, H, W, C) uint8 to calibrated probabilities (N, K) float32."""
    answers = torch.from_numpy(logits(model.network, images, model.flip_average))
    return model.calibration.probabilities(answers).numpy()


@torch.no_grad()
def logits(network: nn.Module, images: np.ndarray, flip_average: bool = False) -> np.ndarray:
    """Images (N, H, W, C) uint8 to logits (N, K) float32, wherever the network is.

    With `flip_average` they are the logarithm of the mean probability of each face and its mirror image.
    """
    place = next(network.parameters()).device
    answers: list[Tensor] = []
    for part in torch.from_numpy(images).permute(0, 3, 1, 2).split(BATCH):
        shown = part.contiguous().to(place)
        answer = network(shown).float()
        if flip_average:
            both = torch.stack([answer, network(shown.flip(3)).float()]).log_softmax(dim=2)
            answer = both.logsumexp(dim=0) - math.log(2)
        answers.append(answer.cpu())
    return torch.cat(answers).numpy()
