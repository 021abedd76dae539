"""The comparison end to end on a few faces: equal budgets, nothing done twice, a kill forgotten, the same bytes."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import IO

import pytest
import torch
import yaml
from packaging.requirements import Requirement

from benchmarks import accuracy
from benchmarks.comparison import budget, jobs, methods, runs
from benchmarks.comparison.budget import Cost
from benchmarks.comparison.jobs import Arena, Job
from components import experiment
from components.config import ConfigError
from components.learning import checkpoint, inference
from components.learning.compute import own_precision
from components.learning.metrics import score
from components.lowlight.table import read_dark
from components.model.presets import PRESETS
from components.records import Report, file_sha256

REPOSITORY = Path(__file__).resolve().parents[2]
DARK = {"0.2", "0.05"}
RUNGS = {"clean", *DARK}


@pytest.fixture(scope="module")
def params(tmp_path_factory) -> Path:
    content = yaml.safe_load((REPOSITORY / "params" / "demo.yaml").read_text(encoding="utf-8"))
    content["ingest"] |= {"train": 84, "valid": 21, "test": 14}
    content["darken"] = {"exposures": [1.0, 0.2, 0.05]}
    content["batches"]["size"] = 28
    path = tmp_path_factory.mktemp("params") / "few.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def compared(params, tmp_path_factory) -> Path:
    """A folder in which plain and LLDif were compared: 3 epochs, one seed."""
    root = tmp_path_factory.mktemp("compared")
    assert compare(params, root) == 0
    return root


def compare(params: Path, root: Path, *more: str) -> int:
    given = ["--seeds", "1", "--epochs", "3", "--workers", "1", "--root", str(root), "--out", str(root / "lines.jsonl")]
    return accuracy.main([str(params), "--methods", "plain,lldif", *given, *more])


def arena(params: Path, root: Path) -> Arena:
    content = methods.overridden(yaml.safe_load(params.read_text()), {"compute.threads": 1})
    return Arena("few", content, "valid", jobs.prepare("few", content, None, root), root)


def plain_job(params: Path, root: Path, epochs: int = 3) -> Job:
    return arena(params, root).job(methods.chosen("plain")[0], 1, epochs)


def test_each_run_leaves_a_line_with_the_same_budget_and_no_path_of_this_machine(compared):
    text = (compared / "lines.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["method"] for line in lines] == ["plain", "lldif"]
    assert {line["faces_seen"] for line in lines} == {3 * 84}
    for line in lines:
        assert {score["exposure"] for score in line["scores"]} == {*RUNGS, "gamma"}
        assert {score["faces"] for score in line["scores"]} == {21}
        assert line["parameters"] > 10_000
        assert line["flops"] > 100_000
        assert line["seconds"] > 0
    assert str(compared) not in text
    assert str(REPOSITORY) not in text


def test_lldif_is_trained_to_the_bytes_of_the_stages_themselves(compared, params, tmp_path):
    content = yaml.safe_load(params.read_text())
    content["compute"] |= {"threads": 1, "seed": 1}
    content["train_prior"] |= {"epochs": 1, "epochs_after": 2}
    content["train_diffusion"] |= {"epochs": 2}
    whole = experiment.parse(experiment.Experiment, content, params)
    (tmp_path / "best.json").write_text('{"parameters": {}}')
    for stage in ("ingest", "darken", "train_prior", "train_diffusion"):
        list(experiment.STAGES[stage].run(experiment.given(whole, stage), Path(), tmp_path, tmp_path / stage))
    line = next(line for line in runs.lines(compared / "lines.jsonl") if line["method"] == "lldif")
    for name in ("prior.safetensors", "lldif.safetensors"):
        assert file_sha256(compared / "runs" / line["digest"] / name) == file_sha256(tmp_path / name)


def test_every_result_says_what_its_prior_is_worth_and_how_it_does_in_another_darkness(compared, params, tmp_path):
    plain, lldif = runs.lines(compared / "lines.jsonl")
    assert plain["probes"] is None
    assert lldif["probes"]["exposure"] == "0.05"
    assert {"one_chain", "eight_chains", "zero", "mean", "shuffled", "oracle"} < set(lldif["probes"]["lldif"])
    folder = compared / "runs" / plain["digest"]
    table = read_dark(compared / "data" / arena(params, compared).data.name / "gamma_valid.parquet")
    said = inference.predict(inference.load(folder / "baseline.safetensors"), table.images)
    (gamma,) = (score for score in plain["scores"] if score["exposure"] == "gamma")
    assert gamma["nll"] == round(score("gamma", said, table.labels, table.votes).nll, 5)


def test_one_training_is_judged_on_either_split(compared, params, monkeypatch, tmp_path):
    root = tmp_path / "compared"
    shutil.copytree(compared, root, symlinks=True)
    told: list[str] = []
    monkeypatch.setattr(runs, "say", told.append)
    monkeypatch.setattr(runs, "commit", lambda: "a later one")
    began = runs.lines(compared / "lines.jsonl")[0]
    (root / "runs" / began["digest"] / runs.BEGAN).unlink()  # as code that kept no such note left it
    torch.set_num_threads(2)
    assert compare(params, root, "--split", "test", "--out", str(tmp_path / "test.jsonl")) == 0
    assert torch.get_num_threads() == 1  # as its lines say
    assert told == []
    for valid, test in zip(runs.lines(compared / "lines.jsonl"), runs.lines(tmp_path / "test.jsonl"), strict=True):
        assert (valid["split"], test["split"], test["digest"]) == ("valid", "test", valid["digest"])
        assert {score["exposure"] for score in test["scores"]} == {*RUNGS, "gamma"}
        assert test["scores"] != valid["scores"]
        assert test["commit"] == "a later one"
        assert test["trained"] == (runs.UNKNOWN if valid == began else valid["commit"])
        assert (root / "runs" / valid["digest"] / "valid" / "predictions.parquet").exists()


@pytest.fixture(scope="module")
def asked(compared, params, tmp_path_factory) -> Path:
    """A copy of the folder, where LLDif's weights were asked with eight chains too."""
    root = tmp_path_factory.mktemp("asked") / "compared"
    shutil.copytree(compared, root, symlinks=True)
    assert compare(params, root, "--methods", "lldif_eight_chains,plain_both_sides") == 0
    return root


