"""What we give Ray to decide with, without starting it: ASHA's rungs after a kill, budgets, GPUs, places. 15 s, most of
them for imports.
"""

import os
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from components import experiment
from components.config import ConfigError, parse
from components.records import DataError
from components.stages import sweep
from components.stages.sweep import Job
from flows.sweep import engine
from flows.sweep.journal import SEARCH, Journal, trial_name
from flows.sweep.place import VARIABLE, Place

DEMO = Path(__file__).resolve().parents[2] / "params" / "demo.yaml"
EPOCHS = 9
# accuracy of each trial by epoch: 0 is middling, 1 poor, 2 good, 3 good at first only
CURVES = {0: [0.1 * e for e in range(1, 10)], 1: [0.05] * 9, 2: [0.2 * e for e in range(1, 10)], 3: [0.21] * 9}


def params(**changes: Any) -> sweep.Params:
    content = yaml.safe_load(DEMO.read_text())
    content["sweep"] |= {"trials": 4, "epochs_per_trial": EPOCHS, "scheduler": "asha", "reduction_factor": 3} | changes
    made = experiment.given(parse(experiment.Experiment, content, DEMO), "sweep")
    assert isinstance(made, sweep.Params)
    return made


def journal_at(path: Path) -> Journal:
    journal = Journal(path)
    journal.opened(SEARCH)
    return journal


def want(journal: Journal, scheduler: Any, number: int, session: str) -> Any:
    """The trial in Ray's eyes, which has another id in each session."""
    job = Job(trial_name(number), number, {}, 1, EPOCHS)
    if job.name not in journal.standing.trainings:
        journal.wants(job)
    trial = SimpleNamespace(trial_id=f"{session}-{number}", config={"job": vars(job)})
    scheduler.on_trial_add(None, trial)
    return trial


def report(scheduler: Any, trial: Any, epoch: int) -> str:
    value = CURVES[trial.config["job"]["trial"]][epoch - 1]
    result = {"epoch": epoch, sweep.METRIC: value, f"metrics/{sweep.METRIC}": value}
    return str(scheduler.on_trial_result(None, trial, result))


def course(folder: Path, killed_after: int | None) -> list[tuple[int, int, str]]:
    """(trial, epoch, decision) of a whole search, killed once after so many reports."""
    given, decisions = params(), []
    journal = journal_at(folder / "sweep.jsonl")
    scheduler, session = engine.scheduler_of(given, journal, True), "first"
    trials = {number: want(journal, scheduler, number, session) for number in CURVES}
    for epoch in range(1, EPOCHS + 1):
        for number in CURVES:
            if journal.standing.trainings[trial_name(number)].has_ended:
                continue
            if len(decisions) == killed_after:
                journal = journal_at(folder / "sweep.jsonl")
                scheduler = engine.scheduler_of(given, journal, True)
                trials = {number: want(journal, scheduler, number, "second") for number in CURVES}
            decisions.append((number, epoch, report(scheduler, trials[number], epoch)))
    return decisions


def test_whenever_it_is_killed_asha_decides_as_if_it_had_not_been(tmp_path):
    whole = course(tmp_path, None)
    assert {number for number, _, decision in whole if decision == "STOP"} == {1, 3}
    for killed_after in range(1, len(whole)):
        (folder := tmp_path / str(killed_after)).mkdir()
        assert course(folder, killed_after) == whole


def test_a_trial_that_a_kill_kept_from_being_stopped_is_stopped_before_anything_goes_on(tmp_path):
    journal = journal_at(tmp_path / "sweep.jsonl")
    scheduler = engine.scheduler_of(params(), journal, True)
    for number in (2, 1):
        assert report(scheduler, want(journal, scheduler, number, "first"), 1) == (
            "STOP" if number == 1 else "CONTINUE"
        )
    lines = (tmp_path / "sweep.jsonl").read_text().splitlines(keepends=True)
    assert '"ended"' in lines[-1]
    (tmp_path / "sweep.jsonl").write_text("".join(lines[:-1]))  # the kill came between the report and its consequence
    again = Journal(tmp_path / "sweep.jsonl")
    engine.scheduler_of(params(), again, True)
    one = again.standing.trainings[trial_name(1)]
    assert (one.status, one.stopped_by) == ("stopped", "asha")


@pytest.mark.parametrize("scheduler", ["asha", "none"])
def test_without_asha_or_while_confirming_no_trial_is_stopped(tmp_path, scheduler):
    journal = journal_at(tmp_path / "sweep.jsonl")
    made = engine.scheduler_of(params(scheduler=scheduler), journal, stops_early=scheduler == "none")
    for number in CURVES:
        trial = want(journal, made, number, "first")
        assert {report(made, trial, epoch) for epoch in range(1, EPOCHS + 1)} == {"CONTINUE"}


