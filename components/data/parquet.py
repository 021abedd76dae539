"""Parquet shards as Hugging Face data sets keep images: data/train-00000-of-00001.parquet."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from components.data.archive import escaped
from components.data.collected import Carved, Classes, carve, one_hot, reject, with_pixels
from components.data.table import DAMAGE, SPLITS
from components.data.tree import FILE_BYTES
from components.records import DataError, Face, Reject, first_line

SHARD = re.compile(r"(train|valid|validation|val|test)(?:[-_.].*)?\.parquet")
SPLIT_NAMES = {"train": "train", "valid": "valid", "validation": "valid", "val": "valid", "test": "test"}
ROWS = 64  # read at once


class Parquet(Carved):
    """Shards in a folder, or in its folder `data`; the split is the first word of a shard's name.

    The image is a struct of bytes and path, or plain bytes; the label a number (named by the shard's own ClassLabel,
    else by `classes`) or a text. Splits that no shard has are shares of train, by the hash of the person where there
    is a `subject_column`, else of the image's bytes.
    """

    source: Literal["parquet"]
    classes: Classes
    image_column: str = Field(min_length=1)
    label_column: str = Field(min_length=1)
    subject_column: str


@dataclass(frozen=True)
class Shard:
    """One file of rows; a label is an index into `titles` where it is a number."""

    path: Path
    split: str
    titles: tuple[str, ...]


def count(config: Parquet, raw: Path) -> int:
    """How many rows there are."""
    return sum(_file(shard.path).metadata.num_rows for shard in shards(config, raw))


def read(config: Parquet, raw: Path) -> Iterator[Face | Reject]:
    """Faces, ordered test, valid, train. Raises DataError where a shard is damaged or lacks a column or a class."""
    there = shards(config, raw)
    shares = {"test": config.test_share, "valid": config.valid_share}
    missing = {split: share for split, share in shares.items() if split not in {shard.split for shard in there}}
    for split in SPLITS:
        for shard in there:
            if shard.split not in ("train", split):
                continue
            for number, row in enumerate(_rows(config, shard)):
                data, subject = _bytes(row["image"]), _subject(config, row)
                if shard.split == "train" and carve(_key(config, data, subject), missing) != split:
                    continue
                yield _face(config, shard, f"{shard.path.name}:{number}", split, data, row["label"], subject)


def shards(config: Parquet, raw: Path) -> list[Shard]:
    """The shards in order. Raises DataError where there is none of train, or one that cannot be used."""
    folder = raw / "data" if (raw / "data").is_dir() else raw
    paths = sorted(folder.glob("*.parquet"))
    if not paths:
        raise DataError(f"{raw}: no Parquet file in it: allowed is a folder of train-00000-of-00001.parquet and so on")
    found = []
    for path in paths:
        name = SHARD.fullmatch(path.name)
        if name is None:
            raise DataError(
                f"{path}: no split in its name: allowed is train-, valid-, validation-, val- or test-*.parquet"
            )
        found.append(Shard(path, SPLIT_NAMES[name[1]], _titles(config, path)))
    if "train" not in {shard.split for shard in found}:
        raise DataError(f"{raw}: no shard of train: allowed is train-*.parquet beside the others")
    return found


def _file(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
    except DAMAGE as error:
        raise DataError(f"{path}: not a readable Parquet file ({first_line(error)})") from None


def _titles(config: Parquet, path: Path) -> tuple[str, ...]:
    """What numbers in the label column mean. Raises DataError where the schema does not fit."""
    schema = _file(path).schema_arrow
    for column in filter(None, (config.image_column, config.label_column, config.subject_column)):
        if schema.names.count(column) != 1:
            raise DataError(f"{path}: no column {column}: there is {escaped(', '.join(schema.names))}")
    image, label = schema.field(config.image_column).type, schema.field(config.label_column).type
    if not _is_binary(image) and not (pa.types.is_struct(image) and image.get_field_index("bytes") >= 0):
        raise DataError(f"{path}: column {config.image_column} is {image}: allowed is binary or struct of bytes, path")
    if not (pa.types.is_integer(label) or _is_text(label)):
        raise DataError(f"{path}: column {config.label_column} is {label}: allowed is a whole number or text")
    titles = _class_label(config, (schema.metadata or {}).get(b"huggingface", b"{}")) or config.classes
    unknown = [title for title in titles if title not in config.classes]
    if unknown:
        allowed = ", ".join(config.classes)
        raise DataError(f"{path}: class {escaped(unknown[0])} of its metadata is unknown: allowed are {allowed}")
    return titles


def _class_label(config: Parquet, metadata: bytes) -> tuple[str, ...]:
    try:
        names = json.loads(metadata)["info"]["features"][config.label_column]["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ()
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _rows(config: Parquet, shard: Shard) -> Iterator[dict[str, Any]]:
    columns = {"image": config.image_column, "label": config.label_column, "subject": config.subject_column}
    given = {name: column for name, column in columns.items() if column}
    try:
        for batch in _file(shard.path).iter_batches(ROWS, columns=list(given.values())):
            values = {name: batch.column(column).to_pylist() for name, column in given.items()}
            for index in range(batch.num_rows):
                yield {name: values[name][index] for name in given}
    except DAMAGE as error:
        raise DataError(f"{shard.path}: damaged ({first_line(error)})") from None


def _bytes(image: Any) -> bytes | None:
    return image.get("bytes") if isinstance(image, dict) else image


def _subject(config: Parquet, row: dict[str, Any]) -> str | None:
    """Empty where persons are not known, None where the row should tell and does not."""
    if not config.subject_column:
        return ""
    given = row["subject"]
    # a number that is missing may be NaN, which is not equal to itself; 0 is a person like any other
    return str(given) if given not in (None, "") and given == given else None


def _key(config: Parquet, data: bytes | None, subject: str | None) -> str:
    return (subject or "") if config.subject_column else hashlib.sha256(data or b"").hexdigest()


def _face(
    config: Parquet, shard: Shard, name: str, split: str, data: bytes | None, label: Any, subject: str | None
) -> Face | Reject:
    if subject is None:
        return reject(name, split, f"no person in column {config.subject_column}: allowed is one in each row")
    title = dict(enumerate(shard.titles)).get(label) if isinstance(label, int) else label
    if title not in config.classes:
        return reject(name, split, f"label {escaped(str(label))}: allowed are {', '.join(config.classes)}")
    if data is None:
        return reject(name, split, "no bytes: allowed is the image itself, not its path alone")
    if len(data) > FILE_BYTES:
        return reject(name, split, f"over {FILE_BYTES >> 20} MiB: allowed are smaller files")
    index = config.classes.index(title)
    return with_pixels(config, data, Face(None, index, one_hot(index, len(config.classes)), split, subject, name))