def test_a_method_that_asks_anothers_weights_gives_what_training_it_would(asked, params, tmp_path, capsys):
    (_, method) = methods.chosen("lldif_eight_chains")
    own = arena(params, tmp_path).job(replace(method, asks=""), 1, 3)
    runs.execute(own)
    assert own.digest in {line["digest"] for line in runs.lines(asked / "lines.jsonl")}
    borrowed = asked / "runs" / own.digest / "lldif.safetensors"
    assert file_sha256(borrowed) == file_sha256(own.folder / "lldif.safetensors")
    (lldif,) = (line for line in runs.lines(asked / "lines.jsonl") if line["method"] == "lldif")
    assert file_sha256(borrowed) != file_sha256(asked / "runs" / lldif["digest"] / "lldif.safetensors")


def test_a_method_that_asks_anothers_weights_trains_nothing(asked, params, monkeypatch, tmp_path):
    told: list[str] = []
    monkeypatch.setattr(runs, "say", told.append)
    monkeypatch.setattr(runs, "commit", lambda: "a later one")
    (_, method) = methods.chosen("lldif_asked_in_one_step")
    job = arena(params, asked).job(method, 1, 3)
    runs.execute(replace(job.lender, arena=replace(job.arena, split="test")))
    runs.execute(job)
    assert [path.name for path in job.folder.glob("*/line.json")] == ["line.json"]  # its own, none of the lender's
    runs.execute(replace(job, arena=replace(job.arena, split="test")))
    assert told == []
    weights, steps = [], []
    for folder in (job.folder, job.lender.folder):
        tensors, notes = checkpoint.read(folder / "lldif.safetensors")
        weights.append(tensors)
        steps.append(notes["diffusion"]["steps"])
    assert all(value.equal(weights[1][name]) for name, value in weights[0].items())
    assert steps == [1, 4]
    line = json.loads((job.judgement / "line.json").read_text())
    assert (line["method"], line["changes"]) == ("lldif_asked_in_one_step", {"diffusion.steps": 1})
    assert line["trained"] != line["commit"] == "a later one"


