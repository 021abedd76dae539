"""What every gate says of models whose worth is known, and why. Seconds: 4."""

from dataclasses import replace

import numpy as np
import pytest
from answers import (
    ABSOLUTE,
    ALIKE,
    BETTER,
    CLASSES,
    EVERY_CLASS,
    NOT_WORSE,
    QUICK,
    SOUND,
    answered,
    at_exposures,
    changed,
    gates,
    share,
    table,
)

from components.gates import absolute
from components.gates.judging import judge
from components.gates.resampling import draw
from components.gates.verdict import Verdict, decide


def verdict(gate, candidate, champion=None, looks: int = 1) -> Verdict:
    (found,) = judge(gates(gate), answered(candidate, champion), 1 / looks)
    return found


CHAMPION = table(share(1000, 0.6))
TOLD = {"subjects": [f"person {face // 5}" for face in range(1000)]}
BOOTSTRAP = {
    metric: changed(NOT_WORSE, metric=metric, test="bootstrap", margin=0.05)
    for metric in ("accuracy", "mean_class_accuracy", "macro_f1", "brier", "calibration_error")
}


@pytest.mark.parametrize("test", ["exact", "tango", "bootstrap"])
def test_a_known_worse_an_identical_and_a_known_better_model(test):
    gate, strict = changed(NOT_WORSE, test=test), changed(BETTER, test=test)
    worse, better = table(share(1000, 0.5)), table(share(1000, 0.66))
    assert [verdict(gate, one, CHAMPION).outcome for one in (worse, CHAMPION, better)] == ["fail", "pass", "pass"]
    found = [verdict(strict, one, CHAMPION).outcome for one in (worse, CHAMPION, better)]
    assert found == ["fail", "inconclusive", "pass"]
    said = verdict(gate, worse, CHAMPION)
    assert said.estimate == pytest.approx(-0.1)
    assert said.low < -0.1 < said.high < said.limit == -0.03
    assert said.faces == 1000
    assert said.p_value > 0.9
    assert "accuracy of all at exposure 0.05 differs by -0.100" in said.why
    assert "not worse by 0.03 is refuted" in said.why


@pytest.mark.parametrize("metric", sorted(BOOTSTRAP))
def test_every_metric_knows_a_worse_and_a_better_model(metric):
    """Worse: 20 points fewer right, so surer than it should be; better: as many more."""
    gate = BOOTSTRAP[metric]
    worse, same, better = (table(share(1000, right), confidence=0.9) for right in (0.4, 0.6, 0.8))
    assert verdict(gate, worse, same).outcome == "fail"
    assert verdict(gate, same, same).outcome == "pass"
    assert verdict(gate, better, same).outcome == "pass"
    assert verdict(changed(BETTER, metric=metric, test="bootstrap"), better, same).outcome == "pass"


def test_a_better_model_that_boasts_is_worse_calibrated():
    boasting, champion = table(share(1000, 0.65), confidence=0.99), table(share(1000, 0.6), confidence=0.6)
    assert verdict(NOT_WORSE, boasting, champion).outcome == "pass"
    found = verdict(BOOTSTRAP["calibration_error"], boasting, champion)
    assert (found.outcome, found.limit) == ("fail", 0.05)
    assert found.estimate == pytest.approx(0.34, abs=1e-6)


def test_few_faces_prove_nothing():
    few = table(share(60, 0.6))
    assert verdict(NOT_WORSE, few, few).outcome == "inconclusive"
    fewer = table(share(40, 0.6))
    said = verdict(NOT_WORSE, fewer, fewer)
    assert (said.outcome, said.faces) == ("inconclusive", 40)
    assert said.why == "40 faces in all: at least 50 are asked, and of more than one person"


def test_won_and_lost_faces_are_counted_face_by_face():
    """Both have half of the faces right, yet not the same half."""
    said = verdict(NOT_WORSE, table(~share(1000, 0.5)), table(share(1000, 0.5)))
    assert "500 faces won and 500 lost of 1000" in said.why
    assert said.outcome == "inconclusive"


