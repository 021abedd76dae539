"""evaluate: candidate and baseline on valid, at every exposure. The test split is the gate's alone."""

import json
from collections.abc import Iterator
from pathlib import Path

from components import atomic
from components.config import Config
from components.data.table import DarkFaces, read_dark
from components.learning import evaluation, inference
from components.learning.compute import Compute, prepare
from components.learning.metrics import majority_share
from components.records import Report, Score

MODELS = {"candidate": "lldif.safetensors", "baseline": "baseline.safetensors"}


class Params(Config):
    compute: Compute


def run(params: Params, raw: Path, folder: Path, state: Path) -> Iterator[Report]:
    """dark_valid.parquet, both models -> predictions.parquet, scores.json, darkness.json (the plot's points)."""
    prepare(params.compute)
    faces = read_dark(folder / "dark_valid.parquet")
    predictions: dict[str, evaluation.Predictions] = {}
    for step, (model, file) in enumerate(MODELS.items(), start=1):
        predictions[model] = evaluation.of(faces, inference.predict(inference.load(folder / file)[0], faces.images))
        yield Report("evaluate", step, len(MODELS), _accuracies(predictions[model]))
    evaluation.write(folder / "predictions.parquet", predictions)
    scored = {model: evaluation.scores(rows) for model, rows in predictions.items()}
    _write_json(folder / "scores.json", _metrics(scored, faces))
    _write_json(folder / "darkness.json", _points(predictions))


def _accuracies(predictions: evaluation.Predictions) -> dict[str, float]:
    return {f"accuracy_{one.exposure}": one.accuracy for one in evaluation.scores(predictions)}


def _metrics(scored: dict[str, list[Score]], faces: DarkFaces) -> dict[str, object]:
    metrics: dict[str, object] = {model: evaluation.summary(scores) for model, scores in scored.items()}
    return metrics | {"majority": round(majority_share(faces.labels), 4)}


def _points(predictions: dict[str, evaluation.Predictions]) -> list[dict[str, object]]:
    rungs = sorted({float(rung) for rows in predictions.values() for rung in rows.exposures}, reverse=True)
    return [
        {"model": model, "exposure": rung, "accuracy": round(one.accuracy, 4)}
        for model, rows in predictions.items()
        for rung, one in zip(rungs, evaluation.scores(rows), strict=True)
    ]


def _write_json(path: Path, value: object) -> None:
    atomic.write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")
