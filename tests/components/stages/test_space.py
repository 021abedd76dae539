"""The space of a sweep, and what it found, are of this model, or one clear line says what is not."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import experiment
from components.config import ConfigError, parse
from components.records import DataError
from components.stages import sweep, train_diffusion
from components.stages.train_diffusion import override


def params(repository: Path, **changes: Any) -> sweep.Params:
    content = yaml.safe_load((repository / "params" / "demo.yaml").read_text(encoding="utf-8"))
    content["sweep"] |= changes
    given = experiment.given(parse(experiment.Experiment, content, Path("demo.yaml")), "sweep")
    assert isinstance(given, sweep.Params)
    return given


def test_a_search_begins_with_what_the_params_file_says(repository):
    given = params(repository)
    assert sweep.defaults(given) == {
        "optim.muon_rate": given.optim.muon_rate,
        "train_diffusion.loss.kl_weight": given.train_diffusion.loss.kl_weight,
        "diffusion.blocks": given.diffusion.blocks,
    }


def test_a_choice_changes_what_it_names_and_nothing_else(repository):
    given = params(repository)
    changed = override(given, {"diffusion.blocks": 3, "optim.muon_rate": 0.01})
    assert (changed.diffusion.blocks, changed.optim.muon_rate) == (3, 0.01)
    back = override(changed, {"diffusion.blocks": given.diffusion.blocks, "optim.muon_rate": given.optim.muon_rate})
    assert back == override(given, {})


@pytest.mark.parametrize(
    ("space", "line"),
    [
        ({"optim.muon_rat": {"kind": "uniform", "low": 0.1, "high": 0.2}}, r"muon_rat: .* in optim there is .*_rate"),
        ({"optim": {"kind": "choice", "values": [1]}}, "space: optim = 1"),
        ({"optim.muon_rate.x": {"kind": "choice", "values": [1]}}, r"in optim\.muon_rate there is nothing"),
        ({"a.b": {"kind": "choice", "values": [1]}}, r"a\.b: no such parameter: in the params there is compute, "),
        ({"train_diffusion.epochs": {"kind": "integer", "low": 1, "high": 3}}, "the sweep sets it itself"),
        ({"compute.seed": {"kind": "integer", "low": 1, "high": 3}}, "the sweep sets it itself"),
        ({"model.prior.width": {"kind": "integer", "low": 8, "high": 16}}, r"stage 1: allowed with sweep\.stage_one"),
        ({"model.light.blurs": {"kind": "choice", "values": [False, True]}}, r"stage 1: allowed with sweep\.stage_one"),
        ({"train_prior.loss.clean_share": {"kind": "uniform", "low": 0, "high": 1}}, r"allowed with sweep\.stage_one"),
        ({}, "space is empty: needed is at least one parameter"),
        ({"optim.muon_rate": {"kind": "uniform", "low": 0.2, "high": 0.1}}, "low must be below high"),
        ({"optim.muon_rate": {"kind": "log_uniform", "low": 0, "high": 0.1}}, "low must be above 0"),
        ({"optim.muon_rate": {"kind": "uniform", "low": -1, "high": 0.1}}, r"optim\.muon_rate = -1(\.0)?: "),
        ({"diffusion.blocks": {"kind": "integer", "low": 0, "high": 3}}, r"diffusion\.blocks = 0: "),
        ({"diffusion.predicts": {"kind": "choice", "values": ["z0", "z1"]}}, r"diffusion\.predicts = z1: "),
        ({"diffusion.predicts": {"kind": "choice", "values": []}}, "at least 1 item"),
        ({"diffusion.blocks": {"kind": "gauss", "low": 1, "high": 3}}, "gauss|expected"),
    ],
)  # fmt: skip
def test_a_space_that_cannot_be_searched_is_one_line_before_anything_starts(repository, space, line):
    with pytest.raises(ConfigError, match=rf"^demo\.yaml: [^\n]*({line})[^\n]*$"):
        params(repository, space=space)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"grace_epochs": 9, "epochs_per_trial": 3}, "grace_epochs must not exceed epochs_per_trial"),
        ({"gpus_per_trial": 1.5}, "allowed are a share of one GPU or whole GPUs"),
        ({"confirm": {"best": 1, "seeds": 1, "in_stage": True}}, "greater than or equal to 2"),
        ({"minutes": 0}, "greater than 0"),
        ({"epochs": 0}, "greater than or equal to 1"),
        ({"patience": 3}, "sweep.patience: unknown key: allowed is trials, epochs, minutes"),
        ({"searcher": "grid"}, "'random' or 'tpe'"),
    ],
)
def test_a_budget_or_rule_that_cannot_be_is_one_line_before_anything_starts(repository, changes, line):
    with pytest.raises(ConfigError, match=rf"^demo\.yaml: [^\n]*({line})[^\n]*$"):
        params(repository, **changes)


def test_parameters_of_stage_1_are_searched_where_the_params_file_says_so(repository):
    space = {"model.prior.width": {"kind": "integer", "low": 8, "high": 16}}
    assert params(repository, space=space, stage_one=True).sweep.space["model.prior.width"].ends == (8, 16)


@pytest.mark.parametrize(
    ("best", "line"),
    [
        ({"parameters": {"diffusion.steps": 0}}, r"diffusion\.steps: Input should be greater than or equal to 1"),
        ({"parameters": {"diffusion.steps": "4"}}, r"diffusion\.steps: Input should be a valid integer"),
        (
            {"parameters": {"diffusion.stepz": 4}},
            r"diffusion\.stepz: no such parameter: in diffusion there is form, .*",
        ),
        ({"parameters": {"batches.exposure_low": 0.9}}, "batches: exposure_low must not exceed exposure_high"),
        ({"parameters": {"train_prior.epochs_after": 0}}, r"train_prior\.epochs_after: with .*"),
        ({"parameters": ["diffusion.steps"]}, "not what a sweep leaves .*"),
        ({"parameters": None}, "not what a sweep leaves .*"),
    ],
)
def test_what_no_sweep_of_this_model_would_find_is_one_line_that_names_its_file(repository, tmp_path, best, line):
    (tmp_path / "best.json").write_text(json.dumps(best))
    given = experiment.given(experiment.load(repository / "params" / "demo.yaml"), "train_diffusion")
    with pytest.raises(DataError, match=rf"^{tmp_path}/best\.json: {line}$"):
        next(train_diffusion.run(given, Path(), tmp_path, tmp_path))
