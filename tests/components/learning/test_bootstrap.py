"""Intervals hold the truth as often as they say, and resample whole subjects. About 2 s."""

import numpy as np
import pytest

from components.learning.bootstrap import class_estimates, estimates, mean_estimate, paired, resample
from components.learning.metrics import measure


def test_every_resample_draws_as_many_groups_as_there_are_and_keeps_them_whole():
    groups = np.repeat(["a", "b", "c", "d"], [3, 1, 2, 5])
    weights = resample(groups, 200, seed=1)
    assert weights.shape == (200, 11)
    firsts = weights[:, [0, 3, 4, 6]]
    assert (firsts.sum(axis=1) == 4).all()
    assert np.array_equal(weights, np.repeat(firsts, [3, 1, 2, 5], axis=1))


def test_the_same_seed_gives_the_same_interval_and_another_one_another():
    generator = np.random.default_rng(0)
    chances, labels = generator.dirichlet(np.ones(3), 50), generator.integers(0, 3, 50)

    def found(seed):
        return estimates(chances, labels, resample(np.arange(50), 300, seed), 0.95)

    assert found(1) == found(1)
    assert found(1) != found(2)


def test_an_interval_holds_the_true_accuracy_about_as_often_as_it_says():
    generator = np.random.default_rng(5)
    held = 0
    for trial in range(200):
        right = generator.random(120) < 0.7
        chances = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
        one = estimates(chances, np.zeros(120, int), resample(np.arange(120), 300, trial), 0.9)["accuracy"]
        held += one.low <= 0.7 <= one.high
    assert 160 <= held <= 195  # 180 expected; five standard deviations are 21


def test_faces_of_one_subject_are_worth_less_than_faces_of_many():
    generator = np.random.default_rng(6)
    right = np.repeat(generator.random(12) < 0.6, 20)
    chances, labels = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9]), np.zeros(240, int)

    def width(groups):
        one = estimates(chances, labels, resample(groups, 500, 1), 0.95)["accuracy"]
        return one.high - one.low

    assert width(np.repeat(np.arange(12), 20)) > 3 * width(np.arange(240))


def test_a_class_that_is_absent_has_no_estimate_and_one_that_is_rare_still_has():
    chances, labels = np.eye(3)[[0, 0, 1, 0]], np.array([0, 0, 1, 1])
    found = class_estimates(chances, labels, resample(np.arange(4), 200, 1), 0.95)
    assert sorted(found) == [0, 1]
    assert (found[0].value, found[1].value) == (1.0, 0.5)
    assert found[1].low == pytest.approx(0.0)


def answers(generator: np.random.Generator, labels: np.ndarray, right: float) -> np.ndarray:
    """Probabilities (N, 3) of a model that is right so often, and sure of itself to various degrees."""
    named = np.where(generator.random(len(labels)) < right, labels, (labels + 1) % 3)
    confidence = generator.uniform(0.4, 0.9, len(labels))[:, None]
    return confidence * np.eye(3)[named] + (1 - confidence) / 3


def test_a_paired_interval_holds_the_true_difference_about_as_often_as_it_says():
    generator = np.random.default_rng(7)
    held = 0
    for trial in range(200):
        labels = generator.integers(0, 3, 150)
        one, other = answers(generator, labels, 0.75), answers(generator, labels, 0.6)
        found = paired([one], [other], labels, resample(np.arange(150), 200, trial), 0.9)["accuracy"]
        held += found.low <= 0.15 <= found.high
    assert 159 <= held <= 196  # 180 expected; five standard deviations are 21


def test_a_calibration_error_has_no_interval_as_its_percentiles_would_lie_above_the_truth():
    generator = np.random.default_rng(6)
    answer = generator.dirichlet(np.ones(3), 600)
    labels = np.array([generator.choice(3, p=chances) for chances in answer])  # each answer is true: the error is 0
    weights = resample(np.arange(600), 200, 1)
    drawn = measure(answer, labels, weights)["calibration_error"]
    assert np.quantile(drawn, 0.025) > 0.01
    assert "calibration_error" not in estimates(answer, labels, weights, 0.95)
    assert "calibration_error" not in paired([answer], [answer], labels, weights, 0.95)


def test_a_model_and_itself_differ_in_nothing():
    generator = np.random.default_rng(8)
    labels = generator.integers(0, 3, 60)
    one = answers(generator, labels, 0.7)
    for found in paired([one], [one], labels, resample(np.arange(60), 100, 1), 0.95).values():
        assert (found.value, found.low, found.high) == (0, 0, 0)


def test_a_paired_interval_is_narrower_than_two_models_apart():
    """Both models miss nearly the same faces, so that drawing other faces moves both alike."""
    generator = np.random.default_rng(9)
    labels = generator.integers(0, 3, 400)
    one = answers(generator, labels, 0.7)
    other = one.copy()
    other[:8] = np.roll(other[:8], 1, axis=1)
    weights = resample(np.arange(400), 300, 1)
    together = paired([one], [other], labels, weights, 0.95)["accuracy"]
    alone = estimates(one, labels, weights, 0.95)["accuracy"]
    assert together.high - together.low < 0.5 * (alone.high - alone.low)


def test_a_difference_is_that_of_the_figures_averaged_over_tables():
    generator = np.random.default_rng(10)
    labels, votes = generator.integers(0, 3, 50), generator.dirichlet(np.ones(3), 50)
    tables = [answers(generator, labels, right) for right in (0.8, 0.6, 0.5)]
    weights = resample(np.arange(50), 100, 1)
    found = paired(tables[:2], tables[2:], labels, weights, 0.95, votes)
    single = [estimates(table, labels, weights, 0.95, votes) for table in tables]
    for name, one in found.items():
        expected = (single[0][name].value + single[1][name].value) / 2 - single[2][name].value
        assert one.value == pytest.approx(expected)
        assert one.low <= one.high


def test_the_interval_of_a_mean_is_that_of_the_same_mean_among_the_figures():
    generator = np.random.default_rng(11)
    labels = generator.integers(0, 3, 80)
    one = answers(generator, labels, 0.7)
    weights = resample(np.arange(80), 200, 1)
    mean, figure = mean_estimate(one.argmax(1) == labels, weights, 0.95), estimates(one, labels, weights, 0.95)
    assert (mean.value, mean.low, mean.high) == pytest.approx(
        (figure["accuracy"].value, figure["accuracy"].low, figure["accuracy"].high)
    )


def test_a_slice_of_a_few_faces_has_an_interval_though_some_resamples_miss_it():
    weights = resample(np.arange(40), 200, 1)[:, :2]
    assert (weights.sum(axis=1) == 0).any()
    found = mean_estimate(np.array([1.0, 0.0]), weights, 0.95)
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)
