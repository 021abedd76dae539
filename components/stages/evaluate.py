"""evaluate: candidate and baseline on valid, at every exposure. The test split is the gate's alone."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from components import atomic
from components.config import Config
from components.data.table import Faces, read_known, read_split
from components.learning import evaluation, inference, probes
from components.learning.compute import Compute, device, prepare
from components.learning.evaluation import GAMMA, Predictions, Resampling
from components.learning.inference import Model
from components.learning.metrics import majority_share, votes_entropy
from components.lowlight.table import DarkFaces, read_dark
from components.model.lldif import LLDif, StageOne
from components.records import DataError, Report, Score

MODELS = {"candidate": "lldif.safetensors", "baseline": "baseline.safetensors"}


class Evaluation(Config):
    """Intervals by the bootstrap."""

    resamples: int = Field(ge=100, le=10_000)
    confidence: float = Field(gt=0.5, lt=1)
    confusion_at: float = Field(gt=0, le=1)  # the rung nearest to it has its confusion plotted and Z probed


class Params(Config):
    compute: Compute
    evaluation: Evaluation


@dataclass(frozen=True)
class Answers:
    """One model's, on the ladder and in the other darkness."""

    ladder: Predictions
    gamma: Predictions

    def parts(self) -> list[tuple[str, Predictions]]:
        return [*evaluation.rungs(self.ladder), (GAMMA, self.gamma)]


def run(params: Params, raw: Path, folder: Path, state: Path) -> Iterator[Report]:
    """faces, dark_valid and gamma_valid.parquet, both models and the candidate's stage 1 -> predictions.parquet,
    scores.json, slices.json, probes.json, and the points of two plots: darkness.json, confusion.json.

    Valid is also what each model's temperature was fitted on: one number, which flatters all alike. Raises DataError
    where a model answers with what is no probability.
    """
    prepare(params.compute)
    steps = len(MODELS) + 2
    dark, gamma = read_dark(folder / "dark_valid.parquet"), read_dark(folder / "gamma_valid.parquet")
    valid = read_split(folder / "faces.parquet", "valid")
    subjects, attributes = read_known(folder / "faces.parquet", "valid")
    wants = params.evaluation
    rung = dark.rung(wants.confusion_at)
    how = Resampling.of(valid.ids, subjects, wants.resamples, wants.confidence, params.compute.seed)
    models = {name: _ready(folder / file) for name, file in MODELS.items()}
    answers: dict[str, Answers] = {}
    scores: dict[str, object] = {
        "majority": round(majority_share(valid.labels), 4),
        "votes_entropy": round(votes_entropy(valid.votes), 4),
    }
    for step, (name, model) in enumerate(models.items(), start=1):
        answers[name] = Answers(
            *(evaluation.of(faces, inference.predict(model, faces.images)) for faces in (dark, gamma))
        )
        scored = _scored(name, answers[name])
        scores[name] = {**evaluation.summary(scored), "temperature": model.calibration.temperature}
        yield Report("evaluate", step, steps, {f"accuracy_{one.exposure}": one.accuracy for one in scored})
    scores["trend"] = {name: evaluation.trend([given.ladder], how) for name, given in answers.items()}
    rows = [
        {"model": name, **row}
        for name, given in answers.items()
        for row in evaluation.slices(given.parts(), attributes, dark.classes, how)
    ]
    teacher = _ready(folder / "teacher.safetensors")
    probed = probed_at(rung, models["candidate"], teacher, valid, dark, how, params.compute.seed)
    yield Report("evaluate", steps - 1, steps)
    tables = {name: given.ladder for name, given in answers.items()}
    evaluation.write(folder / "predictions.parquet", tables)
    _write_json(folder / "scores.json", scores)
    _write_json(folder / "slices.json", rows)
    _write_json(folder / "probes.json", probed)
    _write_json(folder / "darkness.json", _points(tables))
    _write_json(folder / "confusion.json", _pairs(tables["candidate"], rung, dark.classes))
    yield Report("evaluate", steps, steps)


def _ready(path: Path) -> Model:
    """The model of a file, on the device that answers."""
    model = inference.load(path)
    model.network.to(device())
    return model


def _scored(name: str, answers: Answers) -> list[Score]:
    try:
        return [evaluation.score_of(part, given) for part, given in answers.parts()]
    except DataError as error:
        raise DataError(f"{MODELS[name]}: {error}; train it again") from None


def probed_at(
    rung: float, candidate: Model, stage_one: Model, faces: Faces, dark: DarkFaces, how: Resampling, seed: int
) -> dict[str, object]:
    """What Z is worth at a rung of `dark`; `faces` are the same in full light, `stage_one` taught the candidate."""
    assert isinstance(stage_one.network, StageOne)
    assert isinstance(candidate.network, LLDif)
    asked = probes.Probed(dark.at(rung).images, faces.images, faces.labels, faces.votes)
    found = probes.probe(candidate.network, candidate.calibration, stage_one.network, asked, how, seed)
    return {"exposure": evaluation.exposure_name(rung), **found}


def _points(tables: dict[str, Predictions]) -> list[dict[str, object]]:
    return [
        {"model": model, "exposure": float(part.exposures[0]), "accuracy": round(one.accuracy, 4)}
        for model, rows in tables.items()
        for (_, part), one in zip(evaluation.rungs(rows), evaluation.scores(rows), strict=True)
    ]


def _pairs(predictions: Predictions, exposure: float, classes: tuple[str, ...]) -> list[dict[str, str]]:
    here = predictions.exposures == exposure
    pairs = zip(predictions.labels[here], predictions.predicted[here], strict=True)
    return [{"actual": classes[label], "predicted": classes[answer]} for label, answer in pairs]


def _write_json(path: Path, value: object) -> None:
    atomic.write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")
