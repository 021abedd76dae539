"""What a sweep is made of, without Ray: its journal, its draws, its verdict, and how a winner is adopted (2 s)."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from components import experiment
from components.config import ConfigError, parse
from components.records import DataError
from components.stages import sweep
from components.stages.sweep import Job
from flows import exploration, project, sweep_charts, sweep_runs, sweep_view
from flows.sweep import search, stage, verdict
from flows.sweep.draw import draw
from flows.sweep.journal import CONFIRMATION, SEARCH, Journal, Standing, Training, rows, trial_name

DEMO = Path(__file__).resolve().parents[2] / "params" / "demo.yaml"


def params(**changes: Any) -> sweep.Params:
    content = yaml.safe_load(DEMO.read_text())
    content["sweep"] |= changes
    made = experiment.given(parse(experiment.Experiment, content, DEMO), "sweep")
    assert isinstance(made, sweep.Params)
    return made


def training(
    number: int, *accuracies: float, status: Any = "finished", seed: int | None = None, **more: Any
) -> Training:
    name = trial_name(number) + (f"-seed-{seed}" if seed is not None else "")
    job = Job(name, number, {"diffusion.blocks": number % 3 + 1}, 1 if seed is None else seed, 4)
    history = {epoch: {"valid_accuracy": value} for epoch, value in enumerate(accuracies, start=1)}
    return Training(job, status=status, history=history, **more)


class TestJournal:
    def fill(self, path: Path) -> Journal:
        journal = Journal(path)
        journal.opened(SEARCH)
        job = Job(trial_name(0), 0, {"a.b": 0.5}, 1, 3)
        journal.wants(job)
        journal.began(job.name)
        for epoch in (1, 2, 3):
            journal.reported(job.name, epoch, {"valid_accuracy": epoch / 10})
        journal.ended(job.name, "finished")
        return journal

    def test_what_was_written_is_read_again(self, tmp_path):
        journal = self.fill(tmp_path / "sweep.jsonl")
        again = Journal(tmp_path / "sweep.jsonl")
        assert again.standing == journal.standing
        (one,) = again.standing.trials()
        assert (one.status, one.epochs, one.accuracy) == ("finished", 3, 0.3)

    def test_cut_at_any_byte_it_holds_what_was_whole_and_can_be_written_on(self, tmp_path):
        path = tmp_path / "sweep.jsonl"
        self.fill(path)
        content = path.read_bytes()
        for length in range(len(content)):
            path.write_bytes(content[:length])
            journal = Journal(path)
            assert path.read_bytes() == content[: content[:length].rfind(b"\n") + 1]
            journal.opened(SEARCH)
            assert Journal(path).standing.trainings == journal.standing.trainings

    def test_an_epoch_that_is_reported_again_counts_once_in_the_trial_and_twice_in_the_work(self, tmp_path):
        journal = self.fill(tmp_path / "sweep.jsonl")
        journal.reported(trial_name(0), 3, {"valid_accuracy": 0.3})
        assert journal.standing.trials()[0].epochs == 3
        assert journal.standing.epochs == {SEARCH: 4, CONFIRMATION: 0}

    def test_time_between_two_sessions_is_not_spent(self, tmp_path):
        lines = [
            {"event": "opened", "time": 100.0, "phase": "search"},
            {"event": "job", "time": 110.0, "job": {"name": "trial-0000", "trial": 0, "parameters": {}, "seed": 1,
                                                     "epochs": 2}},
            {"event": "opened", "time": 5000.0, "phase": "search"},
            {"event": "began", "time": 5020.0, "name": "trial-0000"},
            {"event": "opened", "time": 5020.0, "phase": "confirmation"},
        ]  # fmt: skip
        path = tmp_path / "sweep.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert Journal(path).standing.seconds == {SEARCH: 30.0, CONFIRMATION: 0.0}

    def test_nothing_in_the_rows_tells_when_or_how_often_it_died(self, tmp_path):
        journal = self.fill(tmp_path / "a.jsonl")
        other = self.fill(tmp_path / "b.jsonl")
        other.died(trial_name(0), "killed")
        other.ended(trial_name(0), "finished")
        assert rows(journal.standing.trials(), []) == rows(other.standing.trials(), [])


class TestDraws:
    @pytest.mark.parametrize("searcher", ["random", "tpe"])
    @settings(max_examples=15, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), number=st.integers(0, 40))
    def test_every_draw_is_of_the_space_and_the_same_again(self, searcher, seed, number):
        given = params(searcher=searcher, seed=seed)
        drawn = draw(given, number, [])
        assert drawn == draw(given, number, [])
        assert set(drawn) == set(given.sweep.space)
        assert 0.005 <= drawn["optim.muon_rate"] <= 0.05
        assert drawn["diffusion.blocks"] in (1, 2, 3)
        sweep.override(given, drawn)  # what the science takes

    def test_the_first_trial_is_what_the_params_file_says(self):
        assert draw(params(), 0, []) == sweep.defaults(params())

    def test_the_order_of_the_lines_in_the_params_file_means_nothing(self):
        space = yaml.safe_load(DEMO.read_text())["sweep"]["space"]
        turned = dict(reversed(space.items()))
        assert draw(params(space=space), 3, []) == draw(params(space=turned), 3, [])

    def test_tpe_goes_where_trials_did_well(self):
        space = {"optim.muon_rate": {"kind": "uniform", "low": 0.001, "high": 1.0}}
        given = params(searcher="tpe", space=space)

        def known(number: int) -> Training:
            rate = (number + 0.5) / 30
            job = Job(trial_name(number), number, {"optim.muon_rate": rate}, 1, 1)
            return Training(job, status="finished", history={1: {"valid_accuracy": 1 - abs(rate - 0.8)}})

        trials = [known(number) for number in range(30)]
        drawn = [draw(given, number, trials)["optim.muon_rate"] for number in range(30, 60)]
        assert sum(abs(rate - 0.8) < 0.25 for rate in drawn) > 24  # by chance it would be 15

    @pytest.mark.parametrize(
        "space",
        [
            {"optim.muon_rate": {"kind": "uniform", "low": 0.5, "high": 1.0}},
            {"optim.muon_rate": {"kind": "log_uniform", "low": 0.001, "high": 0.002}},
            {"diffusion.blocks": {"kind": "integer", "low": 7, "high": 9}},
            {"diffusion.blocks": {"kind": "choice", "values": [7, 9]}},
        ],
    )
    def test_defaults_outside_of_the_space_are_the_first_trial_and_tpe_searches_on_without_them(self, space):
        given = params(searcher="tpe", space=space)
        (name,) = space

        def known(number: int, parameters: dict[str, Any]) -> Training:
            job = Job(trial_name(number), number, parameters, 1, 1)
            return Training(job, status="finished", history={1: {"valid_accuracy": 0.5}})

        first = known(0, draw(given, 0, []))
        assert draw(given, 1, [first]) == draw(given, 1, [])
        second = known(1, draw(given, 1, [first]))
        assert name in draw(given, 2, [first, second])

    @pytest.mark.parametrize("searcher", ["random", "tpe"])
    def test_values_that_do_not_go_together_are_drawn_again(self, searcher):
        space = {
            "batches.exposure_low": {"kind": "uniform", "low": 0.01, "high": 0.15},
            "batches.exposure_high": {"kind": "uniform", "low": 0.1, "high": 0.3},
        }
        given = params(searcher=searcher, space=space, seed=3)
        drawn = [draw(given, number, []) for number in range(1, 61)]
        assert drawn == [draw(given, number, []) for number in range(1, 61)]
        assert all(one["batches.exposure_low"] <= one["batches.exposure_high"] for one in drawn)
        assert len({json.dumps(one) for one in drawn}) == 60

    @pytest.mark.parametrize("searcher", ["random", "tpe"])
    def test_a_space_of_which_nothing_is_allowed_is_one_line_before_ray_starts(self, searcher, tmp_path):
        """Each end goes with the defaults, .005 and .2."""
        space = {
            "batches.exposure_low": {"kind": "uniform", "low": 0.1, "high": 0.19},
            "batches.exposure_high": {"kind": "uniform", "low": 0.01, "high": 0.09},
        }
        refused = "sweep.space: 1000 draws of trial 1 are refused, the last by: batches: exposure_low must not exceed"
        with pytest.raises(ConfigError, match=rf"^{refused} exposure_high$"):
            list(search.search(params(searcher=searcher, space=space), tmp_path, tmp_path, confirms=False))


class TestVerdict:
    def test_the_best_trial_is_the_one_that_ended_best_and_of_equals_the_first(self):
        trials = [training(0, 0.9, 0.5), training(1, 0.1, 0.7), training(2, 0.1, 0.7)]
        trials += [training(3, 0.99, status="stopped"), training(4, 0.99, 0.99, status="failed")]
        assert [one.job.trial for one in verdict.ranked(trials)] == [1, 2, 0]

    def test_where_the_budget_ended_every_trial_those_that_went_furthest_are_compared(self):
        trials = [training(0, 0.9, status="stopped"), training(1, 0.1, 0.3, status="stopped")]
        assert verdict.best(trials, [])["trial"] == 1

    def test_without_trials_the_params_file_stands_as_it_is(self):
        assert verdict.best([], []) == {"trial": None, "parameters": {}}

    def test_a_sweep_of_which_nothing_is_left_says_why(self):
        with pytest.raises(DataError, match=r"^every trial of the sweep failed; the first: out of memory$"):
            verdict.best([training(0, 0.5, status="failed", error="out of memory")], [])

    def test_the_best_and_the_defaults_are_confirmed_with_seeds_that_no_trial_had(self):
        given = params(confirm={"best": 2, "seeds": 3, "in_stage": False})
        trials = [training(n, value) for n, value in enumerate([0.1, 0.7, 0.6, 0.5])]
        jobs = verdict.confirmations(given, trials)
        assert sorted({job.trial for job in jobs}) == [0, 1, 2]
        assert {job.seed for job in jobs} == {given.compute.seed + n for n in (1, 2, 3)}
        assert {job.epochs for job in jobs} == {given.train_diffusion.epochs}
        assert len({job.name for job in jobs}) == len(jobs) == 9

    def test_the_defaults_are_not_trained_twice_where_they_are_among_the_best(self):
        trials = [training(n, value) for n, value in enumerate([0.7, 0.6, 0.1])]
        assert sorted({job.trial for job in verdict.confirmations(params(), trials)}) == [0, 1]

    def confirmed(self, *accuracies: tuple[int, float, float]) -> dict[str, Any]:
        trials = [training(n, 0.5) for n in range(4)]
        again = [training(n, *[0.0] * 3, value, seed=seed)
                 for n, *values in accuracies for seed, value in enumerate(values, start=2)]  # fmt: skip
        return verdict.best(trials, again)

    def test_the_winner_is_the_best_mean_not_the_best_training(self):
        best = self.confirmed((0, 0.50, 0.51), (1, 0.95, 0.55), (2, 0.80, 0.79))
        assert best["trial"] == 2
        assert best["mean"] == pytest.approx(0.795)
        assert best["spread"] == pytest.approx(0.00707, rel=1e-2)
        assert (best["seeds"], best["trials"]) == ([2, 3], [0, 1, 2])
        assert "is better than the defaults" in best["says"]

    def test_what_the_spread_of_seeds_does_not_tell_apart_leaves_the_defaults(self):
        best = self.confirmed((0, 0.50, 0.60), (1, 0.55, 0.65))
        assert (best["trial"], best["parameters"]) == (0, {"diffusion.blocks": 1})
        assert best["says"].endswith("cannot be told apart by 2 new seeds: the defaults stay")

    def test_equal_to_the_defaults_in_every_training_is_not_better(self):
        assert self.confirmed((0, 0.5, 0.5), (1, 0.5, 0.5))["trial"] == 0

    def test_a_trial_of_which_a_new_training_failed_cannot_win(self):
        trials = [training(n, 0.5) for n in range(2)]
        again = [training(0, 0.5, seed=2), training(0, 0.51, seed=3), training(1, 0.9, seed=2),
                 training(1, 0.9, seed=3, status="failed", error="x")]  # fmt: skip
        assert verdict.best(trials, again)["trial"] == 0

    @pytest.mark.parametrize("rivals", [1, 2, 4])
    @settings(max_examples=3, deadline=None)
    @given(st.integers(0, 2**31))
    def test_the_best_of_some_of_the_same_kind_is_rarely_called_better(self, rivals, seed):
        import numpy as np

        random, found = np.random.default_rng(seed), 0
        for _ in range(1000):
            known, *others = (
                verdict.Confirmed(n, {}, (1, 2, 3), tuple(random.normal(0.8, 0.01, 3).tolist()))
                for n in range(rivals + 1)
            )
            found += verdict.is_better(max(others, key=lambda one: one.mean), known, rivals)
        assert found <= 85  # a twentieth is 50, with a deviation of 7


class TestAdoption:
    def test_the_winner_goes_into_the_params_file_and_all_else_of_it_stays(self, tmp_path):
        path = tmp_path / "demo.yaml"
        path.write_text(DEMO.read_text())
        exploration.adopt(path, {"optim.muon_rate": 0.0123, "diffusion.blocks": 3})
        before, after = DEMO.read_text().splitlines(), path.read_text().splitlines()
        changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
        assert [new for _, new in changed] == ["  muon_rate: 0.0123", "  blocks: 3"]

    def test_small_numbers_text_and_truth_are_read_back_as_they_were(self, tmp_path):
        path = tmp_path / "a.yaml"
        path.write_text("a: # why\n  b: 1 # c\n  d: x\n  e: true\n")
        exploration.adopt(path, {"a.b": 1e-7, "a.d": "no", "a.e": False})
        assert yaml.safe_load(path.read_text()) == {"a": {"b": 1e-7, "d": "no", "e": False}}
        assert "# why" in path.read_text()


def test_the_best_so_far_never_falls_and_leaves_out_what_has_no_figure():
    trials = [training(0, 0.5), training(1, 0.4), training(2), training(3, 0.6)]
    assert sweep_runs.best_so_far(rows(trials, [])) == [(0, 0.5), (1, 0.5), (3, 0.6)]


def test_the_pictures_are_svg_whatever_the_values(tmp_path):
    from xml.etree import ElementTree

    trials = rows([training(0, 0.5), training(1, 0.4, status="stopped"), training(2)], [])
    for row, value in zip(trials, ["<a>", "b & c", "b"], strict=True):
        row["parameters"] = {"x.kind": value, "x.rate": 10.0 ** -row["number"], "x.on": row["number"] > 0}
    picture = ElementTree.fromstring(sweep_charts.parallel(trials, 0))
    assert len(picture.findall("{*}polyline")) == 2
    assert ElementTree.fromstring(sweep_charts.curve([(0, 0.5), (1, 0.6)])).findall("{*}polyline")
    assert ElementTree.fromstring(sweep_charts.curve([(0, 0.5)])) is not None


@pytest.mark.parametrize("best", [0, 2])
def test_once_the_last_confirmation_ended_no_time_is_left(best):
    """Where the defaults are among the best, they are not trained once more beside them."""
    known = [training(number, 0.9 if number == best else 0.1 * number) for number in range(3)]
    wanted = params(trials=3, confirm={"best": 1, "seeds": 2, "in_stage": False})
    again = [
        Training(job, status="finished", history={1: {"valid_accuracy": 0.5}})
        for job in verdict.confirmations(wanted, known)
    ]
    standing = Standing({one.job.name: one for one in [*known, *again]}, {SEARCH: 9.0, CONFIRMATION: 8.0})
    standing.phase = CONFIRMATION
    assert sweep_view.seconds_left(wanted, standing) == 0
    again[-1].status = "running"
    assert sweep_view.seconds_left(wanted, standing) == pytest.approx(8.0 / (len(again) - 1))


def test_a_stage_whose_only_trial_with_a_figure_failed_goes_on_to_the_next_one(monkeypatch, tmp_path):
    first = training(0, 0.3, status="running")
    failed = training(0, 0.3, status="failed", error="loss is nan in epoch 2")
    second = training(1, 0.2, status="running")
    course = [[first], [failed], [failed, training(1, status="running")], [failed, second]]

    def going(*_: Any) -> Any:
        for trainings in course:
            yield Standing({one.job.name: one for one in trainings})
        return Standing({one.job.name: one for one in (failed, training(1, 0.2))})

    monkeypatch.setattr("flows.sweep.search.search", going)
    reports = list(stage.run(params(), Path(), tmp_path, tmp_path))
    assert [report.metrics.get("trial") for report in reports] == [0, 1, None]
    assert json.loads((tmp_path / "best.json").read_text())["trial"] == 1


@pytest.mark.parametrize(
    ("sweep", "line"),
    [
        ({}, r"sweep\.trials: 0 and no other budget: give --trials N, --epochs N or --minutes M"),
        ({"minutes": 1.0, "space": {}}, r"sweep\.space: empty: needed is at least one parameter"),
    ],
)
def test_a_search_that_nothing_would_end_or_that_has_no_space_is_one_line(monkeypatch, tmp_path, sweep, line):
    path, content = tmp_path / "demo.yaml", yaml.safe_load(DEMO.read_text())
    content["sweep"] |= {"trials": 0} | sweep
    path.write_text(yaml.safe_dump(content))
    monkeypatch.setattr(project, "params_path", lambda experiment: path)
    with pytest.raises(project.Failed, match=rf"^{path}: {line}$") as failed:
        exploration.explore("demo", {}, adopts=True)
    assert failed.value.kind == "config"


@pytest.mark.parametrize("learns", [True, False])
def test_without_a_number_of_trials_as_many_are_drawn_as_the_epochs_allow_though_all_fail_at_once(tmp_path, learns):
    journal, drawn = Journal(tmp_path / "sweep.jsonl"), 0
    journal.opened(SEARCH)
    for job in search._trials(params(trials=0, epochs=5), journal):
        drawn += 1
        for epoch in (1, 2) if learns else ():
            journal.reported(job.name, epoch, {"valid_accuracy": 0.5})
        journal.ended(job.name, "finished" if learns else "failed")
    assert drawn == (3 if learns else 5)


def test_without_a_number_of_trials_the_view_counts_none_and_tells_time_by_the_minutes():
    standing = Standing({trial_name(0): training(0, 0.5)}, {SEARCH: 30.0, CONFIRMATION: 0.0})
    told = sweep_view.summary(params(trials=0, minutes=1.0), standing)
    assert told == "1 finished; best 0.500 (trial 0); 30 s left of the search"
    assert sweep_view.seconds_left(params(trials=0, epochs=9), standing) is None
