"""evaluate: candidate and baseline on valid, at every exposure. The test split is the gate's alone."""

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from components import atomic
from components.config import Config
from components.data.table import DarkFaces, read_dark, read_known
from components.learning import evaluation, inference
from components.learning.compute import Compute, prepare
from components.learning.evaluation import Group, Predictions
from components.learning.metrics import majority_share
from components.records import Report

MODELS = {"candidate": "lldif.safetensors", "baseline": "baseline.safetensors"}


class Evaluation(Config):
    """Intervals by the bootstrap."""

    resamples: int = Field(ge=100, le=100_000)
    confidence: float = Field(gt=0.5, lt=1)
    confusion_at: float = Field(gt=0, le=1)  # the exposure whose confusion is plotted


class Params(Config):
    compute: Compute
    evaluation: Evaluation


def run(params: Params, raw: Path, folder: Path, state: Path) -> Iterator[Report]:
    """faces.parquet, dark_valid.parquet, both models -> predictions.parquet, scores.json, slices.json, and the points
    of two plots: darkness.json, confusion.json.
    """
    prepare(params.compute)
    faces = read_dark(folder / "dark_valid.parquet")
    predictions: dict[str, Predictions] = {}
    scores: dict[str, object] = {"majority": round(majority_share(faces.labels), 4)}
    for step, (name, file) in enumerate(MODELS.items(), start=1):
        model = inference.load(folder / file)
        predictions[name] = evaluation.of(faces, inference.predict(model, faces.images))
        scored = evaluation.scores(predictions[name])
        scores[name] = {**evaluation.summary(scored), "temperature": model.temperature}
        accuracies = {f"accuracy_{one.exposure}": one.accuracy for one in scored}
        yield Report("evaluate", step, len(MODELS) + 1, accuracies)
    evaluation.write(folder / "predictions.parquet", predictions)
    _write_json(folder / "scores.json", scores)
    _write_json(folder / "slices.json", _slices(params, folder, faces, predictions))
    _write_json(folder / "darkness.json", _points(predictions))
    _write_json(
        folder / "confusion.json", _pairs(predictions["candidate"], params.evaluation.confusion_at, faces.classes)
    )
    yield Report("evaluate", len(MODELS) + 1, len(MODELS) + 1)


def _slices(
    params: Params, folder: Path, faces: DarkFaces, predictions: dict[str, Predictions]
) -> list[dict[str, object]]:
    subjects, attributes = read_known(folder / "faces.parquet", "valid")
    rungs = len(faces.ids) // len(subjects)  # the table holds all faces at one exposure, then all at the next
    known = Group(subjects * rungs, attributes * rungs)
    wants = params.evaluation
    return [
        {"model": model, **row}
        for model, rows in predictions.items()
        for row in evaluation.slices(rows, known, faces.classes, wants.resamples, wants.confidence, params.compute.seed)
    ]


def _points(predictions: dict[str, Predictions]) -> list[dict[str, object]]:
    rungs = sorted({float(rung) for rows in predictions.values() for rung in rows.exposures}, reverse=True)
    return [
        {"model": model, "exposure": rung, "accuracy": round(one.accuracy, 4)}
        for model, rows in predictions.items()
        for rung, one in zip(rungs, evaluation.scores(rows), strict=True)
    ]


def _pairs(predictions: Predictions, exposure: float, classes: tuple[str, ...]) -> list[dict[str, str]]:
    here = predictions.exposures == exposure
    pairs = zip(predictions.labels[here], predictions.predicted[here], strict=True)
    return [{"actual": classes[label], "predicted": classes[answer]} for label, answer in pairs]


def _write_json(path: Path, value: object) -> None:
    atomic.write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")