def test_who_is_asked_is_trained_first_and_where_it_is_not_that_is_one_line(asked, params, tmp_path):
    assert [method.name for method in methods.chosen("plain_both_sides,poster")] == [
        "poster",
        "plain",
        "plain_both_sides",
    ]
    (_, method) = methods.chosen("plain_both_sides")
    (failure,) = runs.run([arena(params, tmp_path).job(method, 1, 3)], tmp_path / "lines.jsonl", workers=1)
    assert failure.endswith("plain seed 1, whose weights are asked, has not been trained here")
    flips = {line["method"]: line["scores"] for line in runs.lines(asked / "lines.jsonl")}
    assert flips["plain"] != flips["plain_both_sides"]


def test_a_run_that_has_its_line_is_not_run_again(compared, params, monkeypatch):
    before = (compared / "lines.jsonl").read_text()
    monkeypatch.setattr(runs, "execute", lambda job: pytest.fail(f"{job.title} was run again"))
    assert compare(params, compared) == 0
    assert (compared / "lines.jsonl").read_text() == before


def test_a_killed_run_goes_on_from_its_checkpoint_and_ends_in_the_same_bytes(compared, params, monkeypatch, tmp_path):
    job = plain_job(params, tmp_path)
    told: list[str] = []

    def killed(line: str) -> None:
        told.append(line)
        if " 2/3 " in line:
            raise KeyboardInterrupt

    monkeypatch.setattr(runs, "say", killed)
    with pytest.raises(KeyboardInterrupt):
        runs.execute(job)
    assert not (job.judgement / "line.json").exists()
    told.clear()
    monkeypatch.setattr(runs, "say", told.append)
    runs.execute(job)
    assert [line.split()[4] for line in told] == ["2/3", "3/3"]  # the epoch after the last checkpoint, and on
    whole = plain_job(params, compared).folder
    assert file_sha256(job.folder / "baseline.safetensors") == file_sha256(whole / "baseline.safetensors")


def test_two_comparisons_that_want_one_run_do_not_train_it_at_once(params, tmp_path, monkeypatch):
    """The second finds it locked, waits for the first, and trains nothing."""
    job, told = plain_job(params, tmp_path, epochs=1), []
    first, waiting = threading.Event(), threading.Event()

    def say(line: str) -> None:
        told.append(line)
        if " 1/1 " in line:
            first.set()
            assert waiting.wait(60)
        elif "waiting" in line:
            waiting.set()

    monkeypatch.setattr(runs, "say", say)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(runs.execute, job)
        assert first.wait(60)
        other = pool.submit(runs.execute, job)
        one.result()
        other.result()
    assert [line for line in told if " 1/1 " in line] == told[:1]
    assert told[1:] == ["plain seed 1: another process is at it; waiting"]


def test_several_processes_side_by_side_leave_the_same_weights(compared, params, tmp_path):
    """Starts two processes: some seconds."""
    few = [plain_job(params, tmp_path), plain_job(params, tmp_path, epochs=1)]
    assert runs.run(few, tmp_path / "lines.jsonl", workers=2) == []
    assert {line["epochs"] for line in runs.lines(tmp_path / "lines.jsonl")} == {1, 3}
    whole = plain_job(params, compared).folder
    assert file_sha256(few[0].folder / "baseline.safetensors") == file_sha256(whole / "baseline.safetensors")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError("the disk is full"), "the disk is full"),
        (torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate"), "CUDA out of memory. Tried to allocate"),
    ],
)
def test_a_run_that_fails_is_one_line_and_the_others_go_on(params, tmp_path, monkeypatch, error, says):
    class Failing:
        Params = experiment.STAGES["train_baseline"].Params

        @staticmethod
        def run(*_: object):
            yield Report("train_baseline", 1, 3)
            raise error

    few = [plain_job(params, tmp_path)]
    monkeypatch.setitem(experiment.STAGES, "train_baseline", Failing)
    assert runs.run(few, tmp_path / "lines.jsonl", workers=1) == [f"plain seed 1: {says}"]
    assert runs.lines(tmp_path / "lines.jsonl") == []


def test_the_report_alone_shows_the_lines_there_are(compared, params, capsys):
    assert compare(params, compared, "--report") == 0
    tables = capsys.readouterr().out
    assert "| plain | " in tables
    assert "| lldif | " in tables
    assert (compared / "lines.md").read_text() == tables
    assert (compared / "lines.svg").read_text().startswith("<svg xmlns=")


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("--workers", "-1", "whole numbers from 1"),
        ("--seeds", "0", "whole numbers from 1"),
        ("--epochs", "1.5", "whole numbers from 1"),
        ("--sweep-trials", "-1", "whole numbers from 0"),
        ("--budget", "0", "numbers above 0"),
        ("--budget", "nan", "numbers above 0"),
        ("--budget", "soon", "numbers above 0"),
    ],
)
def test_a_number_that_cannot_be_is_refused_in_a_line(option, value, allowed, capsys):
    with pytest.raises(SystemExit) as ended:
        accuracy.main(["demo", option, value])
    assert ended.value.code == 2
    assert f"argument {option}: {value}: allowed are {allowed}" in capsys.readouterr().err


