"""Where a model comes from, as tags of its version, a sample of its answers that it must be able to repeat, and the
faces by which it is judged."""

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.data.table import batches
from components.records import DataError, file_sha256
from flows import project
from flows.ledger import sha256_of
from flows.project import ROOT, Failed

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
    key = ("id", "exposure")  # a face is in the table once per exposure
    places = {row: place for place, row in enumerate(zip(*(answers[name].to_pylist() for name in key), strict=True))}
    rows = [places[row] for row in zip(*(shown[name].to_pylist() for name in key), strict=True)]
    sample = pa.table({"image": shown["image"], "probabilities": answers["probabilities"].take(rows)})
    pq.write_table(sample, out, compression="zstd")
    return out


@dataclass(frozen=True)
class HeldOut:
    """The test set that gates look at, known without opening it."""

    sha256: str  # of runs/<experiment>/dark_test.parquet
    faces_sha256: str  # of the ids of its faces, whatever light they are shown in
    faces: int
    persons: int  # a face of nobody known is one of its own

    @property
    def digests(self) -> dict[str, str]:
        """What an entry of the ledger keeps."""
        return {"dark_test": self.sha256, "test_faces": self.faces_sha256}


def held_out(experiment: str) -> HeldOut:
    """Raises Failed where the test set is missing, or the table of its faces is or cannot be read."""
    runs, ids, persons = project.runs_folder(experiment), list[str](), set[str]()
    sha256 = project.content_sha256(runs / "dark_test.parquet")
    try:
        for batch in batches(runs / "faces.parquet", ["id", "split", "subject"]):
            for face, split, subject in zip(*batch.values(), strict=True):
                if split == "test":
                    ids.append(face)
                    persons.add(subject or face)
    except DataError as error:
        raise Failed(str(error).replace(f"{ROOT}/", ""), "data") from None
    return HeldOut(sha256, sha256_of(sorted(ids)), len(ids), len(persons))
