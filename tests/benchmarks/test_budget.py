"""What a budget pays for: it fits where anything does, and more minutes never choose a lesser plan."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.comparison.budget import (
    LEAST_EPOCHS,
    START_SECONDS,
    TRIED_FACES,
    Cost,
    Plan,
    affordable,
    faces_place,
    plans,
)

WANTED = Plan(epochs=24, seeds=3, faces=20_000, trials=0, trial_epochs=6)
COSTS = {"plain": Cost(0.001, 0.0002, 100, 5000), "lldif": Cost(0.0015, 0.0003, 100, 20_000)}


def test_plans_give_up_epochs_before_seeds_and_seeds_before_faces():
    every = plans(WANTED, fewer_faces=True)
    assert every[0] == WANTED
    assert every[16:18] == [Plan(LEAST_EPOCHS, 3, 20_000, 0, 6), Plan(24, 2, 20_000, 0, 6)]
    assert (every[-1].epochs, every[-1].seeds) == (LEAST_EPOCHS, 1)
    assert TRIED_FACES <= every[-1].faces < 2 * TRIED_FACES
    assert {plan.faces for plan in plans(WANTED, fewer_faces=False)} == {20_000}


def test_fewer_epochs_than_the_least_are_kept_where_they_were_asked_for():
    assert {plan.epochs for plan in plans(Plan(3, 2, 5000, 0, 6), fewer_faces=False)} == {3}


def test_workers_side_by_side_take_less_time_but_no_more_than_there_are_runs():
    plan = Plan(24, 1, 20_000, 0, 6)
    assert plan.seconds(COSTS, 2) == plan.seconds(COSTS, 1) / 2
    assert plan.seconds(COSTS, 8) == plan.seconds(COSTS, 2)


def test_a_run_pays_for_its_start_its_training_its_following_and_its_judging():
    assert Cost(0.001, 0.0002, 100, 5000).seconds(24, 20_000) == pytest.approx(
        START_SECONDS + 24 * 20_000 * 0.001 + (24 * 100 + 5000) * 0.0002
    )


def test_trials_of_a_tuning_are_paid_for_too():
    cost = COSTS["plain"]
    tuned = Plan(24, 2, 20_000, 4, 6).seconds({"plain": cost}, 1)
    assert tuned == pytest.approx(2 * cost.seconds(24, 20_000) + 4 * cost.seconds(6, 20_000))
    asks = Cost(0.0, 0.001, 0, 5000)
    both = Plan(24, 2, 20_000, 4, 6).seconds({"plain": cost, "plain_both_sides": asks}, 1)
    assert both == pytest.approx(tuned + 2 * (START_SECONDS + 5))


@given(st.floats(0.01, 1000), st.floats(1, 10), st.floats(2e-5, 0.02), st.integers(1, 16), st.booleans())
def test_more_minutes_or_faster_methods_never_choose_a_lesser_plan(minutes, factor, a_face, workers, fewer_faces):
    choices = plans(WANTED, fewer_faces)
    chosen = affordable(choices, {"plain": Cost(a_face, a_face / 5, 100, 5000)}, workers, minutes)
    assert (
        chosen == choices[-1] or chosen.seconds({"plain": Cost(a_face, a_face / 5, 100, 5000)}, workers) <= 60 * minutes
    )
    for better in (
        affordable(choices, {"plain": Cost(a_face, a_face / 5, 100, 5000)}, workers, factor * minutes),
        affordable(choices, {"plain": Cost(a_face / factor, a_face / factor / 5, 100, 5000)}, workers, minutes),
    ):
        assert choices.index(better) <= choices.index(chosen)


def test_the_number_of_faces_can_be_said_where_the_source_has_a_place_for_it():
    assert faces_place({"ingest": {"train": 10}}) == "ingest.train"
    assert faces_place({"ingest": {"train_limit": 0}}) == "ingest.train_limit"
    assert faces_place({"ingest": {"path": "x"}}) is None
