"""Folders of images: split/class/image, or class/image with splits by hash or by person."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from components.data.archive import escaped
from components.data.collected import Carved, Classes, carve, one_hot, read_face, reject
from components.data.table import SPLITS
from components.data.tree import Tree, join, open_tree
from components.records import DataError, Face, Reject

SPLIT_FOLDERS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}


class Folder(Carved):
    """A tree whose folders of `classes` hold the images, at any depth.

    Splits that the tree does not have are shares of train, by the hash of each image's path or, with split_by
    "subject", of its person: the one group of `subject_pattern`, a regular expression found in the file name.
    """

    source: Literal["folder"]
    classes: Classes
    layout: Literal["split/class", "class"]
    split_by: Literal["hash", "subject"]
    subject_pattern: str

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        if self.split_by == "subject" and not self.subject_pattern:
            raise ValueError("subject_pattern: split_by subject needs one")
        try:
            groups = re.compile(self.subject_pattern).groups
        except re.error as error:
            raise ValueError(f"subject_pattern: not a regular expression ({error})") from None
        if self.subject_pattern and groups != 1:
            raise ValueError("subject_pattern: allowed is a regular expression with one group")
        return self


@dataclass(frozen=True)
class Place:
    """A folder of the tree that stands for a split."""

    path: str
    split: str


def count(config: Folder, raw: Path) -> int:
    """How many files there are."""
    tree = open_tree(raw)
    return sum(1 for place in _places(config, tree) for _ in tree.walk(place.path))


def read(config: Folder, raw: Path) -> Iterator[Face | Reject]:
    """Faces, ordered test, valid, train. Raises DataError where a folder is no class, or no split."""
    tree = open_tree(raw)
    places = _places(config, tree)
    for place in places:
        _check_classes(config, tree, place)
    shares = {"test": config.test_share, "valid": config.valid_share}
    missing = {split: share for split, share in shares.items() if split not in {place.split for place in places}}
    for split in SPLITS:
        for place in places:
            if place.split in ("train", split):
                yield from _faces(config, tree, place, split, missing)


def _faces(config: Folder, tree: Tree, place: Place, split: str, missing: dict[str, float]) -> Iterator[Face | Reject]:
    """The faces of a place that belong to a split."""
    for name in tree.entries(place.path)[1]:
        if split == place.split:
            yield reject(join(place.path, name), split, f"in no class: allowed are {', '.join(config.classes)}")
    for label, title in enumerate(config.classes):
        start = join(place.path, title)
        for path in tree.walk(start):
            subject = _subject(config, path)
            key = subject if config.split_by == "subject" else path[len(place.path) :].lstrip("/")
            if (carve(key or "", missing) if place.split == "train" else place.split) != split:
                continue
            if subject is None:
                yield reject(path, split, f"no person in its name: allowed is subject_pattern {config.subject_pattern}")
                continue
            face = Face(None, label, one_hot(label, len(config.classes)), split, subject, path)
            yield read_face(config, tree, path, face)


def _subject(config: Folder, path: str) -> str | None:
    """Empty where persons are not known, None where the name should tell and does not."""
    if not config.subject_pattern:
        return ""
    found = re.search(config.subject_pattern, path.rpartition("/")[2])
    return found[1] if found else None


def _places(config: Folder, tree: Tree) -> list[Place]:
    known = set(config.classes) if config.layout == "class" else set(SPLIT_FOLDERS)
    root, folders = "", tree.entries("")[0]
    # a zip often holds one folder that holds all
    while len(folders) == 1 and not known & set(folders) and (inner := tree.entries(join(root, folders[0]))[0]):
        root, folders = join(root, folders[0]), inner
    if config.layout == "class":
        return [Place(root, "train")]
    places = [Place(join(root, name), SPLIT_FOLDERS[name]) for name in folders if name in SPLIT_FOLDERS]
    unknown = [name for name in folders if name not in SPLIT_FOLDERS]
    splits = [place.split for place in places]
    if unknown or "train" not in splits or len(set(splits)) < len(splits):
        there = escaped(", ".join(folders)) or "nothing"
        raise DataError(f"{tree.raw}: folders {there}: allowed are train, and one each of valid (or val) and test")
    return places


def _check_classes(config: Folder, tree: Tree, place: Place) -> None:
    for name in tree.entries(place.path)[0]:
        if name not in config.classes:
            where = escaped(join(place.path, name))
            raise DataError(f"{tree.raw}: folder {where} is no class: allowed are {', '.join(config.classes)}")
