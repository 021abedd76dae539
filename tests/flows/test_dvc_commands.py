"""DVC's own commands work on what we declare."""

import json
from pathlib import Path

from clones import Clone


def test_metrics_and_plots_and_experiments(clone: Clone, tmp_path: Path):
    clone.git("add", "dvc.lock")
    clone.git("commit", "-q", "-m", "lock")
    shown = json.loads(clone.run("dvc", "metrics", "show", "--json").stdout)[""]["data"]
    assert shown["runs/demo/scores.json"]["data"]["candidate"]["accuracy"]["0.2"] > 0
    assert shown["runs/demo/faces.json"]["data"]["train"] == clone.params()["ingest"]["train"]

    clone.run("dvc", "exp", "run", "-S", "params/demo.yaml:train_diffusion.epochs=6")
    assert clone.params()["train_diffusion"]["epochs"] == 6
    changed = json.loads(clone.run("dvc", "metrics", "diff", "--json").stdout)
    assert any("candidate" in key for key in changed["runs/demo/scores.json"])
    listed = clone.run("dvc", "exp", "show", "--csv").stdout
    assert listed.count("\n") >= 3  # header, workspace, main, the experiment

    clone.run("dvc", "plots", "show", "--out", str(tmp_path / "plots"))
    page = (tmp_path / "plots" / "index.html").read_text()
    for title in ("accuracy by exposure", "lldif: accuracy on valid by epoch", "baseline: accuracy on valid by epoch"):
        assert title in page
    assert '"model": "baseline"' in page or '"model":"baseline"' in page


def test_an_experiment_in_a_folder_of_its_own_runs_the_code_there(clone: Clone):
    """DVC's temporary workspace is another clone: its code, not ours, must run."""
    clone.git("add", "dvc.lock")
    clone.git("commit", "-q", "-m", "lock")
    stage = clone.path / "components" / "stages" / "evaluate.py"
    stage.write_text(stage.read_text().replace('"majority":', '"majority_share":'))
    clone.run("dvc", "exp", "run", "--temp", "-n", "elsewhere", "evaluate@demo")
    shown = clone.run("dvc", "metrics", "show", "--json").stdout
    assert "majority_share" not in shown  # this workspace is as it was
    clone.run("dvc", "exp", "apply", "elsewhere")
    assert "majority_share" in (clone.path / "runs" / "demo" / "scores.json").read_text()