def test_a_look_that_may_spend_less_risk_is_harder_to_pass():
    """What is shown at the whole of alpha is not at a twentieth."""
    candidate = table(share(1000, 0.6) ^ (np.arange(1000) % 25 == 0))
    assert verdict(NOT_WORSE, candidate, CHAMPION).outcome == "pass"
    asked = verdict(NOT_WORSE, candidate, CHAMPION, looks=20)
    assert asked.outcome == "inconclusive"
    assert "at most 0.0025" in asked.why
    assert asked.low < verdict(NOT_WORSE, candidate, CHAMPION).low


@pytest.mark.parametrize("gate", [ABSOLUTE, ALIKE, NOT_WORSE, EVERY_CLASS])
def test_an_exposure_that_nobody_answered_fails_and_says_which_there_are(gate):
    said = verdict(gate, table(share(100, 1.0), exposure=0.01), table(share(100, 1.0), exposure=0.01))
    assert said.outcome == "fail"
    assert said.why == "the candidate has no answer at exposure 0.05: there is 0.01"
    assert np.isnan(said.estimate)


@pytest.mark.parametrize("gate", [ABSOLUTE, ALIKE, NOT_WORSE, EVERY_CLASS])
@pytest.mark.parametrize("broken", ["candidate", "champion"])
def test_answers_that_are_not_numbers_fail(gate, broken):
    probabilities = CHAMPION.probabilities.copy()
    probabilities[[3, 5], 1] = np.nan
    damaged = replace(CHAMPION, probabilities=probabilities)
    pair = (damaged, CHAMPION) if broken == "candidate" else (CHAMPION, damaged)
    said = verdict(gate, *pair)
    compares = gate in (NOT_WORSE, EVERY_CLASS)
    if broken == "candidate" or compares:
        assert said.outcome == "fail"
        assert said.why == f"2 of 1000 answers of the {broken} are not numbers"
    elsewhere = at_exposures(dark=CHAMPION, bright=replace(damaged, exposures=np.full(1000, 0.2)))
    assert "not numbers" not in verdict(gate, elsewhere, elsewhere).why  # where the gate does not look


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"ids": [*CHAMPION.ids[:5], "other", *CHAMPION.ids[6:]]}, "row 5 is face face-5 at exposure 0.05 labelled"),
        ({"exposures": np.where(np.arange(1000) == 7, 0.2, 0.05)}, "face face-7 at exposure 0.2 labelled sorrow"),
        ({"labels": (CHAMPION.labels + (np.arange(1000) == 9)) % 4}, "row 9 is face face-9"),
        ({"classes": CLASSES[::-1]}, "classes differ: anger, fear, joy, sorrow against sorrow, joy, fear, anger"),
        ({"ids": CHAMPION.ids[:-1]}, "candidate answered 1000 rows, champion 999"),
    ],
)  # fmt: skip
def test_models_that_answered_other_faces_are_not_compared(change, line):
    with pytest.raises(ValueError, match=line):
        verdict(NOT_WORSE, CHAMPION, replace(CHAMPION, **change))


def test_the_first_model_is_judged_by_itself():
    declared = gates(ABSOLUTE, NOT_WORSE, BETTER, EVERY_CLASS, QUICK)
    verdicts = judge(declared, answered(CHAMPION), 1)
    assert [one.outcome for one in verdicts] == ["pass", *["not_applicable"] * 4]
    assert decide(verdicts, declared, has_champion=False).promote


def test_a_candidate_that_gave_no_answers_fails_every_gate_about_answers():
    verdicts = judge(gates(ABSOLUTE, NOT_WORSE, ALIKE), answered(None, CHAMPION), 1)
    assert {(one.outcome, one.why) for one in verdicts} == {("fail", "the candidate gave no answers")}


