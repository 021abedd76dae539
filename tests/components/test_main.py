"""`python -m components STAGE PARAMS`: stages on a bare machine, reports as JSON lines."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from components import __main__, experiment
from components.config import ConfigError
from components.data import table
from components.lowlight.table import read_dark


@pytest.fixture(scope="module")
def params(tmp_path_factory, repository) -> Path:
    content = yaml.safe_load((repository / "params" / "demo.yaml").read_text(encoding="utf-8"))
    content["ingest"] |= {"train": 21, "valid": 14, "test": 7}
    content["darken"] = {"exposures": [1.0, 0.05]}
    content["compute"]["threads"] = 1
    content["model"]["prior"] |= {"channels": 16, "width": 8}
    content["train_prior"]["epochs"] = 3
    path = tmp_path_factory.mktemp("params") / "tiny.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def components(repository: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """In a process of its own, with no other folder of ours in sight."""
    return subprocess.run(
        [sys.executable, "-m", "components", *map(str, arguments)],
        cwd=repository,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_stages_print_reports_as_json_lines_and_make_their_tables(tmp_path, repository, params):
    folder, state = tmp_path / "runs", tmp_path / "state"
    for stage, total in (("ingest", 42), ("darken", 5)):
        done = components(repository, stage, params, "--folder", folder, "--state", state)
        assert (done.returncode, done.stderr) == (0, "")
        reports = [json.loads(line) for line in done.stdout.splitlines()]
        assert reports
        for report in reports:
            assert set(report) == {"stage", "step", "total", "metrics"}
            assert (report["stage"], report["total"]) == (stage, total)
        assert reports[-1]["step"] == total
    tables = {f"{name}.parquet" for name in ("faces", "rejects", "dark_valid", "dark_test", "gamma_valid")}
    assert {path.name for path in folder.iterdir()} == {"faces.json", *tables}
    counts = json.loads((folder / "faces.json").read_text())
    by_class = counts.pop("classes")
    assert counts == {"train": 21, "valid": 14, "test": 7, "left_as_duplicates": 0, "rejects": 0}
    assert {split: set(inside.values()) for split, inside in by_class.items()} == {
        "train": {3}, "valid": {2}, "test": {1}
    }  # fmt: skip
    assert len(table.read_split(folder / "faces.parquet", "train").ids) == 21
    dark = read_dark(folder / "dark_valid.parquet")
    assert dark.exposures.tolist() == [1.0] * 14 + [0.05] * 14


def test_a_bad_params_file_is_one_line_and_exit_code_two(tmp_path, repository, params):
    bad = tmp_path / "bad.yaml"
    bad.write_text(re.sub(r"adc_bits: \d+", "adc_bits: 99", params.read_text(encoding="utf-8")))
    done = components(repository, "darken", bad, "--folder", tmp_path / "runs", "--state", tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"{bad}: camera.adc_bits: Input should be less than or equal to 16\n"
    assert done.stdout == ""
    assert not (tmp_path / "runs").exists()


def test_missing_data_is_one_line_and_exit_code_one(tmp_path, repository, params):
    done = components(repository, "darken", params, "--folder", tmp_path / "none", "--state", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "faces.parquet: not a readable table" in done.stderr


@pytest.fixture(scope="module")
def faces(tmp_path_factory, params) -> Path:
    """A folder with what a training reads."""
    folder = tmp_path_factory.mktemp("faces")
    for stage in ("ingest", "darken"):
        wants = experiment.given(experiment.load(params), stage)
        list(experiment.STAGES[stage].run(wants, Path(), folder, folder / "state"))
    return folder


def changed(params: Path, path: Path, place: str, value: object) -> Path:
    """The params file at `path` as another has it, but for one key."""
    content = section = yaml.safe_load(params.read_text(encoding="utf-8"))
    *parents, last = place.split(".")
    for parent in parents:
        section = section[parent]
    assert section[last] != value
    section[last] = value
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def contents(*folders: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def train(monkeypatch, capsys) -> Callable[..., tuple[int, list[int], str]]:
    """Stage 1 by the command's own function: what it returns, the steps that it reports, what it says of errors."""

    def run(*arguments: object) -> tuple[int, list[int], str]:
        monkeypatch.setattr(sys, "argv", ["components", "train_prior", *map(str, arguments)])
        code, (out, err) = __main__.main(), capsys.readouterr()
        return code, [json.loads(line)["step"] for line in out.splitlines()], err

    return run


