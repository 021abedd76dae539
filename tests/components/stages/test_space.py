"""The space of a sweep is of this model, or one clear line says what is not."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from components import experiment
from components.config import ConfigError, parse
from components.stages import sweep
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
        ({"optim.muon_rat": {"kind": "uniform", "low": 0.1, "high": 0.2}}, r"muon_rat: no such parameter .*muon_rate"),
        ({"optim": {"kind": "choice", "values": [1]}}, r"space: optim: no such parameter|space: optim = 1"),
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