def test_differences_to_a_method_without_lines_are_refused_and_the_tables_stay(compared, params, capsys):
    assert compare(params, compared, "--report") == 0
    before = (compared / "lines.md").read_text()
    assert compare(params, compared, "--report", "--against", "plane") == 2
    assert capsys.readouterr().err == "--against plane: no line is of it: allowed are plain, lldif\n"
    assert (compared / "lines.md").read_text() == before


def test_tables_with_fewer_intervals_take_no_others_place(compared, params, tmp_path, capsys):
    lines = tmp_path / "lines.jsonl"
    lines.write_bytes((compared / "lines.jsonl").read_bytes())
    report = ("--report", "--out", str(lines))
    assert compare(params, tmp_path / "empty", *report) == 0  # there are none yet
    fewer = lines.with_suffix(".md").read_text()
    capsys.readouterr()
    assert compare(params, compared, *report) == 0
    whole = lines.with_suffix(".md").read_text()
    assert whole != fewer
    assert "left as it was" not in capsys.readouterr().err
    assert compare(params, tmp_path / "empty", *report) == 0
    assert lines.with_suffix(".md").read_text() == whole
    said = capsys.readouterr()
    assert said.out == fewer
    assert f"of 2 runs the predictions are not under {tmp_path / 'empty'}" in said.err


def test_tuning_gives_every_method_the_same_trials_and_the_best_is_used(params, tmp_path):
    """Six short trainings: some seconds."""
    assert compare(params, tmp_path, "--sweep-trials", "2", "--sweep-epochs", "2") == 0
    lines = runs.lines(tmp_path / "lines.jsonl")
    trials = [(line["method"], line["trial"]) for line in lines if line["trial"] is not None]
    assert sorted(trials) == [("lldif", 0), ("lldif", 1), ("plain", 0), ("plain", 1)]
    for line in (line for line in lines if line["trial"] is None):
        assert line["trials"] == 2
        rivals = [other for other in lines if other["method"] == line["method"] and other["trial"] is not None]
        means = [sum(s["accuracy"] for s in rival["scores"] if s["exposure"] in DARK) for rival in rivals]
        assert line["changes"] == rivals[means.index(max(means))]["changes"]


def test_lines_of_another_comparison_are_refused_before_anything_is_trained(compared, params, monkeypatch, capsys):
    monkeypatch.setattr(runs, "execute", lambda job: pytest.fail(f"{job.title} was run"))
    assert compare(params, compared, "--epochs", "4") == 2
    assert "lines.jsonl: holds lines of epochs 3: allowed are those of 4, or another --out" in capsys.readouterr().err
    assert compare(params, compared, "--preset", "small") == 2
    assert "holds lines of preset tiny: allowed are those of small, or another --out" in capsys.readouterr().err
    assert compare(params, compared, "--sweep-trials", "2") == 2
    assert "holds lines of trials 0: allowed are those of 2, or another --out" in capsys.readouterr().err
    monkeypatch.setattr(jobs, "meant", lambda precision: "float16")  # of another machine
    assert compare(params, compared) == 2
    assert f"holds lines of precision {own_precision()}: allowed are those of float16" in capsys.readouterr().err


@pytest.mark.parametrize("wanted", ["plain", "poster"])
def test_a_line_that_another_params_file_made_is_refused_before_another_stands_beside_it(
    compared, params, monkeypatch, capsys, tmp_path, wanted
):
    monkeypatch.setattr(runs, "execute", lambda job: pytest.fail(f"{job.title} was run"))
    changed = tmp_path / params.name
    content = yaml.safe_load(params.read_text())
    content["optim"]["weight_decay"] *= 2
    changed.write_text(yaml.safe_dump(content))
    assert compare(changed, compared, "--methods", wanted) == 2
    assert "lines.jsonl: holds a line of plain seed 1 by other settings or faces: " in capsys.readouterr().err


