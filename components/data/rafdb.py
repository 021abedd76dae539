"""RAF-DB, the basic emotions (Li, Deng and Du 2017, CVPR): aligned faces and one list of labels."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from components.data.collected import Collected, Share, fraction, one_hot, read_face, reject
from components.data.faces import EMOTIONS
from components.data.table import SPLITS
from components.data.tree import Tree, join, open_tree
from components.records import DataError, Face, Reject

CLASSES = EMOTIONS
NUMBERED = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")  # labels 1 .. 7
LIST, IMAGES = "list_patition_label.txt", "Image/aligned"  # so misspelt by its authors
LINE = re.compile(r"((train|test)_[0-9]+)\.jpg +(-?[0-9]{1,9}) *")


class RafDb(Collected):
    """The official folders, or a zip of them: valid is carved from train by the hash of the file name."""

    source: Literal["rafdb"]
    valid_share: Share


def count(config: RafDb, raw: Path) -> int:
    """How many lines the list has."""
    tree = open_tree(raw)
    return sum(1 for line in tree.lines(_places(tree)[0]) if line)


def read(config: RafDb, raw: Path) -> Iterator[Face | Reject]:
    """Faces, ordered test, valid, train. Raises DataError where the list or the images are not there."""
    tree = open_tree(raw)
    labels, images = _places(tree)
    for split in SPLITS:
        named: set[str] = set()
        for number, line in enumerate(tree.lines(labels), 1):
            found = LINE.fullmatch(line)
            name = f"{found[1]}.jpg" if found else f"{LIST} line {number}"
            if not line or _split(config, name, found) != split:
                continue
            if found is None:
                yield reject(name, split, "allowed is: train_00001.jpg or test_0001.jpg, a space, a label of 1 .. 7")
            elif not 1 <= int(found[3]) <= len(NUMBERED):
                yield reject(name, split, f"label {found[3]} in {LIST} line {number}: allowed are 1 .. 7")
            elif name in named:
                yield reject(name, split, f"named again in {LIST} line {number}: allowed is one line for each file")
            else:
                named.add(name)
                label = CLASSES.index(NUMBERED[int(found[3]) - 1])
                face = Face(None, label, one_hot(label, len(CLASSES)), split, "", name)
                yield read_face(config, tree, join(images, f"{found[1]}_aligned.jpg"), face)


def _split(config: RafDb, name: str, found: "re.Match[str] | None") -> str:
    if found is not None and found[2] == "test":
        return "test"
    return "valid" if fraction("valid", name) < config.valid_share else "train"


def _places(tree: Tree) -> tuple[str, str]:
    """The list, and the folder of images beside it or beside the list's folder."""
    lists = [path for path in tree.walk() if path.rpartition("/")[2] == LIST]
    if len(lists) != 1:
        raise DataError(f"{tree.raw}: {len(lists)} files {LIST}: allowed is one, and {IMAGES} beside it")
    beside = lists[0].rpartition("/")[0]
    for base in dict.fromkeys((beside, beside.rpartition("/")[0])):
        images = join(base, IMAGES)
        if tree.entries(images)[1]:
            return lists[0], images
    raise DataError(f"{tree.raw}: no folder {IMAGES} with files: allowed is the official layout, unpacked")
