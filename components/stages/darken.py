"""darken: valid and test, photographed at every rung of the ladder of exposures; valid in another darkness too."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, field_validator

from components.config import Config
from components.data.table import Faces, read_split
from components.lowlight import gamma
from components.lowlight.camera import Camera, photograph
from components.lowlight.noise import keys_of
from components.lowlight.table import write_dark
from components.records import CLEAN, Report

LADDER_DRAW = 0  # training epochs draw with a word of their own in the key
NO_EXPOSURE = math.nan  # equal to no rung of any ladder: what selects by exposure never meets the other darkness


Exposure = Annotated[float, Field(gt=0, le=1)]


class Ladder(Config):
    exposures: tuple[Exposure, ...] = Field(min_length=1)  # 1 is the clean image

    @field_validator("exposures")
    @classmethod
    def _each_once(cls, exposures: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(exposures)) < len(exposures):
            raise ValueError("each exposure once")
        return exposures

    @field_validator("exposures")
    @classmethod
    def _with_the_clean_image(cls, exposures: tuple[float, ...]) -> tuple[float, ...]:
        if CLEAN not in exposures:
            raise ValueError(f"allowed is a ladder with {CLEAN}, the clean image, beside which the others are shown")
        return exposures


class Params(Config):
    camera: Camera
    darken: Ladder


def run(params: Params, raw: Path, folder: Path, state: Path) -> Iterator[Report]:
    """faces.parquet -> dark_valid.parquet, dark_test.parquet, gamma_valid.parquet."""
    rungs = params.darken.exposures
    total, step = 2 * len(rungs) + 1, 0
    for split in ("valid", "test"):
        faces = read_split(folder / "faces.parquet", split)
        done: list[tuple[Faces, float, np.ndarray]] = []
        for exposure in rungs:
            done.append((faces, exposure, darken(faces, exposure, params.camera)))
            step += 1
            yield Report("darken", step, total, {"exposure": exposure, "faces": len(faces.ids)})
        write_dark(folder / f"dark_{split}.parquet", done, faces.classes)
    # a table of its own, so that no training can read it
    faces = read_split(folder / "faces.parquet", "valid")
    write_dark(folder / "gamma_valid.parquet", [(faces, NO_EXPOSURE, darken_by_gamma(faces))], faces.classes)
    yield Report("darken", total, total, {"faces": len(faces.ids)})


def darken(faces: Faces, exposure: float, camera: Camera) -> np.ndarray:
    """(N, H, W, C) uint8 at one exposure; CLEAN gives the images themselves."""
    if exposure == CLEAN:
        return faces.images
    keys = keys_of(faces.ids, [exposure] * len(faces.ids), LADDER_DRAW)
    images = torch.from_numpy(faces.images).permute(0, 3, 1, 2)
    dark = photograph(images, keys, torch.full((len(images),), exposure), camera)
    return dark.permute(0, 2, 3, 1).contiguous().numpy()


def darken_by_gamma(faces: Faces) -> np.ndarray:
    """(N, H, W, C) uint8 in the darkness that no training sees."""
    keys = keys_of(faces.ids, [0.0] * len(faces.ids), LADDER_DRAW)
    images = torch.from_numpy(faces.images).permute(0, 3, 1, 2)
    return gamma.darken(images, keys).permute(0, 2, 3, 1).contiguous().numpy()
