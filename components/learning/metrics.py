"""Figures of merit over prediction tables."""

import numpy as np

from components.records import Score


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Share of right answers; both (N,)."""
    return float(np.mean(predicted == labels))


def mean_class_accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes present of the share recognised: each class counts the same."""
    return float(np.mean([np.mean(predicted[labels == label] == label) for label in np.unique(labels)]))


def majority_share(labels: np.ndarray) -> float:
    """The accuracy of always naming the commonest class."""
    return float(np.bincount(labels).max() / len(labels))


def score(exposure: str, predicted: np.ndarray, labels: np.ndarray) -> Score:
    return Score(exposure, len(labels), accuracy(predicted, labels), mean_class_accuracy(predicted, labels))