def test_the_budget_in_epochs_ends_every_trial_at_its_next_report(tmp_path):
    journal = journal_at(tmp_path / "sweep.jsonl")
    scheduler = engine.scheduler_of(params(scheduler="none", epochs=3), journal, True)
    first, second = (want(journal, scheduler, number, "first") for number in (0, 2))
    assert [report(scheduler, first, 1), report(scheduler, second, 1)] == ["CONTINUE", "CONTINUE"]
    assert [report(scheduler, first, 2), report(scheduler, second, 2)] == ["STOP", "STOP"]
    assert {one.stopped_by for one in journal.standing.trials()} == {"budget"}


def test_what_we_give_ray_costs_its_snapshots_nothing(tmp_path):
    journal = journal_at(tmp_path / "sweep.jsonl")
    assert len(pickle.dumps(engine.scheduler_of(params(), journal, True))) < 100


class TestGpus:
    def test_where_there_is_none_trials_use_cpus_and_a_line_says_so(self, capsys):
        assert engine.check_resources(params(gpus_per_trial=0.5), [{"CPU": 2.0}]) == 0.0
        assert capsys.readouterr().err == "sweep: gpus_per_trial is 0.5, and there is no GPU: trials run on CPUs\n"

    def test_where_there_is_one_a_trial_gets_its_share(self, capsys):
        assert engine.check_resources(params(gpus_per_trial=0.5), [{"CPU": 2.0}, {"CPU": 8.0, "GPU": 1.0}]) == 0.5
        assert capsys.readouterr().err == ""

    def test_more_than_any_node_has_is_one_line(self):
        with pytest.raises(ConfigError, match=r"^sweep\.gpus_per_trial: 2: the node with most has 1$"):
            engine.check_resources(params(gpus_per_trial=2), [{"CPU": 2.0, "GPU": 1.0}, {"CPU": 2.0, "GPU": 1.0}])
        with pytest.raises(ConfigError, match=r"^sweep\.cpus_per_trial: 4: the largest node has 2$"):
            engine.check_resources(params(cpus_per_trial=4), [{"CPU": 2.0}, {"CPU": 2.0}])

    def test_cpus_of_one_node_and_a_gpu_of_another_are_no_place_for_a_trial(self):
        nodes = [{"CPU": 16.0}, {"CPU": 2.0, "GPU": 1.0}]
        line = r"^sweep\.cpus_per_trial: 8: with gpus_per_trial 1, the largest node has 2$"
        with pytest.raises(ConfigError, match=line):
            engine.check_resources(params(cpus_per_trial=8, gpus_per_trial=1), nodes)
        assert engine.check_resources(params(cpus_per_trial=8, gpus_per_trial=0), nodes) == 0
        assert engine.check_resources(params(cpus_per_trial=2, gpus_per_trial=1), nodes) == 1

    @pytest.mark.parametrize(("gpus", "capped"), [(0.25, [0.25]), (1, []), (2, []), (0, [])])
    def test_the_memory_of_a_shared_gpu_is_capped(self, monkeypatch, gpus, capped):
        fractions: list[float] = []
        monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", fractions.append)
        monkeypatch.setitem(os.environ, "CUDA_VISIBLE_DEVICES", "0")
        engine.claim(gpus)
        assert fractions == capped
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ("0" if gpus else "")


class TestPlace:
    def test_what_is_kept_is_fetched_with_its_folders(self, tmp_path, monkeypatch):
        monkeypatch.delenv(VARIABLE, raising=False)
        place = Place.of(tmp_path / "state").at("trials/trial-0000")
        (tmp_path / "a").write_text("a")
        place.keep(tmp_path / "a", "checkpoint")
        place.keep(tmp_path / "a", "prior/checkpoint")
        (tmp_path / "a").write_text("b")
        place.keep(tmp_path / "a", "checkpoint")
        pickle.loads(pickle.dumps(place)).fetch(tmp_path / "to")  # noqa: S301 (as Ray carries it to a node)
        fetched = [path for path in (tmp_path / "to").rglob("*") if path.is_file()]
        content = {str(path.relative_to(tmp_path / "to")): path.read_text() for path in fetched}
        assert content == {"checkpoint": "b", "prior/checkpoint": "a"}
        place.remove()
        assert not (tmp_path / "state" / "trials" / "trial-0000").exists()
        place.remove()  # gone is gone
        place.fetch(tmp_path / "nothing")
        assert not (tmp_path / "nothing").exists()

    def test_what_a_killed_writer_left_half_is_not_fetched(self, tmp_path, monkeypatch):
        monkeypatch.delenv(VARIABLE, raising=False)
        place = Place.of(tmp_path / "state")
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / ".checkpoint.0123").write_text("hal")
        place.fetch(tmp_path / "to")
        assert not (tmp_path / "to").exists()

    @pytest.mark.parametrize("named", ["gs://bucket/x", "relative/folder"])
    def test_another_kind_of_place_is_one_line(self, tmp_path, monkeypatch, named):
        monkeypatch.setenv(VARIABLE, named)
        with pytest.raises(DataError, match=rf"^{VARIABLE}: {named}: allowed are s3://bucket/prefix and an absolute"):
            Place.of(tmp_path)
