"""Importers: each reads one kind of raw data as a stream of faces and rejects, ordered test, valid, train."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from components.config import Config
from components.data import ferplus, folder, kdef, parquet, rafdb
from components.data.collected import Collected, one_hot
from components.data.faces import EMOTIONS, render_faces
from components.data.ferplus import FerPlus
from components.data.folder import Folder
from components.data.kdef import Kdef
from components.data.parquet import Parquet
from components.data.rafdb import RafDb
from components.data.table import SPLITS
from components.records import Face, Reject


class Embedded(Config):
    """Faces drawn by the built-in renderer: subjects never cross splits."""

    source: Literal["embedded"]
    seed: int = Field(ge=0, lt=2**32)
    train: int = Field(ge=1)
    valid: int = Field(ge=1)
    test: int = Field(ge=1)


Source = Annotated[Embedded | FerPlus | Folder | Parquet | RafDb | Kdef, Field(discriminator="source")]


def read(config: Source, raw: Path) -> Iterator[Face | Reject]:
    """Faces of `raw`, split by split. Raises DataError, one line, where the data is not in its official form."""
    match config:
        case Embedded():
            return _embedded(config)
        case FerPlus():
            return ferplus.read(config, raw)
        case Folder():
            return folder.read(config, raw)
        case Parquet():
            return parquet.read(config, raw)
        case RafDb():
            return rafdb.read(config, raw)
        case Kdef():
            return kdef.read(config, raw)


def expected_faces(config: Source, raw: Path) -> int:
    """An upper bound for the progress bar, known without reading an image. Raises DataError as `read` does."""
    match config:
        case Embedded():
            return config.train + config.valid + config.test
        case FerPlus():
            return ferplus.count(config, raw)
        case Folder():
            return folder.count(config, raw)
        case Parquet():
            return parquet.count(config, raw)
        case RafDb():
            return rafdb.count(config, raw)
        case Kdef():
            return kdef.count(config, raw)


def classes(config: Source) -> tuple[str, ...]:
    match config:
        case FerPlus():
            return ferplus.CLASSES
        case Folder() | Parquet():
            return config.classes
        case Embedded() | RafDb() | Kdef():
            return EMOTIONS


def train_limit(config: Source) -> int | None:
    """How many faces of train are kept, None for all."""
    return config.train_limit or None if isinstance(config, FerPlus) else None


def max_reject_share(config: Source) -> float:
    """How much of what a source holds may be unusable."""
    return config.max_reject_share if isinstance(config, Collected) else 0.0


def _embedded(config: Embedded) -> Iterator[Face]:
    for split in SPLITS:
        for number, face in enumerate(render_faces(config.seed, split, getattr(config, split))):
            votes = one_hot(face.label, len(EMOTIONS))
            yield Face(face.pixels, face.label, votes, split, face.subject, f"{split}-{number:06d}", face.attributes)
