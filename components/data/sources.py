"""Importers: each reads one kind of raw data as a stream of faces, ordered test, valid, train."""

import csv
import hashlib
import io
import itertools
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import UnidentifiedImageError
from pydantic import Field

from components.config import Config
from components.data.faces import EMOTIONS, render_faces
from components.data.images import decode
from components.data.table import SPLITS
from components.records import DataError, Face


class Embedded(Config):
    """Faces drawn by the built-in renderer: subjects never cross splits."""

    source: Literal["embedded"]
    seed: int = Field(ge=0, lt=2**32)
    train: int = Field(ge=1)
    valid: int = Field(ge=1)
    test: int = Field(ge=1)


class FerPlus(Config):
    """The official FER+ folders, or a zip of them (Barsoum et al. 2016), majority labels.

    splits "official": FER2013Train, FER2013Valid, FER2013Test. "development": valid is carved from FER2013Train by the
    hash of the file name, and FER2013Valid serves as test. `train_limit` keeps a fixed sample of train, 0 all of it.
    """

    source: Literal["ferplus"]
    splits: Literal["official", "development"]
    valid_share: float = Field(ge=0.01, le=0.5)
    train_limit: int = Field(ge=0)


Source = Annotated[Embedded | FerPlus, Field(discriminator="source")]

FERPLUS_CLASSES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
FERPLUS_VOTES = 10  # people asked about each face; two more columns count "unknown" and "not a face"
FERPLUS_FOLDERS = {"FER2013Train", "FER2013Valid", "FER2013Test"}


def classes(config: Source) -> tuple[str, ...]:
    return EMOTIONS if isinstance(config, Embedded) else FERPLUS_CLASSES


def train_limit(config: Source) -> int | None:
    return config.train_limit or None if isinstance(config, FerPlus) else None


def read(config: Source, raw: Path) -> Iterator[Face]:
    """Faces of `raw`, split by split. Raises DataError, one line, where the data is not in its official form."""
    return _embedded(config) if isinstance(config, Embedded) else _ferplus(config, FerPlusTree.open(raw))


def expected_faces(config: Source, raw: Path) -> int:
    """An upper bound for the progress bar, known without reading an image."""
    if isinstance(config, Embedded):
        return config.train + config.valid + config.test
    tree = FerPlusTree.open(raw)
    return sum(1 for folder in tree.folders for _ in tree.majority(folder))


def folders_needed(config: FerPlus) -> set[str]:
    return set(_folders_of(config).values())


def _folders_of(config: FerPlus) -> dict[str, str]:
    """The folder that each split is read from."""
    if config.splits == "official":
        return {"train": "FER2013Train", "valid": "FER2013Valid", "test": "FER2013Test"}
    return {"train": "FER2013Train", "valid": "FER2013Train", "test": "FER2013Valid"}


def _embedded(config: Embedded) -> Iterator[Face]:
    for split in SPLITS:
        for number, face in enumerate(render_faces(config.seed, split, getattr(config, split))):
            votes = tuple(float(label == face.label) for label in range(len(EMOTIONS)))
            yield Face(face.pixels, face.label, votes, split, face.subject, f"{split}-{number:06d}", face.attributes)


def _ferplus(config: FerPlus, tree: "FerPlusTree") -> Iterator[Face]:
    for split in SPLITS:
        for folder, name, votes in _ferplus_rows(config, tree, split):
            pixels = tree.pixels(folder, name)
            total = sum(votes)
            label = max(range(len(votes)), key=votes.__getitem__)
            yield Face(pixels, label, tuple(v / total for v in votes), split, "", f"{folder}/{name}")


def _ferplus_rows(config: FerPlus, tree: "FerPlusTree", split: str) -> list[tuple[str, str, tuple[int, ...]]]:
    folder = _folders_of(config)[split]
    rows = [(folder, name, votes) for name, votes in tree.majority(folder)]
    if config.splits == "development" and split != "test":
        rows = [row for row in rows if (_fraction("valid", row[1]) < config.valid_share) == (split == "valid")]
    if config.train_limit and split == "train":
        rows.sort(key=lambda row: _fraction("sample", row[1]))
    return rows


def _fraction(purpose: str, name: str) -> float:
    """A number in [0, 1) that depends on nothing but the two words."""
    return int.from_bytes(hashlib.sha256(f"{purpose}:{name}".encode()).digest()[:8]) / 2**64


@dataclass(frozen=True)
class FerPlusTree:
    """Where the FER+ folders lie, in a directory or in a zip."""

    raw: Path
    folders: dict[str, str]  # "FER2013Train" -> its path inside raw
    read: Callable[[str], bytes]

    @classmethod
    def open(cls, raw: Path) -> "FerPlusTree":
        if raw.is_dir():
            labels = [path.relative_to(raw).as_posix() for path in raw.rglob("label.csv")]
            return cls(raw, _folders(labels, raw), lambda name: (raw / name).read_bytes())
        try:
            archive = zipfile.ZipFile(raw)
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(f"{raw}: {error}: allowed is a zip or a folder of the official FER+ folders") from None
        return cls(raw, _folders([n for n in archive.namelist() if Path(n).name == "label.csv"], raw), archive.read)

    def majority(self, folder: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        """File name and the eight emotion votes of each face that more than half of the ten voters agree on."""
        if folder not in self.folders:
            raise DataError(f"{self.raw}: no {folder}/label.csv: there is {', '.join(sorted(self.folders))}")
        text = self._bytes(folder, "label.csv").decode("utf-8", errors="replace")
        rows = csv.reader(io.StringIO(text, newline=""))
        for line in itertools.count(1):
            try:
                row = next(rows)
                name, counts = (row[0], [int(value) for value in row[2:]]) if row else ("", [])
            except StopIteration:
                return
            except (ValueError, csv.Error):
                row, counts = ["?"], []
            if not row:
                continue
            if len(counts) != len(FERPLUS_CLASSES) + 2 or min(counts) < 0:
                raise DataError(
                    f"{self.raw}: {folder}/label.csv line {line}: allowed is: file name, box, ten vote counts"
                )
            top = max(counts)
            if 2 * top > FERPLUS_VOTES and counts.index(top) < len(FERPLUS_CLASSES):
                yield name, tuple(counts[: len(FERPLUS_CLASSES)])

    def pixels(self, folder: str, name: str) -> np.ndarray:
        try:
            return decode(self._bytes(folder, name))
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{self.raw}: {folder}/{name}: not a readable image ({error})") from None

    def _bytes(self, folder: str, name: str) -> bytes:
        try:
            return self.read(f"{self.folders[folder]}/{name}")
        except (KeyError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{self.raw}: {folder}/{name}: cannot be read ({error})") from None


def _folders(labels: list[str], raw: Path) -> dict[str, str]:
    found = {Path(label).parent.name: Path(label).parent.as_posix() for label in labels}
    found = {name: where for name, where in found.items() if name in FERPLUS_FOLDERS}
    if not found:
        raise DataError(f"{raw}: no FER+ folder in it: allowed is {', '.join(sorted(FERPLUS_FOLDERS))} with label.csv")
    return found
