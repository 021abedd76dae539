"""How far a method is from another, over the same faces and seeds, with the interval of a paired bootstrap."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from components.learning.bootstrap import Estimate, resample

LEAST_CHANCE = 1e-12  # a probability of 0 would make one face's log-likelihood outweigh all others
RESAMPLES, CONFIDENCE, SEED = 2000, 0.95, 1


@dataclass(frozen=True)
class Answers:
    """One run's answers at one exposure, in the order of the faces' ids."""

    ids: np.ndarray  # (N,)
    subjects: np.ndarray  # (N,); the face's id where the person is not known
    labels: np.ndarray  # (N,)
    votes: np.ndarray  # (N, K)
    probabilities: np.ndarray  # (N, K)


def read(path: Path) -> dict[str, Answers]:
    """By the name of the exposure."""
    table = pq.read_table(path)
    ids, exposures, subjects = (np.array(table[name].to_pylist()) for name in ("id", "exposure", "subject"))
    labels = table["label"].to_numpy().astype(np.int64)
    votes, probabilities = (np.array(table[name].to_pylist()) for name in ("votes", "probabilities"))
    found = {}
    for exposure in dict.fromkeys(exposures.tolist()):
        here = np.flatnonzero(exposures == exposure)
        here = here[np.argsort(ids[here], kind="stable")]
        found[exposure] = Answers(ids[here], subjects[here], labels[here], votes[here], probabilities[here])
    return found


def figures(answers: Answers, weights: np.ndarray) -> dict[str, np.ndarray]:
    """accuracy, mean_class_accuracy over the classes present, and nll against the votes, for each of R weightings
    (R, N). Each is a ratio of sums over faces, so that all resamples are one product of matrices.
    """
    right = (answers.probabilities.argmax(axis=1) == answers.labels).astype(np.float64)
    surprise = -(answers.votes * np.log(answers.probabilities.clip(LEAST_CHANCE))).sum(axis=1)
    member = np.eye(answers.votes.shape[1])[answers.labels]  # (N, K)
    columns = np.column_stack([right, surprise, np.ones_like(right), member, member * right[:, None]])
    total = weights.astype(np.float64) @ columns
    faces, classes = total[:, 2], member.shape[1]
    labelled, recognised = total[:, 3 : 3 + classes], total[:, 3 + classes :]
    present = labelled > 0
    recalls = recognised / np.where(present, labelled, 1)
    return {
        "accuracy": total[:, 0] / faces,
        "mean_class_accuracy": recalls.sum(axis=1) / present.sum(axis=1),
        "nll": total[:, 1] / faces,
    }


def paired(ours: list[Answers], theirs: list[Answers]) -> dict[str, Estimate]:
    """Every figure of `ours` less that of `theirs`, each the mean over its list: the same faces at each place, another
    exposure or seed from place to place. Whole subjects are resampled, where they are known.
    """
    assert all(np.array_equal(one.ids, ours[0].ids) for one in [*ours, *theirs])
    weights = resample(ours[0].subjects, RESAMPLES, SEED)
    everyone = np.ones((1, weights.shape[1]))

    def difference(counts: np.ndarray) -> dict[str, np.ndarray]:
        means = []
        for side in (ours, theirs):
            all_figures = [figures(one, counts) for one in side]
            means.append({name: np.mean([f[name] for f in all_figures], axis=0) for name in all_figures[0]})
        return {name: value - means[1][name] for name, value in means[0].items()}

    whole, drawn = difference(everyone), difference(weights)
    outside = (1 - CONFIDENCE) / 2
    return {
        name: Estimate(float(value[0]), *map(float, np.quantile(drawn[name], [outside, 1 - outside])))
        for name, value in whole.items()
    }
