"""Prediction tables: one row per face and exposure, and the scores read off them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.atomic import replacing
from components.data.table import CLEAN, DarkFaces
from components.learning.metrics import score
from components.records import Score

DARK_RUNGS = (0.2, 0.05, 0.02, 0.01)  # the mean over these is the one number "mean_dark"


@dataclass(frozen=True)
class Predictions:
    """One model's answers, row by row."""

    ids: list[str]  # N
    exposures: np.ndarray  # (N,) float64
    labels: np.ndarray  # (N,)
    probabilities: np.ndarray  # (N, K)

    @property
    def predicted(self) -> np.ndarray:
        return self.probabilities.argmax(axis=1)


def of(faces: DarkFaces, probabilities: np.ndarray) -> Predictions:
    return Predictions(faces.ids, faces.exposures, faces.labels, probabilities)


def write(path: Path, models: dict[str, Predictions]) -> None:
    """All models' predictions in one Parquet file: model, id, exposure, label, probabilities."""
    tables = [
        pa.table(
            {
                "model": pa.array([name] * len(p.ids)),
                "id": pa.array(p.ids),
                "exposure": pa.array(p.exposures),
                "label": pa.array(p.labels.astype(np.int8)),
                "probabilities": pa.array(list(p.probabilities), pa.list_(pa.float32())),
            }
        )
        for name, p in models.items()
    ]
    with replacing(path) as temporary:
        pq.write_table(pa.concat_tables(tables), temporary, compression="zstd", row_group_size=2048)


def read(path: Path, model: str) -> Predictions:
    """One model's rows of a file made by `write`."""
    table = pq.read_table(path, filters=[("model", "=", model)])
    return Predictions(
        table["id"].to_pylist(),
        table["exposure"].to_numpy(),
        table["label"].to_numpy().astype(np.int64),
        np.array(table["probabilities"].to_pylist(), dtype=np.float32),
    )


def exposure_name(exposure: float) -> str:
    return "clean" if exposure == CLEAN else f"{exposure:g}"


def scores(predictions: Predictions) -> list[Score]:
    """One score per exposure, brightest first."""
    rungs = sorted(set(predictions.exposures.tolist()), reverse=True)
    rows = [(rung, predictions.exposures == rung) for rung in rungs]
    return [score(exposure_name(r), predictions.predicted[here], predictions.labels[here]) for r, here in rows]


def summary(scored: list[Score]) -> dict[str, dict[str, float]]:
    """Scores as metrics: {"accuracy": {"clean": .., "0.2": .., "mean_dark": ..}, "mean_class_accuracy": {..}}."""
    dark = {exposure_name(rung) for rung in DARK_RUNGS}
    result: dict[str, dict[str, float]] = {}
    for metric in ("accuracy", "mean_class_accuracy"):
        values = {one.exposure: round(float(getattr(one, metric)), 4) for one in scored}
        over_dark = [value for name, value in values.items() if name in dark]
        result[metric] = values | ({"mean_dark": round(float(np.mean(over_dark)), 4)} if over_dark else {})
    return result
