"""The tables of dark faces: Parquet, a row per face and exposure: at every rung of the ladder, or in another darkness.

Columns: id, exposure, label, votes, image (PNG bytes). The classes stand in the schema's metadata, as in a face table.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.atomic import replacing
from components.data.images import decode, encode
from components.data.table import DAMAGE, ROW_GROUP, Faces, batches, notes, open_table
from components.records import DataError, first_line

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("exposure", pa.float64()),
        ("label", pa.int8()),
        ("votes", pa.list_(pa.float32())),
        ("image", pa.binary()),
    ]
)


@dataclass(frozen=True)
class DarkFaces:
    """Faces of one split, each at every rung of the ladder of exposures, or each once in another darkness."""

    ids: list[str]  # N
    exposures: np.ndarray  # (N,) float64; not a number where the darkness is not the camera's
    images: np.ndarray  # (N, H, W, C) uint8
    labels: np.ndarray  # (N,) int64
    votes: np.ndarray  # (N, K) float32, as in Faces
    classes: tuple[str, ...]

    def at(self, exposure: float) -> "DarkFaces":
        return self.where(self.exposures == exposure)

    def rung(self, exposure: float) -> float:
        """The exposure of the ladder nearest to this one."""
        rungs = np.unique(self.exposures)
        return float(rungs[np.argmin(abs(rungs - exposure))])

    def where(self, chosen: np.ndarray) -> "DarkFaces":
        """The rows that `chosen` (N,) bool names."""
        here = np.flatnonzero(chosen)
        ids = [self.ids[index] for index in here]
        votes = self.votes[here]
        return DarkFaces(ids, self.exposures[here], self.images[here], self.labels[here], votes, self.classes)


def write_dark(path: Path, parts: Iterable[tuple[Faces, float, np.ndarray]], classes: tuple[str, ...]) -> None:
    """Stream (faces, exposure, darkened images (N, H, W, C)) into one table."""
    schema = SCHEMA.with_metadata({"lldif": json.dumps({"classes": classes}, sort_keys=True)})
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(
            temporary, schema, compression="zstd", write_page_checksum=True, write_statistics=["exposure"]
        ) as writer,
    ):
        for faces, exposure, images in parts:
            encoded = [encode(image) for image in images]
            columns = [faces.ids, [exposure] * len(images), faces.labels, list(faces.votes), encoded]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=ROW_GROUP)


def read_dark(path: Path) -> DarkFaces:
    """Raises DataError where the table cannot be read."""
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for batch in batches(path, SCHEMA.names):
        for name, values in batch.items():
            columns[name] += values
    classes = tuple(notes(open_table(path))["classes"])
    try:
        return DarkFaces(
            [str(identity) for identity in columns["id"]],
            np.array(columns["exposure"], dtype=np.float64),
            np.stack([decode(image) for image in columns["image"]]),
            np.array(columns["label"], dtype=np.int64),
            np.array(columns["votes"], dtype=np.float32),
            classes,
        )
    except DAMAGE as error:
        raise DataError(f"{path}: a face is damaged ({first_line(error)}); make it again") from None