@pytest.mark.parametrize("test", ["wilson", "exact", "bootstrap"])
@pytest.mark.parametrize(
    ("right", "outcome"), [(0.45, "fail"), (0.5, "inconclusive"), (0.51, "inconclusive"), (0.56, "pass")]
)
def test_the_bound_not_the_point_must_be_above_the_limit(test, right, outcome):
    said = verdict(changed(ABSOLUTE, test=test), table(share(1000, right)))
    assert (said.outcome, said.limit, said.faces) == (outcome, 0.5, 1000)
    assert said.estimate == pytest.approx(right)
    assert said.low < said.estimate < said.high


def test_an_error_must_stay_below_its_limit():
    gate = changed(ABSOLUTE, metric="calibration_error", test="bootstrap", limit=0.1)
    right = share(1000, 0.6)
    outcomes = [verdict(gate, table(right, confidence=stated)).outcome for stated in (0.61, 0.9)]
    assert outcomes == ["pass", "fail"]


def test_always_naming_the_commonest_class_is_not_above_majority():
    labels = np.array([0] * 900 + [1] * 100)
    constant = replace(CHAMPION, labels=labels, probabilities=np.tile([0.97, 0.01, 0.01, 0.01], (1000, 1)))
    gate = changed(ABSOLUTE, metric="accuracy_above_majority", limit=0.05)
    said = verdict(gate, constant)
    assert said.outcome == "fail"
    assert said.estimate == pytest.approx(0)


def test_a_gate_may_be_about_one_slice():
    right = share(1000, 1.0) & (np.arange(1000) % 4 != 2)  # joy is never recognised
    outcomes = [
        verdict(changed(ABSOLUTE, slice=name), table(right)).outcome
        for name in ("class=joy", "class=fear", "class=awe")
    ]
    assert outcomes == ["fail", "pass", "inconclusive"]


def test_faces_of_one_person_count_as_one_witness():
    """Two hundred persons with five faces, all won or all lost: the exact test would take them for a thousand."""
    persons = np.arange(1000) // 5
    champion, candidate = (table((persons % 20 != lost), **TOLD) for lost in (0, 1))
    alone = verdict(NOT_WORSE, replace(candidate, subjects=[""] * 1000), replace(champion, subjects=[""] * 1000))
    together = verdict(NOT_WORSE, candidate, champion)
    assert "exact test" in alone.why
    assert "bootstrap over 200 groups of one person or face each" in together.why
    width = (alone.high - alone.low) * 5**0.5
    assert together.high - together.low == pytest.approx(width, rel=0.1)


def test_faces_of_one_person_alone_are_inconclusive():
    one = replace(CHAMPION, subjects=["person"] * 1000)
    assert verdict(NOT_WORSE, one, one).outcome == "inconclusive"


def test_a_face_at_several_exposures_is_one_witness():
    """The same answers three times over say no more than once."""
    gate = changed(ABSOLUTE, test="bootstrap")
    thrice = at_exposures(**{f"rung {e}": table(share(400, 0.6), exposure=e) for e in (0.05, 0.02, 0.01)})
    once = verdict(gate, table(share(400, 0.6)))
    three = verdict(changed(gate, exposures=(0.05, 0.02, 0.01)), thrice)
    assert (three.low, three.high) == (pytest.approx(once.low), pytest.approx(once.high))
    assert three.faces == once.faces == 400


def test_the_darkness_area_is_the_mean_over_the_logarithm_of_exposure():
    """Accuracies .8, .6, .2 at .2, .05, .01: trapezoids of the widths log 4 and log 5."""
    accuracies = {0.2: 0.8, 0.05: 0.6, 0.01: 0.2}
    model = at_exposures(**{f"rung {e}": table(share(400, a), exposure=e) for e, a in accuracies.items()})
    gate = changed(
        ABSOLUTE, metric="darkness_area", exposures=(0.01, 0.05, 0.2), test="bootstrap", limit=0.5, confidence=0.9
    )
    expected = (np.log(4) * 0.7 + np.log(5) * 0.4) / np.log(20)
    assert verdict(gate, model).estimate == pytest.approx(expected)


