"""The metrics that gates may name, over any weighting of the faces."""

from collections.abc import Callable

import numpy as np

from components.gates.evidence import Table
from components.learning.metrics import figures, majority_share, sums


def figure(metric: str, table: Table, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`metric` of `rows` (N,), the mean over their exposures, for each row of `weights` (R, N): (R,).

    Not a number where a weighting has no face. darkness_area weighs exposures by what they span of the logarithm.
    accuracy_above_majority takes the commonest class's share of `rows` as given: no weighting changes it.
    """
    exposures = table.exposures[rows]
    rungs = np.unique(exposures)
    of = METRICS[metric]
    values = np.stack([of(table, rows[exposures == rung], weights[:, exposures == rung]) for rung in rungs])
    if metric == "darkness_area":
        span = np.log(rungs)
        return np.trapezoid(values, span, axis=0) / (span[-1] - span[0])
    return values.mean(axis=0)


def kept(table: Table, rows: np.ndarray) -> dict[str, np.ndarray]:
    """For each disturbance, which of `rows` (N,) keep their answer: (N,) bool."""
    assert table.disturbed is not None
    return {name: p[rows].argmax(axis=1) == table.predicted[rows] for name, p in table.disturbed.items()}


def _right(table: Table, rows: np.ndarray) -> np.ndarray:
    return table.predicted[rows] == table.labels[rows]


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # no face: not a number
        return weights @ values.astype(weights.dtype) / weights.sum(axis=1)


def _accuracy(table: Table, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _mean(_right(table, rows), weights)


def _accuracy_above_majority(table: Table, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _accuracy(table, rows, weights) - majority_share(table.labels[rows])


def _brier(table: Table, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    answer = np.eye(len(table.classes))[table.labels[rows]]
    return _mean(((table.probabilities[rows] - answer) ** 2).sum(axis=1), weights)


def _stability(table: Table, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.stack([_mean(same, weights) for same in kept(table, rows).values()]).min(axis=0)


def _by_sums(name: str) -> Callable[[Table, np.ndarray, np.ndarray], np.ndarray]:
    def of(table: Table, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return figures(sums(table.probabilities[rows], table.labels[rows], weights))[name]

    return of


METRICS: dict[str, Callable[[Table, np.ndarray, np.ndarray], np.ndarray]] = {
    "accuracy": _accuracy,
    "accuracy_above_majority": _accuracy_above_majority,
    "mean_class_accuracy": _by_sums("mean_class_accuracy"),
    "macro_f1": _by_sums("macro_f1"),
    "brier": _brier,
    "calibration_error": _by_sums("calibration_error"),
    "darkness_area": _accuracy,
    "stability": _stability,
}
