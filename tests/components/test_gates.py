"""Promotion gates: what passes, what does not, and why."""

import numpy as np
import pytest
from pydantic import ValidationError

from components.gates.former import Floor, NotWorse, judge
from components.learning.evaluation import Predictions

FLOOR = Floor(kind="floor", name="floor", exposure=0.2, above_majority=0.1)
NOT_WORSE = NotWorse(kind="not_worse", name="not_worse", exposure=0.05, margin=0.03, confidence=0.95)


def predictions(right: np.ndarray, exposure: float = 0.05, classes: int = 4) -> Predictions:
    """A model that is right on the faces where `right` is true, and names the next class elsewhere."""
    labels = np.arange(len(right)) % classes
    named = np.where(right, labels, (labels + 1) % classes)
    ids = [f"face-{number}" for number in range(len(right))]
    return Predictions(ids, np.full(len(right), exposure), labels, np.eye(classes)[named])


def share(count: int, right: float) -> np.ndarray:
    return np.arange(count) < round(count * right)


@pytest.mark.parametrize(("right", "passes"), [(0.34, False), (0.35, True), (0.36, True), (1.0, True), (0.0, False)])
def test_the_floor_is_the_majority_share_and_something(right, passes):
    """Four classes alike, so the commonest has a quarter."""
    verdict = judge(FLOOR, predictions(share(400, right), 0.2), None)
    assert verdict.passed is passes
    assert (verdict.estimate, verdict.limit, verdict.faces) == (pytest.approx(right), pytest.approx(0.35), 400)
    assert verdict.p_value is None
    assert f"{right:.3f}" in verdict.why
    assert "0.350" in verdict.why


def test_the_floor_does_not_ask_for_the_champion():
    candidate = predictions(share(400, 0.5), 0.2)
    assert judge(FLOOR, candidate, predictions(share(400, 1.0), 0.2)) == judge(FLOOR, candidate, None)


def test_always_naming_the_commonest_class_does_not_pass_the_floor():
    labels = np.array([0] * 90 + [1] * 10)
    constant = Predictions([str(n) for n in range(100)], np.full(100, 0.2), labels, np.tile([1.0, 0.0], (100, 1)))
    assert not judge(FLOOR, constant, None).passed


@pytest.mark.parametrize("gate", [FLOOR, NOT_WORSE])
def test_an_exposure_without_predictions_fails_and_says_which_there_are(gate):
    verdict = judge(gate, predictions(share(100, 1.0), 0.01), None)
    assert not verdict.passed
    assert verdict.faces == 0
    assert f"no prediction at exposure {gate.exposure:g}" in verdict.why
    assert "0.01" in verdict.why


def test_the_first_model_has_no_champion_to_be_worse_than():
    verdict = judge(NOT_WORSE, predictions(share(100, 0.1)), None)
    assert verdict.passed
    assert verdict.why == "no champion yet to compare with"


@pytest.mark.parametrize(("faces", "passes"), [(20, False), (60, False), (300, True), (2000, True)])
def test_an_identical_model_passes_where_there_are_faces_enough(faces, passes):
    """Few faces prove nothing: with 60 a model worse by the margin often shows no difference either."""
    model = predictions(share(faces, 0.6))
    verdict = judge(NOT_WORSE, model, model)
    assert verdict.passed is passes
    assert verdict.estimate == 0
    assert verdict.p_value > 0


def test_a_better_model_passes_and_a_clearly_worse_one_does_not():
    champion, better, worse = (predictions(share(1000, right)) for right in (0.6, 0.65, 0.5))
    assert judge(NOT_WORSE, better, champion).passed
    verdict = judge(NOT_WORSE, worse, champion)
    assert not verdict.passed
    assert verdict.estimate == pytest.approx(-0.1)
    assert verdict.limit == -0.03
    assert verdict.p_value > 0.9
    assert "0 faces won, 100 lost of 1000" in verdict.why


def test_won_and_lost_faces_are_counted_face_by_face():
    """Both models have half of the faces right, yet not the same half."""
    champion = predictions(share(1000, 0.5))
    candidate = predictions(~share(1000, 0.5))
    verdict = judge(NOT_WORSE, candidate, champion)
    assert "500 faces won, 500 lost of 1000" in verdict.why
    assert not verdict.passed  # so many discordant faces hide a difference of three points


def test_only_the_gates_exposure_counts():
    def both(dark: np.ndarray, bright: np.ndarray) -> Predictions:
        one, other = predictions(dark), predictions(bright, 0.2)
        return Predictions(
            one.ids + other.ids,
            np.concatenate([one.exposures, other.exposures]),
            np.concatenate([one.labels, other.labels]),
            np.concatenate([one.probabilities, other.probabilities]),
        )

    champion = both(share(500, 0.6), share(500, 1.0))
    candidate = both(share(500, 0.6), share(500, 0.0))
    assert judge(NOT_WORSE, candidate, champion).passed
    assert not judge(NOT_WORSE.model_copy(update={"exposure": 0.2}), candidate, champion).passed


def test_a_wider_margin_or_less_confidence_is_easier_to_pass():
    champion, candidate = predictions(share(600, 0.6)), predictions(share(600, 0.59))
    passed = {
        (margin, confidence): judge(
            NOT_WORSE.model_copy(update={"margin": margin, "confidence": confidence}), candidate, champion
        ).passed
        for margin in (0.011, 0.05)
        for confidence in (0.51, 0.999)
    }
    assert passed[0.05, 0.51]
    assert not passed[0.011, 0.999]


def test_predictions_of_other_faces_are_not_compared():
    one, other = predictions(share(10, 1.0)), predictions(share(10, 1.0))
    with pytest.raises(AssertionError):
        judge(NOT_WORSE, one, Predictions(other.ids[::-1], other.exposures, other.labels, other.probabilities))


@pytest.mark.parametrize(
    "changes",
    [{"margin": 0.0}, {"margin": 1.0}, {"confidence": 0.5}, {"confidence": 1.0}, {"exposure": 0.0}, {"exposure": 1.1}],
)
def test_gates_that_would_prove_nothing_cannot_be_declared(changes):
    with pytest.raises(ValidationError):
        NotWorse(**(NOT_WORSE.model_dump() | changes))
