"""FER+: ten votes for each face of FER2013 (Barsoum et al. 2016, arXiv 1608.01041), in its official folders."""

import csv
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from components.data import fer2013
from components.data.collected import Collected, Share, fraction, read_face, reject
from components.data.table import SPLITS
from components.data.tree import Tree, join, open_tree
from components.records import DataError, Face, Reject

CLASSES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
VOTERS = 10  # people asked about each face; two more columns count "unknown" and "not a face"
FOLDERS = set(fer2013.FOLDERS.values())
ROW = "allowed is: file name, box, ten vote counts"


class FerPlus(Collected):
    """The official FER+ folders, or a zip of them.

    splits "official": FER2013Train, FER2013Valid, FER2013Test. "development": valid is carved from FER2013Train by the
    hash of the file name, and FER2013Valid serves as test. `train_limit` keeps a fixed sample of train, 0 all of it.

    Votes are the shares of the eight emotions among those who named one; the label has most of them. labels says which
    faces stay. "majority": those with an emotion that more than half of the voters agree on. "probability": in train
    alone, so that figures compare, also those where the emotions hold more than half of the votes and one of them is on
    top, single votes left out as outliers (Barsoum et al. 2016).
    """

    source: Literal["ferplus"]
    splits: Literal["official", "development"]
    labels: Literal["majority", "probability"]
    valid_share: Share
    train_limit: int = Field(ge=0)


@dataclass(frozen=True)
class FerPlusTree:
    """Where the FER+ folders lie."""

    tree: Tree
    folders: dict[str, str]  # "FER2013Train" -> its path in the tree

    def labels(self, folder: str) -> str:
        """The path of a folder's label.csv. Raises DataError where there is none."""
        if folder not in self.folders:
            there = ", ".join(sorted(self.folders))
            raise DataError(f"{self.tree.raw}: no {folder}/label.csv: there is {there}")
        return f"{self.folders[folder]}/label.csv"


def open_folders(raw: Path) -> FerPlusTree:
    """Raises DataError where there is no FER+ folder, or two of one name."""
    tree = open_tree(raw)
    found: dict[str, str] = {}
    for path in tree.walk():
        where = posixpath.dirname(path)
        folder = posixpath.basename(where)
        if folder in FOLDERS and posixpath.basename(path) == "label.csv":
            if folder in found:
                raise DataError(f"{raw}: two folders {folder} ({found[folder]} and {where}): allowed is one")
            found[folder] = where
    if not found:
        said = ": fer2013.csv comes in through 'lldif data add ferplus'" if fer2013.find(tree) else ""
        allowed = f"allowed is {', '.join(sorted(FOLDERS))} with label.csv"
        raise DataError(f"{raw}: no FER+ folder in it: {allowed}{said}")
    return FerPlusTree(tree, found)


def folders_needed(config: FerPlus) -> set[str]:
    return set(_folders_of(config).values())


def _folders_of(config: FerPlus) -> dict[str, str]:
    """The folder that each split is read from."""
    if config.splits == "official":
        return {"train": "FER2013Train", "valid": "FER2013Valid", "test": "FER2013Test"}
    return {"train": "FER2013Train", "valid": "FER2013Train", "test": "FER2013Valid"}


def count(config: FerPlus, raw: Path) -> int:
    """How many label rows there are, an upper bound of the faces."""
    there = open_folders(raw)
    return sum(1 for folder in folders_needed(config) for line in there.tree.lines(there.labels(folder)) if line)


def read(config: FerPlus, raw: Path) -> Iterator[Face | Reject]:
    """Faces, ordered test, valid, train. Raises DataError where the folders or their labels are not there."""
    there = open_folders(raw)
    for split in SPLITS:
        folder = _folders_of(config)[split]
        rows = _rows(config, there, folder, split)
        if split == "train" and config.train_limit:
            rows = _sampled(rows)
        for row in rows:
            if isinstance(row, Reject):
                yield row
                continue
            name, counts = row
            votes = tuple(count / sum(counts) for count in counts)
            face = Face(None, counts.index(max(counts)), votes, split, "", f"{folder}/{name}")
            yield read_face(config, there.tree, join(there.folders[folder], name), face)


Row = tuple[str, bytes]  # file name, and how many voters named each emotion: a byte each, to be small


def _sampled(rows: Iterator[Row | Reject]) -> Iterator[Row | Reject]:
    """Rejects first, then rows in the order of a hash, so that a larger sample begins with a smaller one."""
    kept: list[bytes] = []
    for row in rows:
        if isinstance(row, Reject):
            yield row
        else:
            kept.append(row[1] + row[0].encode("utf-8", "surrogateescape"))
    classes = len(CLASSES)
    kept.sort(key=lambda packed: fraction("sample", packed[classes:].decode("utf-8", "surrogateescape")))
    for packed in kept:
        yield packed[classes:].decode("utf-8", "surrogateescape"), packed[:classes]


def _rows(config: FerPlus, there: FerPlusTree, folder: str, split: str) -> Iterator[Row | Reject]:
    """The label rows of a folder that belong to a split and show an emotion."""
    stays = is_probable if config.labels == "probability" and split == "train" else has_majority
    named: set[str] = set()
    for number, line in enumerate(there.tree.lines(there.labels(folder)), 1):
        if not line:
            continue
        name, votes = parse_row(line)
        shown = f"{folder}/{name}" if votes else f"{folder}/label.csv line {number}"
        carved = config.splits == "development" and split != "test"
        if carved and (fraction("valid", name) < config.valid_share) != (split == "valid"):
            continue
        if not votes:
            yield reject(shown, split, ROW)
        elif sum(votes) != VOTERS:
            yield reject(shown, split, f"{sum(votes)} votes in label.csv line {number}: allowed are {VOTERS}")
        elif name in named:
            yield reject(shown, split, f"named again in label.csv line {number}: allowed is one row for each file")
        elif stays(votes):
            yield name, bytes(votes[: len(CLASSES)])
        named.add(name)


def parse_row(line: str) -> tuple[str, list[int]]:
    """File name and ten votes of a label row; no votes where the row is malformed."""
    try:
        name, _, *cells = next(csv.reader([line]))
        votes = [int(cell) for cell in cells]
    except (ValueError, csv.Error):
        return line, []
    is_plain = "/" not in name and name not in ("", ".", "..")
    return (name, votes) if is_plain and len(votes) == len(CLASSES) + 2 and min(votes) >= 0 else (line, [])


def has_majority(votes: list[int]) -> bool:
    """Whether more than half of the voters agree on an emotion."""
    return 2 * max(votes[: len(CLASSES)]) > VOTERS


def is_probable(votes: list[int]) -> bool:
    """Whether, without single votes, the emotions hold more than half of all and one of them is on top."""
    kept = [vote if vote > 1 else 0 for vote in votes]
    emotions, others = kept[: len(CLASSES)], kept[len(CLASSES) :]
    return 2 * sum(emotions) > VOTERS and max(emotions) >= max(others)
