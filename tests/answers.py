"""What made-up models answered, for tests of the gates."""

from typing import Any

import numpy as np

from components.gates.evidence import Evidence, Table
from components.gates.policy import (
    Absolute,
    Cost,
    Fairness,
    Gate,
    Gates,
    Holdout,
    Integrity,
    NonInferiority,
    Slices,
    Superiority,
)

CLASSES = ("anger", "fear", "joy", "sorrow")
STATISTICAL = {"exposures": (0.05,), "confidence": 0.95, "minimum_faces": 50, "on_inconclusive": "fail"}
ONE_FIGURE = STATISTICAL | {"metric": "accuracy", "slice": "all"}
ABSOLUTE = Absolute(kind="absolute", name="absolute", limit=0.5, test="wilson", **ONE_FIGURE)
NOT_WORSE = NonInferiority(kind="non_inferiority", name="not_worse", margin=0.03, test="exact", **ONE_FIGURE)
BETTER = Superiority(kind="superiority", name="better", test="exact", **ONE_FIGURE)
EVERY_CLASS = Slices(
    kind="slices", name="every_class", by="class", metric="accuracy", margin=0.1, test="exact", **STATISTICAL
)
ALIKE = Fairness(kind="fairness", name="alike", by="tone", metric="accuracy", gap=0.2, **STATISTICAL)
QUICK = Cost(kind="cost", name="quick", metric="latency_p95", ratio=1.5, confidence=0.95, on_inconclusive="fail")
SOUND = Integrity(kind="integrity", name="sound", difference=1e-5, allow_dirty=False)


def changed(gate: Gate, **changes: Any) -> Gate:
    """The gate declared otherwise, validated anew."""
    return type(gate)(**(gate.model_dump() | changes))


def gates(*declared: Gate, bootstrap: bool = True, looks: int = 1) -> Gates:
    return Gates(bootstrap=bootstrap, holdout=Holdout(looks=looks), declared=declared)


def share(count: int, right: float) -> np.ndarray:
    """The first of `count` faces, as many as that share of them."""
    return np.arange(count) < round(count * right)


def table(right: np.ndarray, confidence: float = 0.9, exposure: float = 0.05, **more: Any) -> Table:
    """A model that is right where `right` (N,) is, names the next class elsewhere, and is always that confident.

    Labels come in turn; nobody is known.
    """
    faces, classes = len(right), len(CLASSES)
    labels = np.arange(faces) % classes
    named = np.where(right, labels, (labels + 1) % classes)
    probabilities = np.full((faces, classes), (1 - confidence) / (classes - 1))
    probabilities[np.arange(faces), named] = confidence
    given = {
        "ids": [f"face-{number}" for number in range(faces)],
        "exposures": np.full(faces, exposure),
        "labels": labels,
        "probabilities": probabilities,
        "subjects": [""] * faces,
        "attributes": [{}] * faces,
        "classes": CLASSES,
    }
    return Table(**(given | more))


def at_exposures(**tables: Table) -> Table:
    """The same faces at several exposures, such as at_exposures(dark=table(.., exposure=0.05), ..)."""
    parts = list(tables.values())
    return Table(
        [id for part in parts for id in part.ids],
        np.concatenate([part.exposures for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        [one for part in parts for one in part.subjects],
        [one for part in parts for one in part.attributes],
        CLASSES,
    )


def answered(candidate: Table | None, champion: Table | None = None) -> Evidence:
    """Evidence about answers alone."""
    return Evidence(candidate, champion, None, None, None)
