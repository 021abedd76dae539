"""Figures of merit, against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, recall_score

from components.learning.metrics import BINS, accuracy, figures, majority_share, recalls, score, sums

rows = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60)


def certain(predicted: np.ndarray) -> np.ndarray:
    return np.eye(7)[predicted]


def whole(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    found = figures(sums(probabilities, labels, np.ones((1, len(labels)))))
    return {name: float(value[0]) for name, value in found.items()}


@settings(deadline=None, max_examples=100)
@given(rows)
def test_figures_are_those_of_scikit_learn(pairs):
    labels, predicted = np.array(pairs).T
    found, present = whole(certain(predicted), labels), np.unique(labels)
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert found["accuracy"] == pytest.approx(accuracy(predicted, labels))
    recall = recall_score(labels, predicted, labels=present, average=None)
    assert found["mean_class_accuracy"] == pytest.approx(recall.mean())
    assert recalls(sums(certain(predicted), labels, np.ones((1, len(labels)))))[0][present] == pytest.approx(recall)
    assert found["macro_f1"] == pytest.approx(f1_score(labels, predicted, labels=present, average="macro"))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000), st.integers(1, 80))
def test_brier_and_calibration_error_are_what_their_definitions_say(seed, faces):
    generator = np.random.default_rng(seed)
    probabilities, labels = generator.dirichlet(np.ones(4), faces), generator.integers(0, 4, faces)
    found = whole(probabilities, labels)
    assert found["brier"] == pytest.approx(((probabilities - np.eye(4)[labels]) ** 2).sum(1).mean())
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    error = 0.0
    for low in np.arange(BINS) / BINS:
        inside = (confidence >= low) & (confidence < low + 1 / BINS)
        if inside.any():
            error += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert found["calibration_error"] == pytest.approx(error, abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000))
def test_a_weight_counts_a_face_as_often_as_if_it_stood_there_so_often(seed):
    generator = np.random.default_rng(seed)
    probabilities, labels = generator.dirichlet(np.ones(3), 20), generator.integers(0, 3, 20)
    weights = generator.integers(0, 4, (2, 20))
    found = figures(sums(probabilities, labels, weights))
    for row in range(2):
        repeated = np.repeat(np.arange(20), weights[row])
        again = whole(probabilities[repeated], labels[repeated])
        assert {name: float(value[row]) for name, value in found.items()} == pytest.approx(again)


@settings(deadline=None, max_examples=50)
@given(rows)
def test_the_majority_share_is_what_the_best_constant_answer_reaches(pairs):
    labels, _ = np.array(pairs).T
    assert majority_share(labels) == max(accuracy(np.full_like(labels, label), labels) for label in range(7))


def test_each_class_counts_the_same_however_rare_it_is():
    labels = np.array([0] * 99 + [1])
    found = whole(certain(np.zeros(100, int)), labels)
    assert (found["accuracy"], found["mean_class_accuracy"]) == (0.99, 0.5)


def test_a_score_holds_what_it_was_made_from():
    one = score("0.05", certain(np.array([0, 1, 1, 1])), np.array([0, 0, 1, 1]))
    assert (one.exposure, one.faces, one.accuracy, one.mean_class_accuracy) == ("0.05", 4, 0.75, 0.75)
    assert (one.brier, one.calibration_error) == (0.5, 0.25)
