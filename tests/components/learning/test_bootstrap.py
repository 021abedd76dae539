"""Intervals hold the truth as often as they say, and resample whole subjects."""

import numpy as np
import pytest

from components.learning.bootstrap import class_estimates, estimates, resample


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
