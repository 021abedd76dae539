"""Gates that look at no face: costs against the champion, and the registered model itself. Milliseconds."""

from dataclasses import replace

import numpy as np
import pytest
from answers import QUICK, SOUND, changed, gates, share, table
from scipy import stats

from components.gates.cost import ratio
from components.gates.evidence import Costs, Evidence, Soundness
from components.gates.judging import judge
from components.gates.verdict import Verdict

THEIRS = Costs("two cores", np.array([10.0, 11.0, 10.5, 10.0]), np.array([90.0, 91.0, 89.0, 90.0]), 1000)
MODEL = table(share(100, 0.5))
WELL = Soundness(None, 1e-7, (), (), False)


def slower(times: float) -> Costs:
    """The same machine, with the same disturbances."""
    return replace(
        THEIRS,
        latency_p95_milliseconds=THEIRS.latency_p95_milliseconds * times,
        faces_per_second=THEIRS.faces_per_second / times,
        artefact_bytes=round(THEIRS.artefact_bytes * times),
    )


def cost(gate, ours: Costs | None, theirs: Costs | None = THEIRS, looks: int = 1) -> Verdict:
    evidence = Evidence(MODEL, MODEL, ours, theirs, WELL)
    return judge(gates(gate, looks=looks), evidence, 1 / looks)[0]


@pytest.mark.parametrize(
    ("metric", "limit"), [("latency_p95", 1.5), ("faces_per_second", 1 / 1.5), ("artefact_size", 1.5)]
)
def test_a_model_may_cost_so_much_more_and_no_more(metric, limit):
    gate = changed(QUICK, metric=metric, ratio=limit)
    assert [cost(gate, slower(times)).outcome for times in (0.5, 1.0, 1.4, 1.6)] == ["pass", "pass", "pass", "fail"]


def test_what_disturbs_both_models_in_a_round_does_not_count():
    disturbed = np.array([1.0, 5.0, 1.0, 2.0])
    ours, theirs = (replace(of, latency_p95_milliseconds=10 * disturbed) for of in (THEIRS, THEIRS))
    verdict = cost(QUICK, ours, theirs)
    assert (verdict.outcome, verdict.low, verdict.high) == ("pass", 1.0, 1.0)
    assert "two cores" in verdict.why


def test_rounds_that_disagree_and_a_single_round_are_inconclusive():
    assert (
        cost(QUICK, replace(THEIRS, latency_p95_milliseconds=np.array([8.0, 30.0, 9.0, 28.0]))).outcome
        == "inconclusive"
    )
    one, other = (replace(THEIRS, latency_p95_milliseconds=np.array([value])) for value in (10.0, 11.0))
    assert cost(QUICK, one, other).outcome == "inconclusive"


def test_the_interval_is_students_of_the_logarithms():
    ours, theirs = np.array([12.0, 15.0, 11.0]), np.array([10.0, 11.0, 10.5])
    expected = stats.ttest_1samp(np.log(ours / theirs), 0).confidence_interval(0.9)
    estimate, low, high = ratio(ours, theirs, 0.95)
    assert (np.log(low), np.log(high)) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert estimate == pytest.approx((12 / 10 * 15 / 11 * 11 / 10.5) ** (1 / 3))


def test_the_holdouts_looks_do_not_make_costs_less_sure():
    assert cost(QUICK, slower(1.2), looks=20) == cost(QUICK, slower(1.2))


@pytest.mark.parametrize("broken", [np.array([np.nan, 1, 1, 1]), np.array([0.0, 1, 1, 1]), np.array([])])
def test_costs_that_were_not_measured_fail(broken):
    assert cost(QUICK, None).outcome == "fail"
    theirs = replace(THEIRS, latency_p95_milliseconds=broken)
    assert cost(QUICK, theirs, theirs).outcome == "fail"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"load_error": "no module named torch"}, "it does not load: no module named torch"),
        ({"difference": 1e-4}, "its answers differ by 0.0001 from those recorded, at most 1e-05"),
        ({"difference": float("nan")}, "its recorded answers could not be reproduced"),
        ({"pickles": ("a.pkl", "b.pt")}, "its artefact holds pickles: a.pkl, b.pt"),
        ({"missing_tags": ("git.commit",)}, "its lineage lacks git.commit"),
        ({"dirty": True}, "its git tree had changes that were not committed"),
    ],
)
def test_a_model_that_is_not_sound_fails_and_says_why(changes, why):
    evidence = Evidence(None, None, None, None, replace(WELL, **changes))
    (verdict,) = judge(gates(SOUND), evidence, 1)
    assert (verdict.outcome, verdict.why) == ("fail", why)


def test_all_that_is_wrong_is_said_at_once():
    broken = replace(WELL, pickles=("a.pkl",), dirty=True)
    (verdict,) = judge(gates(SOUND), Evidence(MODEL, None, None, None, broken), 1)
    assert verdict.why == "its artefact holds pickles: a.pkl; its git tree had changes that were not committed"


def test_a_sound_model_passes_and_a_dirty_tree_where_the_policy_allows_it():
    for soundness, gate in ((WELL, SOUND), (replace(WELL, dirty=True), changed(SOUND, allow_dirty=True))):
        assert judge(gates(gate), Evidence(MODEL, None, None, None, soundness), 1)[0].outcome == "pass"


def test_a_model_that_was_not_examined_fails():
    assert judge(gates(SOUND), Evidence(MODEL, None, None, None, None), 1)[0].outcome == "fail"
