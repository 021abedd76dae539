"""The face table: Parquet, one row per face, written as a stream and always the same bytes for the same faces.

Columns: id (sha256 of shape and pixels), image (PNG bytes), label, votes, split, subject, source, name, attributes.
The classes and the image shape stand in the schema's metadata, under one key. Beside it, rejects.parquet has a row
(name, split, reason, source) for each face that a source could not give, in the order met.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.atomic import replacing_all
from components.data.images import decode, encode
from components.records import DataError, Face, Reject, first_line

SPLITS = ("test", "valid", "train")
ROW_GROUP = 2048
# what pyarrow raises where bytes are not what they were: the footer, unlike the pages, has no checksum
DAMAGE = (pa.ArrowException, OSError, KeyError, TypeError, ValueError, OverflowError)
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image", pa.binary()),
        ("label", pa.int8()),
        ("votes", pa.list_(pa.float32())),
        ("split", pa.string()),
        ("subject", pa.string()),
        ("source", pa.string()),
        ("name", pa.string()),
        ("attributes", pa.string()),
    ]
)
REJECTS = "rejects.parquet"
REJECT_SCHEMA = pa.schema([(name, pa.string()) for name in ("name", "split", "reason", "source")])


@dataclass(frozen=True)
class Faces:
    """The faces of one split, in memory."""

    ids: list[str]  # N
    images: np.ndarray  # (N, H, W, C) uint8, C = 1 or 3
    labels: np.ndarray  # (N,) int64
    votes: np.ndarray  # (N, K) float32, rows sum to 1: shares of people, or one-hot where nobody was asked
    classes: tuple[str, ...]


def face_id(pixels: np.ndarray) -> str:
    return hashlib.sha256(str(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def write(
    path: Path,
    faces: Iterable[Face | Reject],
    classes: tuple[str, ...],
    source: str,
    train_limit: int | None = None,
    max_reject_share: float = 0.0,
) -> Iterator[dict[str, int]]:
    """Stream `faces`, ordered test, valid, train, into `path`, yielding now and then how many each split has.

    The last counts, yielded when the table stands, also say how many faces left. Rejects become the rows of
    rejects.parquet beside `path`; the two files appear together or not at all.

    A face whose pixels occur in an earlier split leaves the later one, so nothing that is tested was trained on.
    With `train_limit`, reading ends when so many faces of train are kept.

    Raises DataError where faces differ in shape, a split is empty, train lacks a class, or rejects exceed their share.
    """
    with replacing_all(path, path.with_name(REJECTS)) as (temporary, temporary_rejects):
        draft = _Draft(temporary, classes, source)
        with (
            contextlib.closing(draft),
            pq.ParquetWriter(temporary_rejects, REJECT_SCHEMA, compression="zstd", write_page_checksum=True) as rejects,
        ):
            refused: list[dict[str, object]] = []
            first: Reject | None = None
            for face in faces:
                if isinstance(face, Reject):
                    first = first or face
                    refused.append({"name": face.name, "split": face.split, "reason": face.reason, "source": source})
                    draft.counts["rejects"] += 1
                    _flush(rejects, refused, ROW_GROUP)
                    continue
                if draft.add(face):
                    yield dict(draft.counts)
                if draft.counts["train"] == train_limit:
                    break
            _check_rejects(source, draft.counts, first, max_reject_share)
            draft.finish()
            _flush(rejects, refused)
    yield dict(draft.counts)


class _Draft:
    """A face table while it is written."""

    def __init__(self, path: Path, classes: tuple[str, ...], source: str) -> None:
        self.path, self.classes, self.source = path, classes, source
        self.counts = dict.fromkeys([*SPLITS, "left_as_duplicates", "rejects"], 0)
        self.shape: tuple[int, ...] | None = None
        self.writer: pq.ParquetWriter | None = None
        self.rows: list[dict[str, object]] = []
        # only what a later split must not repeat: train, the largest, is not remembered
        self.kept: dict[str, set[bytes]] = {split: set() for split in SPLITS[:-1]}
        self.trained: set[int] = set()

    def add(self, face: Face) -> bool:
        """True where rows have gone to the file. Raises DataError where the face has another shape than the first."""
        if self.writer is None:
            self.shape = face.pixels.shape
            self.writer = _writer(self.path, self.classes, face.pixels.shape)
        if face.pixels.shape != self.shape:
            raise DataError(
                f"{self.source}: {face.name}: image shape {face.pixels.shape}, the others have {self.shape}"
            )
        row = _row(face, self.source)
        identity = bytes.fromhex(str(row["id"]))
        if any(identity in self.kept[split] for split in SPLITS[: SPLITS.index(face.split)]):
            self.counts["left_as_duplicates"] += 1
            return False
        if face.split in self.kept:
            self.kept[face.split].add(identity)
        else:
            self.trained.add(face.label)
        self.counts[face.split] += 1
        self.rows.append(row)
        return _flush(self.writer, self.rows, ROW_GROUP)

    def finish(self) -> None:
        """Raises DataError where a split, or a class of train, has no face."""
        empty = [split for split in SPLITS if not self.counts[split]]
        if empty or self.writer is None:
            raise DataError(f"{self.source}: no face in split {', '.join(empty)}: every split needs at least one")
        missing = [name for label, name in enumerate(self.classes) if label not in self.trained]
        if missing:
            raise DataError(f"{self.source}: no face of {', '.join(missing)} in train: every class needs at least one")
        _flush(self.writer, self.rows)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


def _check_rejects(source: str, counts: dict[str, int], first: Reject | None, allowed: float) -> None:
    total = sum(counts.values())
    if first is not None and counts["rejects"] > allowed * total:
        share = f"{counts['rejects']} of {total} rejected, {counts['rejects'] / total:.2%}"
        raise DataError(
            f"{source}: {share}: allowed is max_reject_share {allowed:.2%}; the first: {first.name}: {first.reason}"
        )


def _writer(path: Path, classes: tuple[str, ...], shape: tuple[int, ...]) -> pq.ParquetWriter:
    notes = json.dumps({"classes": classes, "shape": shape}, sort_keys=True)
    schema = SCHEMA.with_metadata({"lldif": notes})
    # images are compressed already, and dictionaries of unique values only cost
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=["split", "source"],
        write_page_checksum=True,
        write_statistics=["split"],  # of images they would keep two whole ones in the footer
    )


def _row(face: Face, source: str) -> dict[str, object]:
    return {
        "id": face_id(face.pixels),
        "image": encode(face.pixels),
        "label": face.label,
        "votes": face.votes,
        "split": face.split,
        "subject": face.subject,
        "source": source,
        "name": face.name,
        "attributes": json.dumps(dict(face.attributes), sort_keys=True),
    }


def _flush(writer: pq.ParquetWriter, rows: list[dict[str, object]], least: int = 1) -> bool:
    """Write the rows where there are at least so many."""
    if len(rows) < least:
        return False
    writer.write_table(pa.Table.from_pylist(rows, schema=writer.schema), row_group_size=ROW_GROUP)
    rows.clear()
    return True


def open_table(path: Path) -> pq.ParquetFile:
    """Raises DataError where `path` is not a whole Parquet file with our metadata."""
    try:
        table = pq.ParquetFile(path, page_checksum_verification=True)
        metadata = table.schema_arrow.metadata or {}
        if b"lldif" in metadata:
            json.loads(metadata[b"lldif"])["classes"]
    except DAMAGE as error:
        raise DataError(f"{path}: not a readable table ({first_line(error)}); make it again") from None
    if b"lldif" not in metadata:
        raise DataError(f"{path}: not a table of this pipeline: its schema lacks the key 'lldif'")
    return table


def notes(table: pq.ParquetFile) -> dict[str, Any]:
    return json.loads(table.schema_arrow.metadata[b"lldif"])


def batches(path: Path, columns: list[str]) -> Iterator[dict[str, list[Any]]]:
    """Row groups of a table as columns of Python values. Raises DataError where it cannot be read."""
    table = open_table(path)
    for group in range(table.num_row_groups):
        try:
            rows = table.read_row_group(group, columns=columns)
            values = {name: rows[name].to_pylist() for name in columns}
        except DAMAGE as error:
            raise DataError(f"{path}: damaged in row group {group} ({first_line(error)}); make it again") from None
        if any(rows[name].null_count for name in columns):
            raise DataError(f"{path}: damaged in row group {group} (a value is missing); make it again")
        yield values


def class_counts(path: Path) -> dict[str, dict[str, int]]:
    """{split: {class: faces}}, zeros included. Raises DataError where the table cannot be read."""
    classes = notes(open_table(path))["classes"]
    counts = {split: dict.fromkeys(classes, 0) for split in SPLITS}
    for batch in batches(path, ["label", "split"]):
        for label, split in zip(batch["label"], batch["split"], strict=True):
            counts[split][classes[label]] += 1
    return counts


def read_split(path: Path, split: str) -> Faces:
    """The faces of one split. Raises DataError where the table cannot be read."""
    ids: list[str] = []
    images: list[np.ndarray] = []
    labels: list[int] = []
    votes: list[np.ndarray] = []
    for batch in batches(path, ["id", "image", "label", "votes", "split"]):
        for row, where in enumerate(batch["split"]):
            if where == split:
                ids.append(str(batch["id"][row]))
                labels.append(int(batch["label"][row]))
                try:
                    images.append(decode(batch["image"][row]))
                    votes.append(np.array(batch["votes"][row], dtype=np.float32))
                except DAMAGE as error:
                    raise DataError(f"{path}: face {ids[-1]} is damaged ({first_line(error)}); make it again") from None
    if not images:
        raise DataError(f"{path}: no face in split {split}; make it again")
    classes = tuple(notes(open_table(path))["classes"])
    return Faces(ids, np.stack(images), np.array(labels, dtype=np.int64), np.stack(votes), classes)


def read_known(path: Path, split: str) -> tuple[list[str], list[dict[str, str]]]:
    """Subjects and attributes of the faces of one split, in order. Raises DataError where the table cannot be read."""
    subjects: list[str] = []
    attributes: list[dict[str, str]] = []
    for batch in batches(path, ["split", "subject", "attributes"]):
        for where, subject, own in zip(batch["split"], batch["subject"], batch["attributes"], strict=True):
            if where == split:
                subjects.append(str(subject))
                try:
                    attributes.append(json.loads(own))
                except ValueError as error:
                    raise DataError(f"{path}: attributes are not JSON ({first_line(error)}); make it again") from None
    return subjects, attributes
