"""Values that cross borders: between floors, between processes, between the science and its operations."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CLEAN = 1.0  # the exposure that is the image itself


class DataError(ValueError):
    """The data cannot be used; the message is one line: what, where, what is allowed."""


@dataclass(frozen=True)
class Face:
    """One face as a source gives it, before it is a row of the face table."""

    pixels: Any  # numpy (H, W) or (H, W, 3), uint8, sRGB
    label: int  # index into the table's classes
    votes: tuple[float, ...]  # the share of people who named each class, where they were asked; else one-hot
    split: str  # "train", "valid" or "test"
    subject: str  # empty where the person is not known
    name: str  # where the source keeps it
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reject:
    """A face that a source holds but cannot give."""

    name: str  # where the source keeps it; what cannot be printed is escaped
    split: str  # "train", "valid" or "test"
    reason: str  # one line


@dataclass(frozen=True)
class Report:
    """One step of long work: where it stands and what was measured."""

    stage: str
    step: int  # 1 .. total
    total: int
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Artifact:
    """A file that a stage made. The path is relative to the project."""

    path: str
    sha256: str
    size_bytes: int

    @classmethod
    def of(cls, path: Path, name: str) -> "Artifact":
        return cls(name, file_sha256(path), path.stat().st_size)


@dataclass(frozen=True)
class Score:
    """How well one model does at one exposure. What the figures mean stands in components.learning.metrics."""

    exposure: str  # "clean" or the number, as in the ladder; or "gamma", the other darkness
    faces: int
    accuracy: float
    mean_class_accuracy: float
    macro_f1: float
    nll: float  # against the votes, as is votes_brier
    brier: float
    votes_brier: float
    calibration_error: float
    accuracy_at_80: float
    aurc: float


def first_line(error: Exception) -> str:
    """Of what a library says of its error, which may be many lines, or none."""
    return (str(error) or type(error).__name__).splitlines()[0][:120]


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
