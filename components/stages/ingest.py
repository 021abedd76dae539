"""ingest: a source becomes the face table."""

import json
from collections.abc import Iterator
from pathlib import Path

from components import atomic
from components.config import Config
from components.data import sources, table
from components.records import Report


class Params(Config):
    ingest: sources.Source


def run(params: Params, raw: Path, folder: Path, state: Path) -> Iterator[Report]:
    """raw -> faces.parquet, and how many faces each split got in faces.json."""
    config = params.ingest
    total = sources.expected_faces(config, raw)
    faces = sources.read(config, raw)
    counts: dict[str, int] = {}
    for counts in table.write(
        folder / "faces.parquet", faces, sources.classes(config), config.source, sources.train_limit(config)
    ):
        yield Report("ingest", min(sum(counts.values()), total - 1), total, counts)
    yield Report("ingest", total, total, counts)
    atomic.write_text(folder / "faces.json", json.dumps(counts, indent=2, sort_keys=True) + "\n")
