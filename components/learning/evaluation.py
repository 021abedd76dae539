"""Prediction tables: one row per face and exposure, and the scores read off them."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.atomic import replacing
from components.learning.bootstrap import (
    Estimate,
    class_estimates,
    estimates,
    mean_estimate,
    paired,
    resample,
)
from components.learning.metrics import score
from components.lowlight.table import DarkFaces
from components.records import CLEAN, Score

FIGURES = tuple(one.name for one in fields(Score) if one.name not in ("exposure", "faces"))
DARK_RUNGS = (0.2, 0.05, 0.02, 0.01)  # the mean over these, as far as a ladder has them, is "mean_dark"
GAMMA = "gamma"  # the name of scores in the darkness of components.lowlight.gamma


@dataclass(frozen=True)
class Predictions:
    """One model's answers, row by row."""

    ids: list[str]  # N
    exposures: np.ndarray  # (N,) float64
    labels: np.ndarray  # (N,)
    votes: np.ndarray  # (N, K) float32, as in the face table
    probabilities: np.ndarray  # (N, K)

    @property
    def predicted(self) -> np.ndarray:
        return self.probabilities.argmax(axis=1)

    def at(self, exposure: float) -> "Predictions":
        here = np.flatnonzero(self.exposures == exposure)
        ids = [self.ids[row] for row in here]
        return Predictions(ids, self.exposures[here], self.labels[here], self.votes[here], self.probabilities[here])


def of(faces: DarkFaces, probabilities: np.ndarray) -> Predictions:
    return Predictions(faces.ids, faces.exposures, faces.labels, faces.votes, probabilities)


def write(path: Path, models: dict[str, Predictions]) -> None:
    """All models' predictions in one Parquet file: model, id, exposure, label, votes, probabilities."""
    tables = [
        pa.table(
            {
                "model": pa.array([name] * len(p.ids)),
                "id": pa.array(p.ids),
                "exposure": pa.array(p.exposures),
                "label": pa.array(p.labels.astype(np.int8)),
                "votes": pa.array(list(p.votes), pa.list_(pa.float32())),
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
        np.array(table["votes"].to_pylist(), dtype=np.float32),
        np.array(table["probabilities"].to_pylist(), dtype=np.float32),
    )


def exposure_name(exposure: float) -> str:
    return "clean" if exposure == CLEAN else f"{exposure:g}"


def rungs(predictions: Predictions) -> list[tuple[str, Predictions]]:
    """The rows at each exposure under its name, brightest first."""
    exposures = sorted(set(predictions.exposures.tolist()), reverse=True)
    return [(exposure_name(exposure), predictions.at(exposure)) for exposure in exposures]


def score_of(name: str, part: Predictions) -> Score:
    """All rows as one score. Raises DataError where probabilities are none."""
    return score(name, part.probabilities, part.labels, part.votes)


def scores(predictions: Predictions) -> list[Score]:
    """One score per exposure, brightest first. Raises DataError where probabilities are none."""
    return [score_of(name, part) for name, part in rungs(predictions)]


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
class Resampling:
    """How intervals are made: from the same resamples at every exposure, so that they can be set against each other."""

    weights: np.ndarray  # (R, N): how often each of N faces is in each resample
    confidence: float

    @classmethod
    def of(
        cls, ids: Sequence[str], subjects: Sequence[str], resamples: int, confidence: float, seed: int
    ) -> "Resampling":
        """Whole subjects, where they are known; else faces."""
        groups = np.array([subject or face for subject, face in zip(subjects, ids, strict=True)])
        return cls(resample(groups, resamples, seed), confidence)


def compare(
    one: Sequence[Predictions], other: Sequence[Predictions], exposures: Sequence[float], how: Resampling
) -> dict[str, Estimate]:
    """Figures of `one` less those of `other`, each the mean over its models (seeds) and over `exposures`; none
    WITHOUT_INTERVAL.
    """
    parts = [model.at(exposure) for model in (*one, *other) for exposure in exposures]
    assert all(part.ids == parts[0].ids for part in parts)
    tables, ours = [part.probabilities for part in parts], len(one) * len(exposures)
    return paired(tables[:ours], tables[ours:], parts[0].labels, how.weights, how.confidence, votes=parts[0].votes)


def trend(models: Sequence[Predictions], how: Resampling) -> list[dict[str, Any]]:
    """Whether more light ever costs accuracy: each exposure of the ladder against the next darker one.

    Rows {"brighter", "darker", "difference", "low", "high", "verdict"}: the accuracy gained by the light, mean over the
    models (seeds) asked about the same faces. "broken": the whole interval lies below zero.
    """
    ladder = rungs(models[0])
    right = {name: np.mean([_right(model, part) for model in models], axis=0) for name, part in ladder}
    rows = []
    for (brighter, _), (darker, _) in itertools.pairwise(ladder):
        estimate = mean_estimate(right[brighter] - right[darker], how.weights, how.confidence)
        verdict = "broken" if estimate.high < 0 else "holds"
        rows.append({"brighter": brighter, "darker": darker, "verdict": verdict, **rounded(estimate, "difference")})
    return rows


def _right(model: Predictions, rung: Predictions) -> np.ndarray:
    """(N,) 1 where the model is right about the faces of a rung, else 0."""
    part = model.at(rung.exposures[0])
    assert part.ids == rung.ids
    return (part.predicted == part.labels).astype(float)


def rounded(one: Estimate, name: str = "value") -> dict[str, float]:
    # plus zero: a figure is never -0
    return {key: round(value, 4) + 0.0 for key, value in ((name, one.value), ("low", one.low), ("high", one.high))}


def slices(
    parts: Iterable[tuple[str, Predictions]],
    attributes: Sequence[dict[str, str]],
    classes: tuple[str, ...],
    how: Resampling,
) -> Iterator[dict[str, Any]]:
    """Figures with their intervals, so none WITHOUT_INTERVAL: of all faces, each class, each value of each attribute.

    `attributes` are of the N faces, in order. Rows {"exposure", "slice", "metric", "faces", "value", "low", "high"},
    figures rounded to four places.
    """
    chosen = _by_attribute(attributes)
    for name, rows in parts:
        labels, right = rows.labels, (rows.predicted == rows.labels).astype(float)

        def row(part: str, metric: str, faces: int, one: Estimate, name: str = name) -> dict[str, Any]:
            return {"exposure": name, "slice": part, "metric": metric, "faces": faces, **rounded(one)}

        for metric, one in estimates(rows.probabilities, labels, how.weights, how.confidence, rows.votes).items():
            yield row("all", metric, len(labels), one)
        for label, one in class_estimates(rows.probabilities, labels, how.weights, how.confidence).items():
            yield row(f"class={classes[label]}", "recall", int((labels == label).sum()), one)
        for part, here in chosen.items():
            yield row(part, "accuracy", len(here), mean_estimate(right[here], how.weights[:, here], how.confidence))


def _by_attribute(attributes: Sequence[dict[str, str]]) -> dict[str, np.ndarray]:
    """The rows that have each value of each attribute, in the order of "name=value"; numbers as numbers."""
    found: dict[tuple[str, float, str], list[int]] = {}
    for index, own in enumerate(attributes):
        for name, value in own.items():
            number = float(value) if value.isdecimal() else 0.0
            found.setdefault((name, number, value), []).append(index)
    return {f"{name}={value}": np.array(rows) for (name, _, value), rows in sorted(found.items())}
