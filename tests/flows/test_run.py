"""`lldif run`: the whole line."""

import json
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
from clones import Clone, hashes
from mlflow import MlflowClient

from components import experiment


def test_the_first_version_is_champion_and_every_stage_ran(finished):
    _, answer = finished
    assert [stage["name"] for stage in answer["stages"]] == list(experiment.STAGES)
    assert {stage["status"] for stage in answer["stages"]} == {"ran"}
    assert all(stage["seconds"] > 0 for stage in answer["stages"])
    assert (answer["decision"], answer["version"], answer["alias"]) == ("promoted", 1, "champion")
    assert {gate["name"] for gate in answer["gates"]} == {"better_than_majority", "not_worse_than_champion"}
    assert set(answer["candidate"]["accuracy"]) == {"clean", "0.2", "0.05", "mean_dark", "gamma"}
    assert set(answer["baseline"]) == set(answer["candidate"])


def test_again_at_once_everything_is_cached_and_no_version_is_made(finished):
    clone, first = finished
    again = clone.answer("lldif", "run", "demo", "--json")
    assert {stage["status"] for stage in again["stages"]} == {"cached"}
    assert again["version"] == first["version"]
    assert {k: v for k, v in again.items() if k != "stages"} == {k: v for k, v in first.items() if k != "stages"}
    assert "up to date" in clone.run("dvc", "status").stdout


def test_a_person_reads_scores_gates_and_what_to_type_next(finished):
    clone, _ = finished
    text = clone.run("lldif", "run", "demo").stdout
    for word in ("accuracy by exposure", "LLDif", "baseline", "mean_dark", "promoted", "@champion", "next", "lldif ui"):
        assert word in text


def test_outputs_come_back_from_the_cache(clone: Clone):
    before = hashes(clone.path / "runs")
    shutil.rmtree(clone.path / "runs")
    clone.run("dvc", "checkout")
    assert hashes(clone.path / "runs") == before


def test_without_cache_and_state_dvc_makes_the_lock_that_a_run_made(clone: Clone):
    lock = (clone.path / "dvc.lock").read_bytes()
    for folder in ("runs", "state", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(clone.path / folder)
    (clone.path / "dvc.lock").unlink()
    clone.run("dvc", "repro")
    assert (clone.path / "dvc.lock").read_bytes() == lock
    assert clone.answer("lldif", "run", "demo", "--json")["version"] == 1  # the same weights are the same version


def test_stages_run_on_a_bare_machine_make_the_same_bytes(clone: Clone, tmp_path):
    """`python -m components` knows no DVC, MLflow or Prefect."""
    folder = tmp_path / "bare"
    for stage in ("ingest", "darken", "train_prior"):
        done = clone.run(
            "python",
            "-m",
            "components",
            stage,
            "params/demo.yaml",
            "--folder",
            str(folder),
            "--state",
            str(tmp_path / stage),
        )
        assert all(json.loads(line)["stage"] == stage for line in done.stdout.splitlines())
    made = hashes(folder)
    assert {name: hashes(clone.path / "runs" / "demo")[name] for name in made} == made


def test_a_poisoned_table_stops_before_anything_is_trained_and_mlflow_has_the_findings(clone: Clone):
    table = clone.path / "runs" / "demo" / "faces.parquet"
    before = table.read_bytes()
    whole = pq.read_table(table)
    labels = whole["label"].to_pylist()
    labels[3] = 99
    field = whole.schema.field("label")
    pq.write_table(whole.set_column(whole.schema.get_field_index("label"), field, pa.array(labels, field.type)), table)
    line = (
        r"every label is a class \(expect_column_values_to_be_between\): broken by 1 of 560 rows of faces, such as 99"
    )
    done = clone.run("lldif", "stage", "validate", "demo", code=1)
    assert re.match(rf"lldif: {line} [^\n]*; all of it in reports/demo/validation/index\.html\n$", done.stderr)
    assert re.search(f"error: {line}", clone.run("lldif", "validate", "demo", str(table), code=1).stdout)
    table.write_bytes(before)
    # with rules that this table cannot meet, the run itself stops there
    content = clone.params()
    content["validation"]["split_faces"]["at_least"]["train"] = 141
    clone.set_params(content)
    done = clone.run("lldif", "run", "demo", "--json", code=1)
    assert re.match(
        r"lldif: validate@demo: enough faces in train .* such as 140 \(train\)", done.stderr.splitlines()[-1]
    )
    mlflow = MlflowClient(f"sqlite:///{clone.path / 'mlflow.db'}")
    folder = mlflow.get_experiment_by_name("lldif/demo").experiment_id
    last, first = mlflow.search_runs([folder], "tags.stage = 'validate'", order_by=["attributes.start_time DESC"])
    assert (last.info.status, last.data.metrics["errors"]) == ("FAILED", 1)
    assert (first.info.status, first.data.metrics["errors"]) == ("FINISHED", 0)
    for run in (last, first):
        assert "pages/index.html" in [item.path for item in mlflow.list_artifacts(run.info.run_id, "pages")]
