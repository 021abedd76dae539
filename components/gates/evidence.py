"""What is laid before the gates."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Table:
    """What one model answered on the test split: a row per face and exposure, of the camera's ladder alone."""

    ids: list[str]  # N
    exposures: np.ndarray  # (N,) float64
    labels: np.ndarray  # (N,) int
    probabilities: np.ndarray  # (N, K)
    subjects: list[str]  # N; empty where the person is not known
    attributes: list[dict[str, str]]  # N
    classes: tuple[str, ...]  # K
    # the same rows disturbed, by name of the disturbance: probabilities (N, K); None: not asked
    disturbed: Mapping[str, np.ndarray] | None = None

    @property
    def predicted(self) -> np.ndarray:
        """(N,) class index."""
        return self.probabilities.argmax(axis=1)


@dataclass(frozen=True)
class Costs:
    """One model's costs. Round t of candidate and champion were measured one after the other."""

    device: str  # as a person names it
    latency_p95_milliseconds: np.ndarray  # (T,): one face at a time
    faces_per_second: np.ndarray  # (T,)
    artefact_bytes: int


@dataclass(frozen=True)
class Soundness:
    """Facts about the candidate as it lies in the registry."""

    load_error: str | None  # one line; None: it loads in a fresh process
    difference: float  # greatest distance between recorded and reproduced probabilities; NaN: not known
    pickles: tuple[str, ...]  # files in its artefact that are pickles
    missing_tags: tuple[str, ...]  # of its lineage
    dirty: bool  # git tree at training had changes beyond dvc.lock and *.dvc


@dataclass(frozen=True)
class Evidence:
    """Both models on the same faces. None: the candidate does not load, there is no champion, it was not measured."""

    candidate: Table | None
    champion: Table | None
    candidate_costs: Costs | None
    champion_costs: Costs | None
    soundness: Soundness | None
