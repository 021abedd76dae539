"""What all collected sources share: the form their images are given, the split of a face by hash, rejects."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from components.config import Config
from components.data.archive import UnreadableError, escaped
from components.data.conversion import ImageError, read_image
from components.data.tree import Tree
from components.records import Face, Reject

Share = Annotated[float, Field(ge=0.01, le=0.5)]


def _each_once(classes: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(classes)) < len(classes):
        raise ValueError("allowed is each class once")
    return classes


Classes = Annotated[tuple[str, ...], Field(min_length=2, max_length=100), AfterValidator(_each_once)]


class Collected(Config):
    """Images are cropped to a square of `size` pixels; of files and rows, `max_reject_share` may be unusable."""

    size: int = Field(ge=8, le=1024)
    colour: Literal["grey", "rgb"]
    max_reject_share: float = Field(ge=0, lt=1)


class Carved(Collected):
    """Shares of the faces, or of the people, go to valid and test."""

    valid_share: Share
    test_share: Share

    @model_validator(mode="after")
    def _some_are_left_to_train(self) -> Self:
        if self.valid_share + self.test_share > 0.9:
            raise ValueError("valid_share and test_share: allowed is a sum up to 0.9")
        return self


def read_face(config: Collected, tree: Tree, path: str, face: Face) -> Face | Reject:
    """`face` with the pixels of a file of the tree."""
    try:
        return with_pixels(config, tree.read(path), face)
    except UnreadableError as error:
        return reject(face.name, face.split, str(error))


def with_pixels(config: Collected, data: bytes, face: Face) -> Face | Reject:
    """`face` with the pixels of an encoded image."""
    try:
        face.name.encode()
        pixels = read_image(data, config.size, config.colour)
    except UnicodeEncodeError:
        return reject(face.name, face.split, "a name that is not UTF-8: allowed is UTF-8")
    except ImageError as error:
        return reject(face.name, face.split, str(error))
    return Face(pixels, face.label, face.votes, face.split, face.subject, face.name, face.attributes)


def reject(name: str, split: str, reason: str) -> Reject:
    return Reject(escaped(name), split, reason)


def one_hot(label: int, count: int) -> tuple[float, ...]:
    return tuple(float(index == label) for index in range(count))


def fraction(purpose: str, name: str) -> float:
    """A number in [0, 1) that depends on nothing but the two words."""
    words = f"{purpose}:{name}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(words).digest()[:8]) / 2**64


def carve(key: str, shares: Mapping[str, float]) -> str:
    """The split of a face of train, a share of which goes to splits that the data does not have itself."""
    place = fraction("split", key)
    for split, share in shares.items():
        if place < share:
            return split
        place -= share
    return "train"
