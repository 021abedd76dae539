"""Likelihood of the votes apart from calibration: each run's temperature is fitted once more, to the votes.

A model is calibrated for the majority's word, which is not what votes ask for, and how far the two lie apart differs
from method to method. The temperature of one half of the faces is fitted on the other half.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from benchmarks.comparison.runs import ANSWERS, PREDICTIONS, Line, judgement
from components.learning import evaluation
from components.learning.calibration import fit_temperature
from components.learning.evaluation import Predictions
from components.learning.metrics import LEAST


def refitted(predictions: Predictions) -> Predictions:
    """All exposures of a face are in one half."""
    logits = np.log(np.maximum(predictions.probabilities, LEAST))
    half = np.array([zlib.crc32(face.encode()) % 2 for face in predictions.ids])
    temperatures = np.array([fit_temperature(logits[half != one], predictions.votes[half != one]) for one in (0, 1)])
    return replace(predictions, probabilities=softmax(logits / temperatures[half][:, None], axis=1))


def answers(folder: Path) -> Predictions:
    """Those of a run, refitted."""
    return refitted(evaluation.read(folder / PREDICTIONS, ANSWERS))


def rescored(runs: Sequence[Line], root: Path, read: Callable[[Path], Predictions]) -> list[dict[str, Any]]:
    """The scores of answers as `read` reads them, of the runs that left theirs under `root`."""
    folders = [judgement(root, line) for line in runs]
    found = [evaluation.rungs(read(folder)) for folder in folders if (folder / PREDICTIONS).exists()]
    return [{"scores": [asdict(evaluation.score_of(name, part)) for name, part in rungs]} for rungs in found]
