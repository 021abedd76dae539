"""Figures of merit. Every one follows from sums over faces, so a bootstrap is one product of matrices."""

from dataclasses import dataclass

import numpy as np

from components.records import Score

BINS = 15  # of equal width, for the calibration error (Guo et al. ICML 2017)


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Share of right answers; both (N,)."""
    return float(np.mean(predicted == labels))


def majority_share(labels: np.ndarray) -> float:
    """The accuracy of always naming the commonest class."""
    return float(np.bincount(labels).max() / len(labels))


@dataclass(frozen=True)
class Sums:
    """What all figures follow from, for each of R weightings of the same faces."""

    confusion: np.ndarray  # (R, K, K): faces by label and answer
    squares: np.ndarray  # (R,): squared distances between probabilities and the right answer
    bins: np.ndarray  # (R, BINS): confidence less right answers, by confidence


def sums(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Sums:
    """Of probabilities (N, K) and labels (N,), with each row of `weights` (R, N) counting the faces anew."""
    faces, classes = probabilities.shape
    predicted, every = probabilities.argmax(axis=1), np.arange(faces)
    right = np.eye(classes)[labels]
    pairs = np.zeros((faces, classes * classes))
    pairs[every, labels * classes + predicted] = 1
    squares = ((probabilities - right) ** 2).sum(axis=1)
    confidence = probabilities[every, predicted]
    bins = np.zeros((faces, BINS))
    bins[every, np.minimum((confidence * BINS).astype(int), BINS - 1)] = confidence - (predicted == labels)
    total = weights.astype(np.float64) @ np.column_stack([pairs, squares, bins])
    confusion, squares, bins = np.split(total, [classes * classes, classes * classes + 1], axis=1)
    return Sums(confusion.reshape(-1, classes, classes), squares[:, 0], bins)


def figures(of: Sums) -> dict[str, np.ndarray]:
    """Each figure for each of the R weightings (R,).

    accuracy; mean_class_accuracy and macro_f1 over the classes present; brier, the mean squared distance (0 to 2);
    calibration_error, the mean distance between confidence and accuracy over bins of confidence.
    """
    right = np.einsum("rkk->rk", of.confusion)
    labelled, answered = of.confusion.sum(axis=2), of.confusion.sum(axis=1)
    faces = labelled.sum(axis=1)
    present = labelled > 0
    f1 = 2 * right / np.where(present, labelled + answered, 1)
    return {
        "accuracy": right.sum(axis=1) / faces,
        "mean_class_accuracy": _over(present, right / np.where(present, labelled, 1)),
        "macro_f1": _over(present, f1),
        "brier": of.squares / faces,
        "calibration_error": np.abs(of.bins).sum(axis=1) / faces,
    }


def recalls(of: Sums) -> np.ndarray:
    """(R, K): the share of each class that is recognised; not a number where a weighting lacks the class."""
    labelled = of.confusion.sum(axis=2)
    right = np.einsum("rkk->rk", of.confusion)
    return np.where(labelled > 0, right / np.where(labelled > 0, labelled, 1), np.nan)


def _over(present: np.ndarray, values: np.ndarray) -> np.ndarray:
    return (values * present).sum(axis=1) / present.sum(axis=1)


def score(exposure: str, probabilities: np.ndarray, labels: np.ndarray) -> Score:
    whole = figures(sums(probabilities, labels, np.ones((1, len(labels)))))
    return Score(exposure, len(labels), **{name: float(value[0]) for name, value in whole.items()})
