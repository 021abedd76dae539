"""validate: what a face table must be before anything is trained on it.

The limits are the science's; the engine that judges by them is flows/validation.py's.
"""

from typing import Annotated, Literal

from pydantic import Field

from components.config import Config
from components.data import sources

Level = Literal["error", "warning"]  # an error stops the pipeline, a warning is reported
Share = Annotated[float, Field(ge=0, le=1)]


class Limit(Config):
    level: Level


class PerSplit(Config):
    train: int = Field(ge=0)
    valid: int = Field(ge=0)
    test: int = Field(ge=0)


class AtLeastFaces(Limit):
    at_least: PerSplit


class Balance(Limit):
    smallest_over_largest: Share  # of the classes, by faces in train


class ImageSize(Limit):
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    channels: Literal[1, 3]


class Brightness(Limit):
    """Mean level of an image, 0 black and 1 white: at least `share` of the faces lie between the two."""

    low: Share
    high: Share
    share: Share


class Rejects(Limit):
    at_most: Share


class Validation(Config):
    split_faces: AtLeastFaces
    class_faces: AtLeastFaces  # of every class
    class_balance: Balance
    subjects_disjoint: Limit
    image_size: ImageSize
    brightness: Brightness
    rejects: Rejects


class Params(Config):
    ingest: sources.Source  # what classes there are
    validation: Validation
