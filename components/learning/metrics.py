"""Figures of merit. All but the selective ones follow from sums over faces, so a bootstrap is one product of matrices.

In the dark the right answer is a distribution: where people voted on a face, `votes` (N, K) are their shares, and the
figures that say so are read against them; without votes, the label is the only vote.
"""

from dataclasses import dataclass

import numpy as np

from components.records import DataError, Score

BINS = 15  # of equal width, for the calibration error (Guo et al. ICML 2017)
LEAST = 2.0**-23  # a probability of 0 is taken for this one, the resolution of float32: no answer costs over 16 nats
COVERAGE = 0.8  # the share of faces, the surest, that accuracy_at_80 is of


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Share of right answers; both (N,)."""
    return float(np.mean(predicted == labels))


def majority_share(labels: np.ndarray) -> float:
    """The accuracy of always naming the commonest class."""
    return float(np.bincount(labels).max() / len(labels))


def votes_entropy(votes: np.ndarray) -> float:
    """Mean entropy of the votes (N, K) in nats: the least negative log-likelihood that any model can have."""
    return float(0 - (votes * np.log(np.where(votes > 0, votes, 1))).sum(axis=1).mean())


def check(probabilities: np.ndarray) -> None:
    """Raises DataError unless each row (N, K) is a distribution: an answer that is not a number still has an argmax."""
    sound = (probabilities >= 0).all(axis=1) & (abs(probabilities.sum(axis=1) - 1) < 1e-3)
    if not sound.all():
        rows = np.flatnonzero(~sound)
        raise DataError(
            f"probabilities of {len(rows)} of {len(sound)} faces, the first in row {rows[0]}, are not those of an "
            "answer: allowed are numbers from 0 to 1 with sum 1"
        )


@dataclass(frozen=True)
class Sums:
    """What the figures follow from, for each of R weightings of the same faces."""

    confusion: np.ndarray  # (R, K, K): faces by label and answer
    squares: np.ndarray  # (R,): squared distances between probabilities and the label
    votes_squares: np.ndarray  # (R,): and between probabilities and votes
    surprise: np.ndarray  # (R,): cross-entropy of the votes with the probabilities, in nats
    bins: np.ndarray  # (R, BINS): confidence less right answers, by confidence


def sums(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray, votes: np.ndarray | None = None) -> Sums:
    """Of probabilities (N, K), labels (N,) and votes (N, K), each row of `weights` (R, N) counting the faces anew.

    Raises DataError where probabilities are none.
    """
    check(probabilities)
    faces, classes = probabilities.shape
    predicted, every = probabilities.argmax(axis=1), np.arange(faces)
    right = np.eye(classes)[labels]
    shares = right if votes is None else votes
    pairs = np.zeros((faces, classes * classes))
    pairs[every, labels * classes + predicted] = 1
    confidence = probabilities[every, predicted]
    bins = np.zeros((faces, BINS))
    bins[every, np.minimum((confidence * BINS).astype(int), BINS - 1)] = confidence - (predicted == labels)
    single = [
        ((probabilities - right) ** 2).sum(axis=1),
        ((probabilities - shares) ** 2).sum(axis=1),
        -(shares * np.log(np.maximum(probabilities, LEAST))).sum(axis=1),
    ]
    total = weights.astype(np.float64) @ np.column_stack([pairs, *single, bins])
    confusion, singles, bins = np.split(total, [classes * classes, classes * classes + len(single)], axis=1)
    squares, votes_squares, surprise = singles.T
    return Sums(confusion.reshape(-1, classes, classes), squares, votes_squares, surprise, bins)


def figures(of: Sums) -> dict[str, np.ndarray]:
    """Each figure for each of the R weightings (R,).

    accuracy; mean_class_accuracy and macro_f1 over the classes present; nll, the mean negative log-likelihood of the
    votes in nats; brier and votes_brier, the mean squared distance to label and votes (0 to 2); calibration_error, the
    mean distance between confidence and accuracy over bins of confidence.
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
        "nll": of.surprise / faces,
        "brier": of.squares / faces,
        "votes_brier": of.votes_squares / faces,
        "calibration_error": np.abs(of.bins).sum(axis=1) / faces,
    }