def test_stability_is_the_share_of_answers_kept_under_the_worst_disturbance():
    gate = changed(ABSOLUTE, metric="stability", test="bootstrap", limit=0.8)
    other = np.roll(CHAMPION.probabilities, 1, axis=1)
    disturbed = {
        name: np.where((np.arange(1000) % every == 0)[:, None], other, CHAMPION.probabilities)
        for name, every in (("shift", 10), ("flip", 4), ("one_stop", 20))
    }
    said = verdict(gate, replace(CHAMPION, disturbed=disturbed))
    assert (said.outcome, said.estimate) == ("fail", pytest.approx(0.75))
    del disturbed["flip"]
    assert verdict(gate, replace(CHAMPION, disturbed=disturbed)).estimate == pytest.approx(0.9)
    assert verdict(gate, CHAMPION).why == "the candidate was not asked about disturbed faces"
    disturbed["shift"][3] = np.nan
    said = verdict(gate, replace(CHAMPION, disturbed=disturbed))
    assert (said.outcome, said.why) == ("fail", "1 of 1000 answers of the candidate under shift are not numbers")


def spoilt(label: int, right: float = 0.8) -> np.ndarray:
    """A thousand answers, 80 % right in every class but one."""
    turn = np.arange(1000) // 4 % 250
    return turn < np.where(np.arange(1000) % 4 == label, round(250 * right), 200)


def test_a_class_that_is_given_up_is_found():
    champion = table(spoilt(0))
    said = verdict(EVERY_CLASS, table(spoilt(2, 0.5)), champion)
    assert said.outcome == "fail"
    assert [part.outcome for part in said.parts] == ["pass", "pass", "fail", "pass"]
    assert said.parts[2].name == "class=joy"
    assert (said.parts[2].estimate, said.estimate) == (pytest.approx(-0.3), pytest.approx(-0.3))
    assert "accuracy of class=joy at exposure 0.05 differs by -0.300" in said.why
    assert verdict(EVERY_CLASS, champion, champion).outcome == "pass"


def test_that_one_of_many_slices_looks_bad_is_no_proof():
    """By itself the drop would be shown to exceed the margin; among twenty slices it is not, by Holm's correction."""
    attributes = [{"place": f"{face % 20}"} for face in range(4000)]
    turn, place = np.arange(4000) // 20, np.arange(4000) % 20
    champion, candidate = (table(turn < np.where(place == 7, bad, 180), attributes=attributes) for bad in (180, 143))
    gate = changed(EVERY_CLASS, by="place")
    alone = changed(NOT_WORSE, slice="place=7", margin=0.1)
    assert verdict(alone, candidate, champion).outcome == "fail"
    assert verdict(gate, candidate, champion).outcome == "inconclusive"
    worse = table(turn < np.where(place == 7, 110, 180), attributes=attributes)
    assert verdict(gate, worse, champion).outcome == "fail"


def test_a_tiny_slice_is_inconclusive_and_never_silently_passed():
    """Ten faces with glasses: nothing can be said of them, however well the candidate does on all others."""
    attributes = [{"glasses": "yes" if face < 10 else "no"} for face in range(1000)]
    model = table(share(1000, 0.9), attributes=attributes)
    for gate in (changed(EVERY_CLASS, by="glasses"), changed(ALIKE, by="glasses")):
        said = verdict(gate, model, model)
        assert said.outcome == "inconclusive"
    said = verdict(changed(EVERY_CLASS, by="glasses"), model, model)
    assert "fewer than 50 faces: glasses=yes" in said.why
    assert [(part.name, part.outcome, part.faces) for part in said.parts] == [
        ("glasses=no", "pass", 990), ("glasses=yes", "inconclusive", 10),
    ]  # fmt: skip


def test_a_class_without_a_face_is_inconclusive():
    labels = CHAMPION.labels % 3
    model = replace(CHAMPION, labels=labels, probabilities=np.eye(4)[labels])
    assert verdict(EVERY_CLASS, model, model).outcome == "inconclusive"
    assert "class=sorrow" in verdict(EVERY_CLASS, model, model).why


