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
    """raw -> faces.parquet, rejects.parquet, and in faces.json how many faces each split and each class got."""
    config = params.ingest
    total = sources.expected_faces(config, raw)
    faces = sources.read(config, raw)
    classes, limit, rejects = sources.classes(config), sources.train_limit(config), sources.max_reject_share(config)
    counts: dict[str, int] = {}
    for counts in table.write(folder / "faces.parquet", faces, classes, config.source, limit, rejects):
        yield Report("ingest", min(sum(counts.values()), total - 1), total, counts)
    yield Report("ingest", total, total, counts)
    by_class = {"classes": table.class_counts(folder / "faces.parquet")}
    atomic.write_text(folder / "faces.json", json.dumps(counts | by_class, indent=2, sort_keys=True) + "\n")
