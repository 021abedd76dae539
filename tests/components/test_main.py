"""`python -m components STAGE PARAMS`: stages on a bare machine, reports as JSON lines."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components.data import table
from components.lowlight.table import read_dark


@pytest.fixture(scope="module")
def params(tmp_path_factory, repository) -> Path:
    content = yaml.safe_load((repository / "params" / "demo.yaml").read_text(encoding="utf-8"))
    content["ingest"] |= {"train": 21, "valid": 14, "test": 7}
    content["darken"] = {"exposures": [1.0, 0.05]}
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


def test_the_science_needs_none_of_the_engines(repository):
    """On a bare machine there is neither DVC nor MLflow, neither Prefect nor Ray."""
    program = (
        "import sys, components.__main__\n"
        "engines = {'dvc', 'mlflow', 'prefect', 'ray', 'boto3', 'great_expectations', 'flows'}\n"
        "print(sorted(engines & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
