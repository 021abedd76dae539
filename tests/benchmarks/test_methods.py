"""The declared methods fit the params files, and all cost the same."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from benchmarks.comparison.jobs import Arena
from benchmarks.comparison.methods import GROUPS, chosen
from components import experiment
from components.model.presets import PRESETS

PARAMS = Path(__file__).resolve().parents[2] / "params"


@pytest.mark.parametrize("method", GROUPS["all"], ids=lambda method: method.name)
@pytest.mark.parametrize("experiment", ["demo", "ferplus-dev"])
def test_every_method_changes_what_the_experiment_has(method, experiment):
    content = yaml.safe_load((PARAMS / f"{experiment}.yaml").read_text(encoding="utf-8"))
    job = Arena(experiment, content, "valid", Path("data"), Path("root")).job(method, 3, 24)
    assert job.content["compute"]["seed"] == 3
    assert content["compute"]["seed"] == 1


@pytest.mark.parametrize("total", [2, 3, 8, 24, 100])
def test_the_stages_of_every_method_share_its_epochs(total):
    content = yaml.safe_load((PARAMS / "demo.yaml").read_text(encoding="utf-8"))
    for method in GROUPS["all"]:
        shares = method.epochs(content, total)
        assert sum(shares.values()) == total
        assert min(shares.values()) >= 1
        assert set(shares) == set(method.stages)


def test_one_schedule_spans_the_epochs_that_the_stages_get():
    content = yaml.safe_load((PARAMS / "demo.yaml").read_text(encoding="utf-8"))
    content["train_prior"]["epochs"], content["train_diffusion"]["epochs"] = 1, 9
    (lldif,) = chosen("lldif")
    changed = lldif.applied(content, 20)
    assert (changed["train_prior"]["epochs"], changed["train_prior"]["epochs_after"]) == (2, 18)
    assert (changed["train_diffusion"]["epochs"], changed["train_diffusion"]["one_schedule"]) == (18, True)
    (apart,) = chosen("lldif_two_schedules")
    changed = apart.applied(content, 20)
    assert (changed["train_prior"]["epochs_after"], changed["train_diffusion"]["one_schedule"]) == (0, False)


@pytest.mark.parametrize("name", sorted(path.stem for path in PARAMS.glob("*.yaml") if path.stem != "live"))
def test_lldif_is_what_the_params_file_says(name):
    content = yaml.safe_load((PARAMS / f"{name}.yaml").read_text(encoding="utf-8"))
    (lldif,) = chosen("lldif")
    assert lldif.applied(content, content["train_baseline"]["epochs"]) == content


def test_the_papers_form_is_that_of_its_params_file():
    paper, ours = (yaml.safe_load((PARAMS / f"{name}.yaml").read_text("utf-8")) for name in ("paper", "ferplus-mini"))
    (form,) = chosen("lldif_paper")
    changed = form.applied(ours, 100)
    sizes = {"channels", "width", "preset", "weights", "epochs", "adamw_rate"}
    own = {"landmarks": "own", "images": "own"}  # small encoders in place of the pretrained ones
    paper["model"]["llformer"] |= own

    def without_sizes(part):
        kept = part.items() if isinstance(part, dict) else ()
        return {name: without_sizes(value) for name, value in kept if name not in sizes} or part

    for section in ("model", "diffusion", "train_prior", "train_diffusion", "objective", "inference", "optim"):
        assert without_sizes(changed[section]) == without_sizes(paper[section]), section
    assert changed["train_prior"]["epochs"] == paper["train_prior"]["epochs"]


def test_no_two_methods_have_one_name():
    names = [method.name for method in GROUPS["all"]]
    assert len(set(names)) == len(names)


def test_a_run_of_other_sizes_is_another_run(monkeypatch):
    content = yaml.safe_load((PARAMS / "demo.yaml").read_text(encoding="utf-8"))
    job = Arena("demo", content, "valid", Path("data"), Path("root")).job(chosen("lldif")[0], 1, 24)
    before = job.digest
    monkeypatch.setitem(PRESETS, "tiny", replace(PRESETS["tiny"], pooled_path=True))
    assert job.digest != before


@pytest.mark.parametrize("method", GROUPS["asked"], ids=lambda method: method.name)
def test_who_asks_anothers_weights_would_have_trained_the_same(method):
    content = yaml.safe_load((PARAMS / "demo.yaml").read_text(encoding="utf-8"))
    job = Arena("demo", content, "valid", Path("data"), Path("root")).job(method, 1, 20)
    assert job.lender is not None
    after_training = {"diffusion": {"samples", "steps"}, "inference": {"flip_average", "adjustment"}}
    for section in {name for stage in method.stages for name in experiment.sections(stage)}:
        free = after_training.get(section, set())
        own, lenders = ({k: v for k, v in one.content[section].items() if k not in free} for one in (job, job.lender))
        assert own == lenders, section


def test_what_a_line_says_was_changed_makes_its_run_again(tmp_path):
    """So a line is known to be of this params file, whichever method made it, and tuned or not."""
    content = yaml.safe_load((PARAMS / "ferplus-mini.yaml").read_text(encoding="utf-8"))
    arena = Arena("ferplus-mini", content, "valid", tmp_path / "data", tmp_path)
    for method in GROUPS["all"]:
        for tuned in ({}, {"optim.muon_rate": 0.03}):
            job = arena.job(method, 1, 24, tuned)
            assert arena.job(method, 1, 24, job.changes).digest == job.digest, method.name
