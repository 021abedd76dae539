"""From verdicts to a decision: what blocks, what only warns, and what a first model needs. Milliseconds."""

import pytest
from answers import ABSOLUTE, NOT_WORSE, QUICK, SOUND, changed, gates

from components.gates.verdict import Verdict, bounded, decide

NAN = float("nan")


def verdict(gate, outcome: str) -> Verdict:
    return Verdict(gate.name, gate.kind, outcome, f"because of {outcome}")


def test_without_gates_nothing_is_promoted():
    decision = decide((), gates(), has_champion=True)
    assert not decision.promote
    assert decision.why == "no gate is declared"


def test_all_gates_must_pass():
    declared = gates(ABSOLUTE, NOT_WORSE, SOUND)
    passed = [verdict(gate, "pass") for gate in declared.declared]
    assert decide(tuple(passed), declared, True).promote
    assert decide(tuple(passed), declared, True).why == "3 of 3 gates passed"
    for place, gate in enumerate(declared.declared):
        verdicts = (*passed[:place], verdict(gate, "fail"), *passed[place + 1 :])
        decision = decide(verdicts, declared, True)
        assert not decision.promote
        assert decision.why == f"{gate.name}: because of fail"


@pytest.mark.parametrize("gate", [ABSOLUTE, NOT_WORSE, QUICK])
def test_what_is_inconclusive_blocks_unless_the_gate_only_warns(gate):
    verdicts = (verdict(gate, "inconclusive"), verdict(SOUND, "pass"))
    assert not decide(verdicts, gates(gate, SOUND), True).promote
    warned = decide(verdicts, gates(changed(gate, on_inconclusive="warn"), SOUND), True)
    assert warned.promote
    assert warned.why == f"1 of 2 gates passed; inconclusive: {gate.name}"
    failed = (verdict(gate, "fail"), verdict(SOUND, "pass"))
    assert not decide(failed, gates(changed(gate, on_inconclusive="warn"), SOUND), True).promote


def test_a_first_model_needs_permission_and_a_gate_that_needs_no_champion():
    compared, alone = verdict(NOT_WORSE, "not_applicable"), verdict(ABSOLUTE, "pass")
    both = (ABSOLUTE, NOT_WORSE)
    assert decide((alone, compared), gates(*both), has_champion=False).promote
    assert decide((alone, compared), gates(*both, bootstrap=False), False).why == (
        "there is no champion and gates.bootstrap is false"
    )
    decision = decide((compared,), gates(NOT_WORSE), False)
    assert not decision.promote
    assert decision.why == "there is no champion and no gate that judges a model by itself"
    assert not decide((verdict(ABSOLUTE, "fail"), compared), gates(*both), False).promote


def test_a_comparison_that_was_not_made_blocks_where_there_is_a_champion():
    verdicts = (verdict(ABSOLUTE, "pass"), verdict(NOT_WORSE, "not_applicable"))
    assert not decide(verdicts, gates(ABSOLUTE, NOT_WORSE), has_champion=True).promote


@pytest.mark.parametrize(
    ("low", "high", "at_least", "outcome"),
    [
        (0.5, 0.6, True, "pass"),
        (0.49, 0.6, True, "inconclusive"),
        (0.3, 0.49, True, "fail"),
        (0.5, 0.6, False, "inconclusive"),
        (0.3, 0.5, False, "pass"),
        (0.51, 0.6, False, "fail"),
        (NAN, 0.6, True, "fail"),
        (0.5, NAN, True, "fail"),
        (NAN, NAN, False, "fail"),
    ],
)
def test_the_bound_decides_and_what_is_not_a_number_fails(low, high, at_least, outcome):
    assert bounded(low, high, 0.5, at_least) == outcome
