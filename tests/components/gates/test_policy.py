"""Gates as they are declared: what would prove nothing, or cannot be judged, is refused. Milliseconds."""

from pathlib import Path

import pytest
from answers import ABSOLUTE, ALIKE, BETTER, EVERY_CLASS, NOT_WORSE, QUICK, SOUND, changed
from pydantic import ValidationError

from components.config import ConfigError, parse, read_yaml
from components.gates.policy import Gates, Holdout

POLICY = Path(__file__).parents[3] / "mlflow.yaml"


def declared(**changes: object) -> Gates:
    """The project's own gates, the one `not_worse_than_champion` changed."""
    content = read_yaml(POLICY)["gates"]
    (gate,) = [one for one in content["declared"] if one["name"] == "not_worse_than_champion"]
    gate |= changes
    return parse(Gates, content, POLICY)


def test_the_projects_own_gates_are_of_every_kind_but_superiority():
    gates = declared()
    assert {gate.kind for gate in gates.declared} == {
        "absolute", "non_inferiority", "slices", "fairness", "cost", "integrity",
    }  # fmt: skip
    assert gates.holdout.alpha_share == pytest.approx(1 / gates.holdout.looks)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"exposures": [0.05, 0.05]}, "an exposure stands twice"),
        ({"exposures": [0.05, 0.2]}, "test exact takes accuracy at one exposure: for anything else it is bootstrap"),
        ({"metric": "macro_f1"}, "test exact takes accuracy at one exposure: for anything else it is bootstrap"),
        ({"metric": "darkness_area", "test": "bootstrap"}, "darkness_area takes two exposures or more, and no slice"),
        (
            {"metric": "darkness_area", "test": "bootstrap", "exposures": [0.05, 0.2], "slice": "exposure=0.05"},
            "darkness_area takes two exposures or more, and no slice of one",
        ),
        ({"name": "sound"}, "gate sound stands twice"),
        ({"kind": "floor"}, "'absolute', 'non_inferiority', 'superiority', 'slices', 'fairness', 'cost', 'integrity'"),
        ({"margine": 0.1}, "unknown key: allowed is name, exposures, confidence, minimum_faces"),
    ],
)
def test_a_wrong_declaration_is_one_line(changes, line):
    with pytest.raises(ConfigError) as raised:
        declared(**changes)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("gate", "changes"),
    [
        (ABSOLUTE, {"metric": "brier"}),
        (ABSOLUTE, {"test": "tango"}),
        (NOT_WORSE, {"margin": 0.0}),
        (NOT_WORSE, {"margin": 1.0}),
        (NOT_WORSE, {"confidence": 0.5}),
        (NOT_WORSE, {"confidence": 1.0}),
        (NOT_WORSE, {"exposures": ()}),
        (NOT_WORSE, {"exposures": (0.0,)}),
        (NOT_WORSE, {"exposures": (1.1,)}),
        (NOT_WORSE, {"slice": "class"}),
        (NOT_WORSE, {"name": "Not worse"}),
        (NOT_WORSE, {"on_inconclusive": "pass"}),
        (NOT_WORSE, {"minimum_faces": 1}),
        (BETTER, {"test": "wilson"}),
        (EVERY_CLASS, {"metric": "macro_f1"}),
        (EVERY_CLASS, {"metric": "brier"}),
        (EVERY_CLASS, {"exposures": (0.05, 0.2)}),
        (ALIKE, {"gap": 0.0}),
        (QUICK, {"ratio": 0.0}),
        (SOUND, {"difference": 0.0}),
    ],
)
def test_gates_that_cannot_be_judged_cannot_be_declared(gate, changes):
    changed(gate)
    with pytest.raises(ValidationError):
        changed(gate, **changes)


def test_several_exposures_are_exact_one_by_one_only():
    assert changed(EVERY_CLASS, by="exposure", exposures=(0.05, 0.2)).test == "exact"


def test_a_test_set_serves_at_least_one_candidate():
    with pytest.raises(ValidationError):
        Holdout(looks=0)