def test_lines_of_other_sizes_are_refused_as_well_and_so_is_a_plan_made_for_them(
    compared, params, monkeypatch, capsys, tmp_path
):
    given = "--budget", "1000", "--methods", "plain", "--epochs", "1"
    monkeypatch.setattr(budget, "measured", lambda *_: {"plain": Cost(1e-6, 1e-6, 0, 0)})
    assert compare(params, tmp_path, *given) == 0
    monkeypatch.setitem(PRESETS, "tiny", replace(PRESETS["tiny"], pooled_path=True))
    monkeypatch.setattr(runs, "execute", lambda job: pytest.fail(f"{job.title} was run"))
    assert compare(params, compared) == 2
    assert "lines.jsonl: holds lines of sizes " in capsys.readouterr().err
    assert compare(params, tmp_path, *given) == 2
    assert "1000 minutes pay for 1 epochs" in capsys.readouterr().err


def command(params: Path, root: Path, workers: int) -> list[str]:
    given = ["--methods", "plain", "--seeds", "2", "--epochs", "5", "--threads", "1", "--workers", str(workers)]
    where = ["--root", str(root), "--out", str(root / "lines.jsonl")]
    return [sys.executable, "-m", "benchmarks.accuracy", str(params), *given, *where]


def until_an_epoch_is_done(stream: IO[str]) -> None:
    assert any(": train_baseline 1/5 " in line for line in stream)


def test_a_comparison_in_the_background_outlives_the_shell_that_began_it(params, tmp_path):
    in_a_shell = ["sh", "-c", f"{shlex.join(command(params, tmp_path, workers=1))} & read leave"]
    with subprocess.Popen(
        in_a_shell, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as shell:
        assert shell.stdin
        assert shell.stderr
        until_an_epoch_is_done(shell.stderr)
        shell.stdin.close()
        shell.wait()
        assert len(runs.lines(tmp_path / "lines.jsonl")) < 2  # it is not done when its shell is gone
        shell.stderr.read()  # ends with the comparison
    assert [line["seed"] for line in runs.lines(tmp_path / "lines.jsonl")] == [1, 2]


def test_runs_end_with_the_comparison_that_asked_for_them(params, tmp_path):
    with subprocess.Popen(
        command(params, tmp_path, workers=2),
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as comparison:
        assert comparison.stderr
        until_an_epoch_is_done(comparison.stderr)
        comparison.kill()
        said = comparison.stderr.read()  # ends with the last run
    assert "whoever asked for this run is gone" in said
    assert runs.lines(tmp_path / "lines.jsonl") == []


def test_a_preset_takes_the_place_of_the_params_files(compared, params, tmp_path):
    given = ["--methods", "plain", "--epochs", "1", "--preset", "small"]
    assert compare(params, tmp_path, *given) == 0
    (small,), tiny = runs.lines(tmp_path / "lines.jsonl"), runs.lines(compared / "lines.jsonl")
    assert small["preset"] == "small"
    assert {line["preset"] for line in tiny} == {"tiny"}
    assert small["digest"] not in {line["digest"] for line in tiny}
    assert small["parameters"] > max(line["parameters"] for line in tiny if line["method"] == "plain")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_budget_measures_each_method_and_says_what_it_pays_for(params, tmp_path, capsys, workers):
    """Trains a method for some epochs of 84 faces, beside itself where two will run: some seconds."""
    assert compare(params, tmp_path, "--budget", "0.001", "--methods", "plain", "--workers", workers) == 0
    said = capsys.readouterr().err
    assert re.search(r"^plain: \d+ faces/s in training, answers \d+ faces/s$", said, re.MULTILINE)
    assert "no plan fits, so the least: 3 epochs of 84 faces, 1 seeds; about " in said


def test_a_budget_that_was_planned_is_gone_on_with_whatever_the_speeds_are_by_then(
    params, tmp_path, capsys, monkeypatch
):
    given = "--budget", "1000", "--methods", "plain", "--epochs", "1"
    monkeypatch.setattr(budget, "measured", lambda *_: {"plain": Cost(1e-6, 1e-6, 0, 0)})
    monkeypatch.setattr(runs, "execute", lambda job: pytest.exit("killed"))
    with pytest.raises(pytest.exit.Exception):
        compare(params, tmp_path, *given)
    assert "1000 minutes pay for 1 epochs of 84 faces, 1 seeds" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(budget, "measured", lambda *_: pytest.fail("measured again"))
    assert compare(params, tmp_path, *given) == 0
    assert "as planned before: 1 epochs of 84 faces, 1 seeds" in capsys.readouterr().err
    assert [line["epochs"] for line in runs.lines(tmp_path / "lines.jsonl")] == [1]
    monkeypatch.setattr(budget, "measured", lambda *_: {"plain": Cost(1.0, 1.0, 0, 0)})
    assert compare(params, tmp_path, *given[:3], "plain", "--epochs", "1", "--budget", "0.001") == 0
    assert "no plan fits" in capsys.readouterr().err  # other minutes, another plan


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """A folder of packages: those that the comparison says it needs, with what they require, and no other."""
    folder, found = tmp_path_factory.mktemp("bare"), set[str]()
    left = {"torch", "numpy", "scipy", "scikit-learn", "pyarrow", "pillow", "safetensors", "pydantic", "PyYAML"}
    while left:
        package = metadata.distribution(left.pop())
        found.add(package.name)
        wanted = [Requirement(line) for line in package.requires or ()]
        left |= {one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})} - found
        for path in package.files or ():
            top = folder / path.parts[0]
            if path.parts[0] != ".." and not top.exists():
                top.symlink_to(Path(str(package.locate_file(path.parts[0]))))
    return folder


