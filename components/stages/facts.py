"""What validation judges: small tables of facts about a face table, its splits and its classes.

They are read leniently: a table that was tampered with should fail an expectation, not the reading of it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.data.images import decode
from components.data.table import DAMAGE, SCHEMA, SPLITS
from components.records import DataError, first_line

READ = ("id", "image", "label", "votes", "split", "subject", "name")


def tables(faces: Path, rejects: Path | None, classes: tuple[str, ...]) -> dict[str, pa.Table]:
    """Facts by table: "schema" (a row per column), "faces", "splits" and "classes" (a row per split and class).

    Where a column is missing or of another type, "schema" is all there is. Raises DataError where a file is damaged.
    """
    file = _open(faces)
    schema = _schema(file.schema_arrow)
    if schema["found"] != schema["expected"]:
        return {"schema": schema}
    rows = pa.Table.from_pylist(_with_reach([_fact(row) for row in _rows(file, faces)]))
    return {
        "schema": schema,
        "faces": rows,
        "splits": _splits(rows, _rejected(rejects) if rejects else []),
        "classes": _classes(rows, classes),
    }


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except DAMAGE as error:
        raise DataError(f"{path}: not a readable table ({first_line(error)}); make it again") from None


def _rejected(path: Path) -> list[str]:
    """The split of each reject."""
    try:
        splits: list[str] = _open(path).read(["split"])["split"].to_pylist()
    except DAMAGE as error:
        raise DataError(f"{path}: damaged ({first_line(error)}); make it again") from None
    return splits


def _schema(found: pa.Schema) -> pa.Table:
    names = [*SCHEMA.names, *sorted(set(found.names) - set(SCHEMA.names))]
    return pa.table(
        {
            "column": names,
            "found": [_type(found.field(name).type) if name in found.names else "missing" for name in names],
            "expected": [_type(SCHEMA.field(name).type) if name in SCHEMA.names else "no column" for name in names],
        }
    )


def _type(of: pa.DataType) -> str:
    """Its name, the same for what differs in storage only: other writers choose wide offsets."""
    if pa.types.is_list(of) or pa.types.is_large_list(of):
        return f"list of {_type(of.value_type)}"
    return str(of).removeprefix("large_")


def _rows(file: pq.ParquetFile, path: Path) -> Iterator[dict[str, Any]]:
    try:
        for batch in file.iter_batches(1024, columns=list(READ)):
            yield from batch.to_pylist()
    except DAMAGE as error:
        raise DataError(f"{path}: damaged ({first_line(error)}); make it again") from None


def _fact(row: dict[str, Any]) -> dict[str, Any]:
    pixels = _pixels(row["image"])
    votes = np.array(row["votes"] or [np.nan], dtype=np.float64)
    named = row["label"] if row["label"] is not None else -1
    # of several top votes, the label may be any
    agrees = 0 <= named < len(votes) and votes[named] == votes.max()
    return {
        "id": row["id"],
        "label": row["label"],
        "top_vote": named if agrees else int(np.argmax(votes)),
        "votes": float(votes.sum()),
        "split": row["split"],
        "subject": row["subject"],
        "name": row["name"],
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "channels": pixels.shape[2],
        "brightness": round(float(pixels.mean() / 255), 4) if pixels.size else 0.0,
    }


def _pixels(image: bytes | None) -> np.ndarray:
    """Of a stored image; none at all where it is no image."""
    try:
        return decode(image or b"")
    except (OSError, SyntaxError, ValueError):
        return np.empty((0, 0, 0), np.uint8)


def _with_reach(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In how many splits each row's id, and its subject where known, is met."""
    ids: defaultdict[object, set[str]] = defaultdict(set)
    subjects: defaultdict[object, set[str]] = defaultdict(set)
    for row in rows:
        ids[row["id"]].add(row["split"])
        subjects[row["subject"]].add(row["split"])
    for row in rows:
        row["splits_of_id"] = len(ids[row["id"]])
        row["splits_of_subject"] = len(subjects[row["subject"]]) if row["subject"] else 1
    return rows


def _splits(rows: pa.Table, rejects: list[str]) -> pa.Table:
    faces, rejected = Counter(rows["split"].to_pylist()), Counter(rejects)
    return pa.Table.from_pylist(
        [
            {
                "split": split,
                "faces": faces[split],
                "rejects": rejected[split],
                "reject_share": rejected[split] / max(1, faces[split] + rejected[split]),
            }
            for split in SPLITS
        ]
    )


def _classes(rows: pa.Table, classes: tuple[str, ...]) -> pa.Table:
    faces = Counter(zip(rows["split"].to_pylist(), rows["label"].to_pylist(), strict=True))
    largest = {split: max(1, *(faces[split, label] for label in range(len(classes)))) for split in SPLITS}
    return pa.Table.from_pylist(
        [
            {
                "split": split,
                "class": name,
                "faces": faces[split, label],
                "share_of_largest": faces[split, label] / largest[split],
            }
            for split in SPLITS
            for label, name in enumerate(classes)
        ]
    )
