"""Prediction tables: one row per face and exposure, and the scores read off them."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.atomic import replacing
from components.data.table import CLEAN, DarkFaces
from components.learning.bootstrap import Estimate, class_estimates, estimates, resample
from components.learning.metrics import score
from components.records import Score

FIGURES = tuple(one.name for one in fields(Score) if one.name not in ("exposure", "faces"))
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
    return [score(exposure_name(r), predictions.probabilities[here], predictions.labels[here]) for r, here in rows]


def summary(scored: list[Score]) -> dict[str, dict[str, float]]:
    """Scores as metrics: {"accuracy": {"clean": .., "0.2": .., "mean_dark": ..}, "macro_f1": {..}, ..}."""
    dark = {exposure_name(rung) for rung in DARK_RUNGS}
    result: dict[str, dict[str, float]] = {}
    for metric in FIGURES:
        values = {one.exposure: round(float(getattr(one, metric)), 4) for one in scored}
        over_dark = [value for name, value in values.items() if name in dark]
        result[metric] = values | ({"mean_dark": round(float(np.mean(over_dark)), 4)} if over_dark else {})
    return result


@dataclass(frozen=True)
class Group:
    """What is known of the faces beside their pictures, row by row as in a table of dark faces."""

    subjects: list[str]  # N; empty where the person is not known
    attributes: list[dict[str, str]]  # N


def slices(
    predictions: Predictions, known: Group, classes: tuple[str, ...], resamples: int, confidence: float, seed: int
) -> Iterator[dict[str, Any]]:
    """Every figure with its interval: of all faces, of each class, of each value of each attribute, by exposure.

    Rows {"exposure", "slice", "metric", "faces", "value", "low", "high"}, figures rounded to four places.
    """
    for rung in sorted(set(predictions.exposures.tolist()), reverse=True):
        here = np.flatnonzero(predictions.exposures == rung)
        chances, labels = predictions.probabilities[here], predictions.labels[here]
        groups = np.array([known.subjects[row] or f"face {row}" for row in here])
        weights = resample(groups, resamples, seed)

        def row(part: str, metric: str, faces: int, one: Estimate, rung: float = rung) -> dict[str, Any]:
            figures = {"value": round(one.value, 4), "low": round(one.low, 4), "high": round(one.high, 4)}
            return {"exposure": exposure_name(rung), "slice": part, "metric": metric, "faces": faces, **figures}

        for metric, one in estimates(chances, labels, weights, confidence).items():
            yield row("all", metric, len(here), one)
        for label, one in class_estimates(chances, labels, weights, confidence).items():
            yield row(f"class={classes[label]}", "recall", int((labels == label).sum()), one)
        for part, chosen in _by_attribute([known.attributes[index] for index in here]).items():
            one = estimates(chances[chosen], labels[chosen], weights[:, chosen], confidence)["accuracy"]
            yield row(part, "accuracy", len(chosen), one)


def _by_attribute(attributes: list[dict[str, str]]) -> dict[str, np.ndarray]:
    """The rows that have each value of each attribute, in the order of "name=value"; numbers as numbers."""
    found: dict[tuple[str, float, str], list[int]] = {}
    for index, own in enumerate(attributes):
        for name, value in own.items():
            number = float(value) if value.isdecimal() else 0.0
            found.setdefault((name, number, value), []).append(index)
    return {f"{name}={value}": np.array(rows) for (name, _, value), rows in sorted(found.items())}
