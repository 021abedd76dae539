"""Training batches: faces darkened on the fly, on the device, the same in every run of the same seed."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from components.config import Config
from components.data.table import Faces
from components.lowlight.camera import Camera, photograph
from components.lowlight.noise import keys_of, uniform
from components.records import CLEAN

FLIP, SHIFT, EXPOSURE, CLEAN_SHARE, DARKER = range(32, 37)  # streams of random numbers
DARKEST_VIEW = 0.25  # of the exposure of the view it is a darker one of


class Batches(Config):
    """How training faces are drawn and darkened."""

    size: int = Field(ge=3)  # so that no batch is of one face, which a batch norm over faces refuses
    exposure_low: float = Field(gt=0, le=1)
    exposure_high: float = Field(gt=0, le=1)
    clean_share: float = Field(ge=0, le=1)
    shift_pixels: int = Field(ge=0)
    flip: bool

    @model_validator(mode="after")
    def _low_is_below_high(self) -> "Batches":
        if self.exposure_low > self.exposure_high:
            raise ValueError("exposure_low must not exceed exposure_high")
        return self


@dataclass(frozen=True)
class Batch:
    images: Tensor  # (B, C, H, W) uint8, dark
    clean: Tensor  # (B, C, H, W) uint8: the same, mirrored and shifted alike, before they were darkened
    labels: Tensor  # (B,)
    targets: Tensor  # (B, K), rows sum to 1: what training aims at
    keys: Tensor  # (B,) int64, for whatever else is random about these faces
    darker: Tensor | None = None  # (B, C, H, W) uint8: a second photograph of `clean` in less light, where asked for


@dataclass(frozen=True)
class TrainingFaces:
    """Faces where they are trained on, moved there once."""

    ids: list[str]
    images: Tensor  # (N, H, W, C) uint8
    labels: Tensor  # (N,)
    targets: Tensor  # (N, K)


def on_device(faces: Faces, targets: np.ndarray, device: torch.device) -> TrainingFaces:
    """`targets` (N, K) are what the training aims at."""
    columns = (torch.from_numpy(column).to(device) for column in (faces.images, faces.labels, targets))
    return TrainingFaces(faces.ids, *columns)


def epoch_batches(
    faces: TrainingFaces, config: Batches, camera: Camera, seed: int, epoch: int, darker: bool = False
) -> Iterator[Batch]:
    """Every face once, in the epoch's order; a last batch below half the size is left out. Darkened on the device that
    the faces are on.
    """
    images, labels, aims = faces.images, faces.labels, faces.targets
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(_word(f"{seed}|{epoch}")))
    ids = [f"{seed}|{faces.ids[index]}" for index in order.tolist()]
    every_key = keys_of(ids, [0.0] * len(ids), epoch).to(images.device)
    for chosen, keys in zip(order.to(images.device).split(config.size), every_key.split(config.size), strict=True):
        if len(chosen) * 2 < min(config.size, len(labels)):
            break
        clean = augment(images[chosen].permute(0, 3, 1, 2), keys, config)
        light = exposures(keys, config)
        dark = photograph(clean, keys, light, camera)
        again = photograph(clean, ~keys, darker_than(light, keys), camera) if darker else None
        yield Batch(dark, clean, labels[chosen], aims[chosen], keys, again)


def darker_than(light: Tensor, keys: Tensor) -> Tensor:
    """(B,) exposures below `light` (B,), log-uniform down to DARKEST_VIEW of it."""
    return light * DARKEST_VIEW ** uniform(keys, DARKER, 1)[:, 0]


def batch_count(faces: int, config: Batches) -> int:
    whole, rest = divmod(faces, config.size)
    return whole + (2 * rest >= min(config.size, faces) if rest else 0)


def exposures(keys: Tensor, config: Batches) -> Tensor:
    """(B,) log-uniform between the bounds, CLEAN for `clean_share` of them."""
    low, high = math.log(config.exposure_low), math.log(config.exposure_high)
    dark = torch.exp(low + (high - low) * uniform(keys, EXPOSURE, 1)[:, 0])
    return torch.where(uniform(keys, CLEAN_SHARE, 1)[:, 0] < config.clean_share, CLEAN, dark)


def augment(images: Tensor, keys: Tensor, config: Batches) -> Tensor:
    """Mirror half of the faces and shift each by whole pixels, repeating the border."""
    if config.flip:
        flipped = uniform(keys, FLIP, 1)[:, 0] < 0.5
        images = torch.where(flipped[:, None, None, None], images.flip(3), images)
    reach = config.shift_pixels
    if reach:
        offsets = (uniform(keys, SHIFT, 2) * (2 * reach + 1)).long() - reach  # (B, 2)
        height, width = images.shape[-2:]
        rows = (torch.arange(height, device=images.device) + offsets[:, :1]).clamp(0, height - 1)
        columns = (torch.arange(width, device=images.device) + offsets[:, 1:]).clamp(0, width - 1)
        face = torch.arange(len(images), device=images.device)[:, None, None]
        images = images.permute(0, 2, 3, 1)[face, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return images.contiguous()


def _word(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1
