"""Figures of merit, against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, recall_score

from components.learning.metrics import accuracy, majority_share, mean_class_accuracy, score

rows = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60)


@settings(deadline=None, max_examples=100)
@given(rows)
def test_figures_are_those_of_scikit_learn(pairs):
    labels, predicted = np.array(pairs).T
    assert accuracy(predicted, labels) == pytest.approx(accuracy_score(labels, predicted))
    recall = recall_score(labels, predicted, labels=np.unique(labels), average="macro")
    assert mean_class_accuracy(predicted, labels) == pytest.approx(recall)


@settings(deadline=None, max_examples=50)
@given(rows)
def test_the_majority_share_is_what_the_best_constant_answer_reaches(pairs):
    labels, _ = np.array(pairs).T
    assert majority_share(labels) == max(accuracy(np.full_like(labels, label), labels) for label in range(7))


def test_each_class_counts_the_same_however_rare_it_is():
    labels = np.array([0] * 99 + [1])
    assert mean_class_accuracy(np.zeros(100, int), labels) == 0.5
    assert accuracy(np.zeros(100, int), labels) == 0.99


def test_a_score_holds_what_it_was_made_from():
    one = score("0.05", np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]))
    assert (one.exposure, one.faces, one.accuracy, one.mean_class_accuracy) == ("0.05", 4, 0.75, 0.75)