def test_a_killed_training_goes_on_under_its_own_params_alone(tmp_path, params, faces, train, monkeypatch):
    folder, state = shutil.copytree(faces, tmp_path / "runs"), tmp_path / "state"
    where = ("--folder", folder, "--state", state)
    # a generator that is left after its second report has the checkpoint of its first, as one that was killed
    stage = experiment.STAGES["train_prior"]
    killed = SimpleNamespace(Params=stage.Params, run=lambda *given: itertools.islice(stage.run(*given), 2))
    with monkeypatch.context() as patched:
        patched.setitem(experiment.STAGES, "train_prior", killed)
        assert train(params, *where) == (0, [1, 2], "")

    def refused(place: str, value: object) -> None:
        before, other = contents(folder, state), changed(params, tmp_path / "other.yaml", place, value)
        held = f"holds a checkpoint of train_prior that differs in {place.partition('.')[0]}"
        allowed = "allowed are the same params and inputs, or another --state"
        assert train(other, *where) == (2, [], f"{state}: {held}: {allowed}\n")
        assert contents(folder, state) == before

    refused("optim.muon_rate", 0.001)  # would fit the checkpoint
    assert train(params, *where) == (0, [2, 3], "")
    refused("model.prior.channels", 24)  # would not
    before = contents(folder, state)
    assert train(params, *where) == (0, [], "")  # nothing is left to do
    assert contents(folder, state) == before


def test_a_state_folder_belongs_to_a_stage_its_params_and_its_inputs(tmp_path, params, faces):
    def work(stage: str, folder: Path, file: Path = params) -> dict[str, object]:
        return __main__.work(stage, experiment.given(experiment.load(file), stage), folder)

    state, own = tmp_path / "state", work("train_prior", faces)
    other_params = work("train_prior", faces, changed(params, tmp_path / "p.yaml", "model.prior.sees", "dark"))
    __main__.claim(state, other_params)
    __main__.claim(state, own)  # a folder without a checkpoint is anybody's
    (state / "checkpoint.safetensors").touch()
    __main__.claim(state, own)
    moved = shutil.copytree(faces, tmp_path / "moved")
    __main__.claim(state, work("train_prior", moved))  # the same faces elsewhere
    shutil.copy(moved / "dark_test.parquet", moved / "dark_valid.parquet")
    before = contents(state)
    for another, differs in (
        (other_params, "model"),
        (work("train_prior", moved), "dark_valid.parquet"),
        (work("train_baseline", faces), "stage, train_prior, inference, train_baseline"),
    ):
        with pytest.raises(ConfigError, match=rf"state: holds a checkpoint of train_prior that differs in {differs}: "):
            __main__.claim(state, another)
    assert contents(state) == before


@pytest.mark.parametrize(
    "checkpoint", ["checkpoint.safetensors", "checkpoint_teacher.safetensors", "prior/prior.safetensors"]
)
@pytest.mark.parametrize("text", [None, "", "{", "[1]", "{}"])
def test_a_checkpoint_that_nothing_says_of_what_is_refused(tmp_path, checkpoint, text):
    (tmp_path / checkpoint).parent.mkdir(exist_ok=True)
    (tmp_path / checkpoint).touch()
    if text is not None:
        (tmp_path / "belongs_to.json").write_text(text)
    before = contents(tmp_path)
    with pytest.raises(
        ConfigError, match=r": holds a checkpoint and no belongs_to\.json that says of what: allowed is"
    ):
        __main__.claim(tmp_path, {"stage": "train_prior"})
    assert contents(tmp_path) == before


def test_what_a_training_reads_is_what_it_declares_to_dvc(repository):
    graph = yaml.safe_load((repository / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    runs = "runs/${key}/"
    declared = {
        stage: tuple(name.removeprefix(runs) for name in graph[stage]["do"]["deps"] if name.startswith(runs))
        for stage in graph
        if stage.startswith("train_")
    }
    assert declared == __main__.READ


def test_the_science_needs_none_of_the_engines(repository):
    """On a bare machine there is neither DVC nor MLflow, neither Prefect nor Ray."""
    program = (
        "import sys, components.__main__\n"
        "engines = {'dvc', 'mlflow', 'prefect', 'ray', 'boto3', 'great_expectations', 'flows'}\n"
        "print(sorted(engines & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
