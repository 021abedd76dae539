"""A model's file, and its answers. All that a registered model needs of this folder."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.learning import checkpoint
from components.model.baselines import Plain
from components.model.diffusion import DiffusionConfig
from components.model.lldif import FacesConfig, LLDif, ModelConfig, StageOne
from components.records import DataError

BATCH = 256


def save(path: Path, network: nn.Module, notes: dict[str, Any]) -> None:
    """Weights with all that is needed to build the network again."""
    checkpoint.write(path, network.state_dict(), notes)


def load(path: Path) -> tuple[nn.Module, FacesConfig]:
    """The network of a file, ready to answer, on the CPU. Raises DataError where the file is damaged."""
    tensors, notes = checkpoint.read(path)
    try:
        network = build(notes)
        network.load_state_dict(tensors)
    except (KeyError, ValueError, RuntimeError) as error:
        raise DataError(f"{path}: not a model of this version ({str(error).splitlines()[0]}); train it again") from None
    return network.eval(), FacesConfig.model_validate(notes["faces"], strict=False)


def build(notes: dict[str, Any]) -> nn.Module:
    """An untrained network from the notes of its file."""
    faces = FacesConfig.model_validate(notes["faces"], strict=False)
    model = ModelConfig.model_validate(notes["model"])
    if notes["kind"] == "stage_one":
        return StageOne(model, faces)
    if notes["kind"] == "plain":
        return Plain(model.llformer, model.prior.channels, faces)
    return LLDif(model, DiffusionConfig.model_validate(notes["diffusion"]), faces)


@torch.no_grad()
def predict(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """Images (N, H, W, C) uint8 to probabilities (N, K) float32."""
    answers: list[Tensor] = []
    for part in torch.from_numpy(images).permute(0, 3, 1, 2).split(BATCH):
        answers.append(network(part.contiguous()).float().softmax(dim=1))
    return torch.cat(answers).numpy()