def test_an_attribute_that_nobody_noted_is_inconclusive():
    for gate in (changed(EVERY_CLASS, by="hat"), changed(ALIKE, by="hat")):
        said = verdict(gate, CHAMPION, CHAMPION)
        assert said.outcome == "inconclusive"
        assert "by hat" in said.why


def test_every_exposure_is_a_slice():
    gate = changed(EVERY_CLASS, by="exposure", exposures=(0.05, 0.2))
    champion = at_exposures(dark=table(share(500, 0.8)), bright=table(share(500, 0.8), exposure=0.2))
    candidate = at_exposures(dark=table(share(500, 0.5)), bright=table(share(500, 0.9), exposure=0.2))
    said = verdict(gate, candidate, champion)
    assert said.outcome == "fail"
    assert [(part.name, part.outcome) for part in said.parts] == [("exposure=0.05", "fail"), ("exposure=0.2", "pass")]


@pytest.mark.parametrize(("worst", "outcome"), [(0.85, "pass"), (0.68, "inconclusive"), (0.4, "fail")])
def test_the_gap_between_best_and_worst_slice_is_bounded(worst, outcome):
    """Three tones with 300 faces each: .9 right, .88, and the worst; at most .2 apart."""
    tone, turn = np.arange(900) % 3, np.arange(900) // 3
    right = turn < 300 * np.array([0.9, 0.88, worst])[tone]
    said = verdict(ALIKE, table(right, attributes=[{"tone": f"{one}"} for one in tone]))
    assert (said.outcome, said.limit) == (outcome, 0.2)
    assert said.estimate == pytest.approx(0.9 - worst, abs=0.01)
    assert said.low < said.estimate < said.high
    assert [part.name for part in said.parts] == ["tone=0", "tone=1", "tone=2"]


def test_a_gap_that_is_too_wide_is_read_off_enough_resamples(monkeypatch):
    """That is said at alpha over the number of pairs, here twelve: twenty resamples lie beyond that bound too."""
    drawn = []
    monkeypatch.setattr(absolute, "draw", lambda *arguments: drawn.append(draw(*arguments)) or drawn[-1])
    verdict(ALIKE, table(share(300, 0.8), attributes=[{"tone": f"{face % 4}"} for face in range(300)]), looks=2)
    assert drawn[0].resampled.shape[1] * 0.025 / 12 >= 20


def test_a_tone_with_too_few_faces_keeps_the_gap_from_being_shown():
    """Two tones alike, and a third with ten faces; a gap that is too wide without those is too wide."""
    tone = np.where(np.arange(900) < 10, 2, np.arange(900) % 2)
    attributes = [{"tone": f"{one}"} for one in tone]
    alike, apart = (np.arange(900) // 2 < 450 * np.array([0.9, worst, 1.0])[tone] for worst in (0.9, 0.4))
    said = verdict(ALIKE, table(alike, attributes=attributes))
    assert said.outcome == "inconclusive"
    assert said.high < said.limit
    assert said.why.endswith("fewer than 50 faces: tone=2")
    assert verdict(ALIKE, table(apart, attributes=attributes)).outcome == "fail"


def test_the_same_evidence_gives_the_same_verdicts():
    model = table(spoilt(1, 0.7), **TOLD, attributes=[{"tone": f"{face % 2}"} for face in range(1000)])
    declared = gates(ABSOLUTE, BOOTSTRAP["macro_f1"], EVERY_CLASS, ALIKE)
    champion = replace(table(spoilt(2, 0.7), **TOLD), attributes=model.attributes)
    assert judge(declared, answered(model, champion), 0.5) == judge(declared, answered(model, champion), 0.5)


def test_verdicts_come_in_the_order_of_the_gates():
    declared = gates(SOUND, NOT_WORSE, ABSOLUTE)
    assert [one.name for one in judge(declared, answered(CHAMPION, CHAMPION), 1)] == ["sound", "not_worse", "absolute"]
