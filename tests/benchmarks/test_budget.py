"""What a budget pays for: it fits where anything does, and more minutes never choose a lesser plan."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.comparison.budget import LEAST_EPOCHS, TRIED_FACES, Plan, affordable, faces_place, plans

WANTED = Plan(epochs=24, seeds=3, faces=20_000, tuning_epochs=0)
SPEEDS = {"plain": 1000.0, "lldif": 700.0}


def test_plans_give_up_epochs_before_seeds_and_seeds_before_faces():
    every = plans(WANTED, fewer_faces=True)
    assert every[0] == WANTED
    assert every[16:18] == [Plan(LEAST_EPOCHS, 3, 20_000, 0), Plan(24, 2, 20_000, 0)]
    assert (every[-1].epochs, every[-1].seeds) == (LEAST_EPOCHS, 1)
    assert TRIED_FACES <= every[-1].faces < 2 * TRIED_FACES
    assert {plan.faces for plan in plans(WANTED, fewer_faces=False)} == {20_000}


def test_fewer_epochs_than_the_least_are_kept_where_they_were_asked_for():
    assert {plan.epochs for plan in plans(Plan(3, 2, 5000, 0), fewer_faces=False)} == {3}


def test_workers_side_by_side_take_less_time_but_no_more_than_there_are_runs():
    plan = Plan(24, 1, 20_000, 0)
    assert plan.seconds(SPEEDS, 2) == plan.seconds(SPEEDS, 1) / 2
    assert plan.seconds(SPEEDS, 8) == plan.seconds(SPEEDS, 2)


def test_trials_of_a_tuning_are_paid_for_too():
    assert Plan(24, 1, 20_000, 24).seconds({"plain": 100.0}, 1) > 1.9 * Plan(24, 1, 20_000, 0).seconds(
        {"plain": 100.0}, 1
    )


@given(st.floats(0.01, 1000), st.floats(1, 10), st.floats(50, 50_000), st.integers(1, 16), st.booleans())
def test_more_minutes_or_faster_methods_never_choose_a_lesser_plan(minutes, factor, speed, workers, fewer_faces):
    choices = plans(WANTED, fewer_faces)
    chosen = affordable(choices, {"plain": speed}, workers, minutes)
    assert chosen == choices[-1] or chosen.seconds({"plain": speed}, workers) <= 60 * minutes
    for better in (
        affordable(choices, {"plain": speed}, workers, factor * minutes),
        affordable(choices, {"plain": factor * speed}, workers, minutes),
    ):
        assert choices.index(better) <= choices.index(chosen)


def test_the_number_of_faces_can_be_said_where_the_source_has_a_place_for_it():
    assert faces_place({"ingest": {"train": 10}}) == "ingest.train"
    assert faces_place({"ingest": {"train_limit": 0}}) == "ingest.train_limit"
    assert faces_place({"ingest": {"path": "x"}}) is None
