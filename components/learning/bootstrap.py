"""Intervals by resampling: whole subjects where subjects are known, else faces (Efron and Tibshirani 1993)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.learning.metrics import measure, recalls, sums

# A resample repeats faces, so that its bins are noisier than the sample's, and the sample's than the truth's: each adds
# to a calibration error what chance leaves in the bins, most where the error is least. Its percentiles lie above the
# truth, and the difference between a calibrated model and another shrinks. For that question, the Brier score and the
# likelihood have intervals that hold.
WITHOUT_INTERVAL = ("calibration_error",)


@dataclass(frozen=True)
class Estimate:
    """A figure, and the interval that holds it with the confidence asked for."""

    value: float
    low: float
    high: float


def resample(groups: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """(R, N) weights: how often each face is in each resample of the groups (N,) that faces belong to."""
    names, group_of = np.unique(groups, return_inverse=True)
    generator = np.random.Generator(np.random.Philox(seed))
    counts = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    return counts[:, group_of].astype(np.float32)


def estimates(
    probabilities: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    confidence: float,
    votes: np.ndarray | None = None,
) -> dict[str, Estimate]:
    """Figures of metrics.measure, those WITHOUT_INTERVAL left out, each with percentiles over the resamples (R, N)."""
    whole = measure(probabilities, labels, _once(labels), votes)
    drawn = measure(probabilities, labels, _occupied(weights), votes)
    return _all_that_can(whole, drawn, confidence)


def paired(
    one: Sequence[np.ndarray],
    other: Sequence[np.ndarray],
    labels: np.ndarray,
    weights: np.ndarray,
    confidence: float,
    votes: np.ndarray | None = None,
) -> dict[str, Estimate]:
    """Figures of `one` less those of `other`, on the same faces and in the same resamples; none WITHOUT_INTERVAL.

    Each side is a sequence of probabilities (N, K) whose figures are averaged: of several exposures, or seeds.
    """

    def difference(counts: np.ndarray) -> dict[str, np.ndarray]:
        sides = [[measure(table, labels, counts, votes) for table in side] for side in (one, other)]
        ours, theirs = ({name: np.mean([f[name] for f in side], axis=0) for name in side[0]} for side in sides)
        return {name: ours[name] - theirs[name] for name in ours}

    return _all_that_can(difference(_once(labels)), difference(_occupied(weights)), confidence)


def mean_estimate(values: np.ndarray, weights: np.ndarray, confidence: float) -> Estimate:
    """The mean of `values` (N,), one for each face."""
    counts = _occupied(weights).astype(np.float64)
    return _estimate(values.mean(), counts @ values / counts.sum(axis=1), confidence)


def class_estimates(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray, confidence: float
) -> dict[int, Estimate]:
    """The recall of every class present."""
    whole = recalls(sums(probabilities, labels, _once(labels)))[0]
    drawn = recalls(sums(probabilities, labels, _occupied(weights)))
    present = np.flatnonzero(~np.isnan(whole))
    return {int(label): _estimate(whole[label], drawn[:, label], confidence) for label in present}


def _all_that_can(whole: dict[str, np.ndarray], drawn: dict[str, np.ndarray], confidence: float) -> dict[str, Estimate]:
    can = (name for name in whole if name not in WITHOUT_INTERVAL)
    return {name: _estimate(whole[name][0], drawn[name], confidence) for name in can}


def _once(labels: np.ndarray) -> np.ndarray:
    return np.ones((1, len(labels)))


def _occupied(weights: np.ndarray) -> np.ndarray:
    """Without the resamples of a small slice that hold none of its faces."""
    return weights[weights.sum(axis=1) > 0]


def _estimate(value: float, drawn: np.ndarray, confidence: float) -> Estimate:
    outside = (1 - confidence) / 2
    low, high = np.nanquantile(drawn, [outside, 1 - outside])
    return Estimate(float(value), float(low), float(high))