def recalls(of: Sums) -> np.ndarray:
    """(R, K): the share of each class that is recognised; not a number where a weighting lacks the class."""
    labelled = of.confusion.sum(axis=2)
    right = np.einsum("rkk->rk", of.confusion)
    return np.where(labelled > 0, right / np.where(labelled > 0, labelled, 1), np.nan)


def _over(present: np.ndarray, values: np.ndarray) -> np.ndarray:
    return (values * present).sum(axis=1) / present.sum(axis=1)


@dataclass(frozen=True)
class Selection:
    """Faces from the surest answer down, in G groups of equal confidence, for each of R weightings."""

    accepted: np.ndarray  # (R, G + 1): faces up to each group's end, from 0 on
    wrong: np.ndarray  # (R, G + 1): how many of them are answered wrongly


def selection(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Selection:
    """By confidence, the highest probability. Resampling changes how often a face counts and never the order."""
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    counts = weights.astype(np.float64)[:, order]
    wrong = counts * (probabilities.argmax(axis=1) != labels)[order]
    last = np.append(np.diff(confidence[order]) != 0, True)  # of a group: within it, no order is the right one

    def up_to(values: np.ndarray) -> np.ndarray:
        return np.column_stack([np.zeros(len(values)), values.cumsum(axis=1)[:, last]])

    return Selection(up_to(counts), up_to(wrong))


def selective_figures(of: Selection) -> dict[str, np.ndarray]:
    """accuracy_at_80: of the 80 % surest. aurc: area under the risk-coverage curve (Geifman and El-Yaniv 2017), the
    mean over n of the share of wrong answers among the n surest. Each (R,).

    Among faces of equal confidence it is what a random order gives on average.
    """
    target = COVERAGE * of.accepted[:, -1]
    return {"accuracy_at_80": 1 - wrong_among(of, target) / target, "aurc": _area(of)}


def wrong_among(of: Selection, count: np.ndarray) -> np.ndarray:
    """How many of the `count` (R,) surest faces are answered wrongly (R,); part of a face counts in part."""
    every = np.arange(len(count))
    end = np.argmax(of.accepted >= count[:, None] - 1e-9, axis=1)  # a share of whole numbers is not exact
    before, after = of.accepted[every, end - 1], of.accepted[every, end]
    lost = of.wrong[every, end] - of.wrong[every, end - 1]
    return of.wrong[every, end - 1] + lost * (count - before) / (after - before)


def _area(of: Selection) -> np.ndarray:
    """Within a group that starts after m faces with w wrong and has a share r of wrong ones, the n surest hold
    w + r (n - m) wrong ones; divided by n and summed over its n, that is r per face and (w - r m) harmonic terms.
    """
    total = of.accepted[:, -1]
    harmonic = np.append(0, (1 / np.arange(1, total.max() + 1)).cumsum())
    terms = np.diff(harmonic[of.accepted.round().astype(int)], axis=1)
    faces, lost = np.diff(of.accepted, axis=1), np.diff(of.wrong, axis=1)
    share = lost / np.where(faces > 0, faces, 1)
    area = lost + (of.wrong[:, :-1] - share * of.accepted[:, :-1]) * terms
    return area.sum(axis=1) / total


def risk_coverage(probabilities: np.ndarray, labels: np.ndarray, coverages: np.ndarray) -> np.ndarray:
    """The share of wrong answers among the surest faces, at each of `coverages` (P,) in (0, 1]: (P,)."""
    check(probabilities)
    whole = selection(probabilities, labels, np.ones((1, len(labels))))
    counts = coverages * len(labels)
    repeated = Selection(*(np.repeat(part, len(counts), axis=0) for part in (whole.accepted, whole.wrong)))
    return wrong_among(repeated, counts) / counts


def measure(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray, votes: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Every figure for each row of `weights` (R, N), whole numbers: {name: (R,)}. Raises DataError, as `sums`."""
    summed = figures(sums(probabilities, labels, weights, votes))
    return summed | selective_figures(selection(probabilities, labels, weights))


def score(name: str, probabilities: np.ndarray, labels: np.ndarray, votes: np.ndarray | None = None) -> Score:
    """`name`: the exposure, "clean" where there is all the light, or another darkness."""
    whole = measure(probabilities, labels, np.ones((1, len(labels))), votes)
    return Score(name, len(labels), **{figure: float(value[0]) for figure, value in whole.items()})