def test_a_bare_machine_can_compare(bare, params, tmp_path):
    given = ["--methods", "plain,lldif", "--seeds", "1", "--epochs", "2", "--workers", "1", "--root", str(tmp_path)]
    command = [sys.executable, "-S", "-m", "benchmarks.accuracy", str(params), *given, "--out", str(tmp_path / "lines")]
    environment = {"PYTHONPATH": f"{bare}{os.pathsep}{REPOSITORY}", "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line["method"] for line in runs.lines(tmp_path / "lines")] == ["plain", "lldif"]
    assert "**Accuracy, %**" in done.stdout
    for engine in ("prefect", "mlflow", "dvc", "ray", "great_expectations", "boto3", "pandas"):
        assert not (bare / engine).exists()


def test_the_list_of_methods_says_what_each_is(capsys):
    assert accuracy.main(["--list"]) == 0
    assert re.search(r"^lldif_asked_in_two_steps +lldif's own weights: T = 2$", capsys.readouterr().out, re.MULTILINE)


def test_methods_and_places_that_do_not_exist_are_one_line(params, tmp_path, capsys):
    assert accuracy.main([str(params), "--methods", "magic", "--root", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("--methods magic: allowed are peers, ablations, asked, all, plain")
    with pytest.raises(ConfigError, match=r"^optim\.magic: not in the params file"):
        methods.overridden({"optim": {"kind": "muon"}}, {"optim.magic": 1})


def test_a_ladder_without_a_dark_rung_is_refused_before_anything_is_made(params, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(accuracy, "prepare", lambda *_: pytest.fail("faces were made"))
    content = yaml.safe_load(params.read_text(encoding="utf-8"))
    content["darken"]["exposures"] = [1.0, 0.3, 0.1]
    light = tmp_path / "light.yaml"
    light.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert compare(light, tmp_path) == 2
    assert capsys.readouterr().err == (
        f"{light}: darken.exposures: 1.0, 0.3, 0.1 has no mean in the dark: allowed is a ladder with one or more of"
        " 0.2, 0.05, 0.02, 0.01\n"
    )


@pytest.mark.parametrize("section", ["ingest", "camera", "darken", "compute"])
def test_a_params_file_that_lacks_a_section_is_one_line(section, params, tmp_path, capsys):
    content = yaml.safe_load(params.read_text(encoding="utf-8"))
    content[f"{section}s"] = content.pop(section)
    typo = tmp_path / "typo.yaml"
    typo.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert compare(typo, tmp_path) == 2
    assert capsys.readouterr().err.startswith(f"{typo}: {section}s: unknown key: allowed is ")
    with pytest.raises(ConfigError, match=f"^typo.yaml: {section}s: unknown key"):
        jobs.prepare(typo.name, content, None, tmp_path)


def test_an_empty_params_file_is_one_line(tmp_path, capsys):
    empty = tmp_path / "empty.yaml"
    empty.touch()
    assert compare(empty, tmp_path) == 2
    assert capsys.readouterr().err.startswith(f"{empty}: the file: ")
