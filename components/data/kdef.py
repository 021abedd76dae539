"""KDEF, the Karolinska Directed Emotional Faces (Lundqvist, Flykt and Oehman 1998): the file name tells everything.

AF01ANS.JPG: session A or B, gender F or M, number of the person, expression, view.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from components.data.collected import Carved, fraction, one_hot, read_face, reject
from components.data.faces import EMOTIONS
from components.data.table import SPLITS
from components.data.tree import Tree, open_tree
from components.records import Face, Reject

CLASSES = EMOTIONS
EXPRESSIONS = {
    "AF": "fear",
    "AN": "anger",
    "DI": "disgust",
    "HA": "happiness",
    "NE": "neutral",
    "SA": "sadness",
    "SU": "surprise",
}
VIEWS = {"FL": "full left", "HL": "half left", "S": "straight", "HR": "half right", "FR": "full right"}
GENDERS = {"F": "female", "M": "male"}
NAME = re.compile(
    rf"(?P<session>[AB])(?P<gender>[FM])(?P<person>0[1-9]|[12][0-9]|3[0-5])"
    rf"(?P<expression>{'|'.join(EXPRESSIONS)})(?P<view>{'|'.join(VIEWS)})\.JPE?G",
    re.IGNORECASE,
)
GRAMMAR = "allowed is: session A or B, gender F or M, person 01 .. 35, expression, view, .JPG, as in AF01ANS.JPG"


class Kdef(Carved):
    """The official folders, or a zip of them; `views` are kept, and nobody is in two splits.

    People, ordered by hash, are split by count: at least one each for test and valid.
    """

    source: Literal["kdef"]
    views: tuple[Literal["FL", "HL", "S", "HR", "FR"], ...] = Field(min_length=1)


def count(config: Kdef, raw: Path) -> int:
    """How many files there are."""
    return sum(1 for _ in open_tree(raw).walk())


def read(config: Kdef, raw: Path) -> Iterator[Face | Reject]:
    """Faces, ordered test, valid, train. A name outside the grammar is a reject of train."""
    tree = open_tree(raw)
    splits = split_people(config, {_person(found) for _, found in _names(tree) if found})
    for split in SPLITS:
        named: set[str] = set()
        for path, found in _names(tree):
            if (splits[_person(found)] if found else "train") != split:
                continue
            if found is None:
                yield reject(path, split, GRAMMAR)
            elif found["view"].upper() not in config.views:
                continue
            elif found[0].upper() in named:
                yield reject(path, split, "another file has this name: allowed is one")
            else:
                named.add(found[0].upper())
                yield read_face(config, tree, path, _face(path, split, found))


def split_people(config: Kdef, people: set[str]) -> dict[str, str]:
    """The split of each person."""
    order = sorted(people, key=lambda person: fraction("split", person))
    test, valid = (max(1, round(share * len(order))) for share in (config.test_share, config.valid_share))
    names = ["test"] * test + ["valid"] * valid + ["train"] * len(order)
    return dict(zip(order, names, strict=False))


def _names(tree: Tree) -> Iterator[tuple[str, "re.Match[str] | None"]]:
    for path in tree.walk():
        yield path, NAME.fullmatch(path.rpartition("/")[2])


def _person(found: "re.Match[str]") -> str:
    return f"{found['gender']}{found['person']}".upper()


def _face(path: str, split: str, found: "re.Match[str]") -> Face:
    label = CLASSES.index(EXPRESSIONS[found["expression"].upper()])
    attributes = {
        "gender": GENDERS[found["gender"].upper()],
        "view": VIEWS[found["view"].upper()],
        "session": found["session"].upper(),
    }
    return Face(None, label, one_hot(label, len(CLASSES)), split, _person(found), path, attributes)
