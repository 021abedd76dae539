"""Where a model comes from, as tags of its version, and a sample of its answers that it must be able to repeat."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.records import file_sha256
from flows import project
from flows.ledger import sha256_of

TAGS = (
    "weights_sha256",
    "params_sha256",
    "faces_sha256",
    "dark_valid_sha256",
    "data.source",
    "git.commit",
    "git.dirty",
)
RECORDED_ROWS = 64


def tags(experiment: str) -> dict[str, str]:
    """The lineage of the weights in runs/<experiment>."""
    runs, source = project.runs_folder(experiment), project.provenance()
    params, counts = project.read_params(experiment), json.loads((runs / "faces.json").read_text(encoding="utf-8"))
    return {
        "weights_sha256": file_sha256(runs / "lldif.safetensors"),
        "params_sha256": sha256_of(params),
        "faces_sha256": file_sha256(runs / "faces.parquet"),
        "dark_valid_sha256": file_sha256(runs / "dark_valid.parquet"),
        "data.source": params["ingest"]["source"],
        "data.faces": ", ".join(f"{counts[split]} {split}" for split in ("train", "valid", "test")),
        "git.commit": source.commit,
        "git.dirty": str(source.dirty).lower(),
    }


def record(experiment: str, out: Path) -> Path:
    """A few images of valid with the probabilities that evaluation found for them, as Parquet: image, probabilities."""
    runs = project.runs_folder(experiment)
    images = pq.ParquetFile(runs / "dark_valid.parquet")
    answers = pq.read_table(runs / "predictions.parquet", filters=[("model", "=", "candidate")])
    shown = pa.Table.from_batches([next(images.iter_batches(RECORDED_ROWS))])
    # a face is in the table once per exposure, and per protocol where there are several
    key = [
        name for name in ("id", "exposure", "protocol") if {name} <= set(shown.schema.names) & set(answers.schema.names)
    ]
    places = {row: place for place, row in enumerate(zip(*(answers[name].to_pylist() for name in key), strict=True))}
    rows = [places[row] for row in zip(*(shown[name].to_pylist() for name in key), strict=True)]
    sample = pa.table({"image": shown["image"], "probabilities": answers["probabilities"].take(rows)})
    pq.write_table(sample, out, compression="zstd")
    return out
