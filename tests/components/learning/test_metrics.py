"""Figures of merit, against scikit-learn, their definitions in plain Python, and values by hand. About 2 s."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score

from components.learning.metrics import (
    BINS,
    accuracy,
    majority_share,
    measure,
    recalls,
    risk_coverage,
    score,
    sums,
    votes_entropy,
)
from components.records import DataError, Score

rows = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60)
FIGURES = {one.name for one in dataclasses.fields(Score)} - {"exposure", "faces"}


def certain(predicted: np.ndarray) -> np.ndarray:
    return np.eye(7)[predicted]


def once(labels: np.ndarray) -> np.ndarray:
    return np.ones((1, len(labels)))


def whole(probabilities: np.ndarray, labels: np.ndarray, votes: np.ndarray | None = None) -> dict[str, float]:
    return {name: float(value[0]) for name, value in measure(probabilities, labels, once(labels), votes).items()}


def drawn(seed: int, faces: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, labels, votes; confidences come in steps, so that many are equal."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(1, 4, (faces, classes)).astype(float)
    votes = generator.multinomial(10, np.ones(classes) / classes, faces) / 10
    return coarse / coarse.sum(1, keepdims=True), generator.integers(0, classes, faces), votes


@settings(deadline=None, max_examples=100)
@given(rows)
def test_figures_are_those_of_scikit_learn(pairs):
    labels, predicted = np.array(pairs).T
    found, present = whole(certain(predicted), labels), np.unique(labels)
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert found["accuracy"] == pytest.approx(accuracy(predicted, labels))
    recall = recall_score(labels, predicted, labels=present, average=None)
    assert found["mean_class_accuracy"] == pytest.approx(recall.mean())
    assert recalls(sums(certain(predicted), labels, once(labels)))[0][present] == pytest.approx(recall)
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
@given(st.integers(0, 1000), st.integers(2, 60))
def test_votes_count_as_so_many_people_each_with_a_label(seed, faces):
    """Ten voters for each face: ten rows with one label each, which is what scikit-learn can score."""
    probabilities, labels, votes = drawn(seed, faces)
    people = [
        (face, label) for face in range(faces) for label in range(4) for _ in range(round(10 * votes[face, label]))
    ]
    face, voted = np.array(people).T
    found = whole(probabilities, labels, votes)
    assert found["nll"] == pytest.approx(log_loss(voted, probabilities[face], labels=range(4)))
    distances = [
        sum((p - v) ** 2 for p, v in zip(*pair, strict=True)) for pair in zip(probabilities, votes, strict=True)
    ]
    assert found["votes_brier"] == pytest.approx(sum(distances) / faces)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(2, 60))
def test_nobody_is_surer_of_the_votes_than_the_votes_themselves(seed, faces):
    probabilities, labels, votes = drawn(seed, faces)
    least = votes_entropy(votes)
    assert whole(votes, labels, votes)["nll"] == pytest.approx(least)
    assert whole(probabilities, labels, votes)["nll"] >= least - 1e-12
    assert str(votes_entropy(np.eye(4)[labels])) == "0.0"  # and not -0


def test_without_votes_the_label_is_the_only_vote():
    probabilities, labels, _ = drawn(3, 40)
    assert whole(probabilities, labels) == whole(probabilities, labels, np.eye(4)[labels])
    found = whole(probabilities, labels)
    assert found["votes_brier"] == found["brier"]


def test_an_impossible_answer_costs_much_and_not_everything():
    found = whole(np.array([[1.0, 0.0]]), np.array([1]))
    assert found["nll"] == pytest.approx(23 * np.log(2))


@pytest.mark.parametrize("bad", [[np.nan, 0.5], [np.inf, 0.0], [0.5, 0.4], [1.5, -0.5], [np.nan, np.nan]])
def test_what_is_no_probability_is_an_error_and_never_a_figure(bad):
    probabilities, labels = np.array([[0.5, 0.5], bad, [0.1, 0.9]]), np.array([0, 1, 1])
    complaint = r"^probabilities of 1 of 3 faces, the first in row 1, are not those of an answer: allowed are [^\n]*$"
    for ask in (lambda: whole(probabilities, labels), lambda: risk_coverage(probabilities, labels, np.array([0.5]))):
        with pytest.raises(DataError, match=complaint):
            ask()


def expected_wrong(confidence: np.ndarray, wrong: np.ndarray) -> list[float]:
    """How many wrong answers there are among the n surest, n = 1 .. N, equal confidence in a random order."""
    surest = sorted(range(len(wrong)), key=lambda face: -confidence[face])
    counted, total = [], 0.0
    for face in surest:
        alike = [other for other in surest if confidence[other] == confidence[face]]
        total += sum(wrong[other] for other in alike) / len(alike)
        counted.append(total)
    return counted


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000), st.integers(1, 40))
def test_the_risk_coverage_curve_is_that_of_plain_counting(seed, faces):
    probabilities, labels, _ = drawn(seed, faces)
    counted = expected_wrong(probabilities.max(1), probabilities.argmax(1) != labels)
    found = whole(probabilities, labels)
    assert found["aurc"] == pytest.approx(np.mean([wrong / n for n, wrong in enumerate(counted, 1)]))
    coverages = np.arange(1, faces + 1) / faces
    assert risk_coverage(probabilities, labels, coverages) == pytest.approx(
        [wrong / n for n, wrong in enumerate(counted, 1)]
    )
    assert found["accuracy_at_80"] == pytest.approx(1 - risk_coverage(probabilities, labels, np.array([0.8]))[0])
    assert 1 - found["accuracy"] == pytest.approx(counted[-1] / faces)


def test_figures_of_ten_faces_by_hand():
    """Confidence .95 down to .5; the faces in places 4 and 9 are answered wrongly."""
    confidence = np.linspace(0.95, 0.5, 10)
    wrong = np.array([0, 0, 0, 1, 0, 0, 0, 0, 1, 0])
    found = whole(np.column_stack([confidence, 1 - confidence]), wrong)
    assert found["accuracy"] == 0.8
    assert found["accuracy_at_80"] == pytest.approx(7 / 8)
    assert found["aurc"] == pytest.approx((1 / 4 + 1 / 5 + 1 / 6 + 1 / 7 + 1 / 8 + 2 / 9 + 2 / 10) / 10)


def test_a_perfect_ranking_accepts_what_is_right_first():
    confidence, labels = np.linspace(0.95, 0.55, 100), np.array([0] * 80 + [1] * 20)
    perfect = whole(np.column_stack([confidence, 1 - confidence]), labels)
    assert perfect["accuracy_at_80"] == pytest.approx(1.0)
    # Geifman, Uziel and El-Yaniv (ICLR 2019): the best area is r + (1 - r) ln(1 - r), for many faces
    assert perfect["aurc"] == pytest.approx(0.2 + 0.8 * np.log(0.8), abs=2e-3)
    worst = whole(np.column_stack([confidence, 1 - confidence]), labels[::-1])
    assert worst["accuracy_at_80"] == pytest.approx(0.75)
    assert worst["aurc"] > 0.5


def test_a_ranking_that_knows_nothing_gains_nothing_by_refusing():
    labels = np.array([0] * 70 + [1] * 30)
    same = whole(np.tile([0.6, 0.4], (100, 1)), labels)
    assert same["accuracy_at_80"] == pytest.approx(0.7)
    assert same["aurc"] == pytest.approx(0.3)
    generator = np.random.default_rng(4)
    confidence = generator.uniform(0.5, 1, 5000)
    random = whole(np.column_stack([confidence, 1 - confidence]), (generator.random(5000) < 0.3).astype(int))
    assert random["accuracy_at_80"] == pytest.approx(0.7, abs=0.03)
    assert random["aurc"] == pytest.approx(0.3, abs=0.04)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000))
def test_a_weight_counts_a_face_as_often_as_if_it_stood_there_so_often(seed):
    probabilities, labels, votes = drawn(seed, 20, 3)
    weights = np.random.default_rng(seed).integers(0, 4, (2, 20))
    found = measure(probabilities, labels, weights, votes)
    assert set(found) == FIGURES
    for row in range(2):
        repeated = np.repeat(np.arange(20), weights[row])
        again = whole(probabilities[repeated], labels[repeated], votes[repeated])
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
