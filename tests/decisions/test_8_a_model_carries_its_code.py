"""Decision 8: a registered model answers by itself, wherever it is loaded, whatever becomes of this code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from clones import BETTER_THAN_MAJORITY, NOT_WORSE, Clone

from components.learning import evaluation

LOAD = """
import json, sys, mlflow, pandas
model = mlflow.pyfunc.load_model("models:/lldif-demo@champion")
rows = pandas.read_parquet(sys.argv[1])
answers = model.predict(rows[["image"]])
answers.to_parquet(sys.argv[2])
print(json.dumps(sys.modules["components"].__file__))
"""


def load_elsewhere(clone: Clone, folder: Path) -> tuple[Path, "pq.Table"]:
    """The champion's answers on dark valid, and where its code lay, from a process that knows only MLflow."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{clone.path / 'mlflow.db'}"
    table, out = clone.path / "runs" / "demo" / "dark_valid.parquet", folder / "answers.parquet"
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOAD, table, out], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return Path(json.loads(done.stdout.splitlines()[-1])), pq.read_table(out)


def test_it_answers_in_a_fresh_process_as_it_did_in_evaluation(finished, tmp_path):
    clone, _ = finished
    code, answers = load_elsewhere(clone, tmp_path)
    assert code.is_relative_to(clone.path / "mlartifacts")
    recorded = evaluation.read(clone.path / "runs" / "demo" / "predictions.parquet", "candidate")
    served = np.stack([answers[name].to_numpy() for name in answers.column_names if name != "label"], axis=1)
    np.testing.assert_allclose(served, recorded.probabilities, atol=1e-5)


def test_it_answers_when_the_code_here_is_broken(clone: Clone, tmp_path):
    for module in (clone.path / "components").rglob("*.py"):
        module.write_text("raise RuntimeError('broken')\n")
    load_elsewhere(clone, tmp_path)


def test_its_code_is_what_it_needs_and_no_more(finished):
    clone, _ = finished
    (code,) = (clone.path / "mlartifacts").rglob("code/components")
    modules = {str(path.relative_to(code)) for path in code.rglob("*.py") if path.name != "__init__.py"}
    assert "model/lldif.py" in modules
    others = ("stages", "lowlight/camera", "lowlight/jpeg", "lowlight/gamma", "gates", "data/table", "data/faces")
    assert not [name for name in modules if name.startswith(others)]


def test_the_gate_alternates_two_processes_and_refuses_a_known_worse_model(clone: Clone):
    content = clone.params()
    content["train_diffusion"]["epochs"] = 1  # it learns next to nothing
    clone.set_params(content)
    clone.set_gates([BETTER_THAN_MAJORITY | {"limit": 0.2}, NOT_WORSE])
    answer = clone.answer("lldif", "run", "demo", "--json", code=3)
    assert (answer["decision"], answer["version"], answer["alias"]) == ("rejected", 2, None)
    assert set(answer["latency_milliseconds"]) == set(answer["test"]) == {"candidate", "champion"}
    assert clone.champion() == 1
    again = clone.answer("lldif", "run", "demo", "--json", code=3)  # what was rejected is not judged twice
    assert again["gates"] == answer["gates"]


def test_a_better_model_takes_over_and_the_old_one_is_previous(clone: Clone):
    content = clone.params()
    content["train_diffusion"]["epochs"] = 6
    clone.set_params(content)
    clone.set_gates([BETTER_THAN_MAJORITY, NOT_WORSE | {"margin": 0.5}])
    answer = clone.answer("lldif", "run", "demo", "--json")
    assert (answer["decision"], answer["version"], answer["alias"]) == ("promoted", 2, "champion")
    assert clone.champion() == 2
    # back to the old parameters: its model is found by its weights, and nothing is judged again
    content["train_diffusion"]["epochs"] = 4
    clone.set_params(content)
    back = clone.answer("lldif", "run", "demo", "--json")
    assert (back["version"], back["alias"]) == (1, "previous")
    assert clone.champion() == 2
