"""The embedded faces: balanced, repeatable, and an emotion is its action units."""

import hashlib
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import RidgeClassifier

from components.data.drawing.dice import SPLIT_KEYS, Dice
from components.data.faces import (
    ACTION_UNITS,
    EMOTION_UNITS,
    EMOTIONS,
    FACES_PER_SUBJECT,
    draw_expression,
    draw_identity,
    render_faces,
)

# Ekman's prototypes in FACS, as the project states them
UNITS = {
    "neutral": set(),
    "happiness": {6, 12},
    "sadness": {1, 4, 15},
    "surprise": {1, 2, 5, 26},
    "fear": {1, 2, 4, 5, 7, 20, 26},
    "anger": {4, 5, 7, 23},
    "disgust": {9, 15, 16},
}


def test_every_emotion_is_made_of_its_action_units():
    assert {name: set(units) for name, units in zip(EMOTIONS, EMOTION_UNITS, strict=True)} == UNITS
    assert set().union(*UNITS.values()) == set(ACTION_UNITS)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_an_expression_is_the_sum_of_its_units_plus_a_little_stir(emotion):
    """Over many faces of full intensity, each change of geometry has the mean that the units' activities give."""
    count = 400
    dice = Dice(7, "train", 1, np.arange(count))
    labels, intensity = np.full(count, EMOTIONS.index(emotion)), np.ones((count, 1, 1), np.float32)
    drawn = draw_expression(dice, labels, intensity).values
    stir = 0.22**2 / 2 / 0.62  # mean of max(uniform(-.40, .22), 0)
    for name, values in drawn.items():
        expected = sum(
            changes.get(name, 0) * (0.925 if unit in UNITS[emotion] else stir) for unit, changes in ACTION_UNITS.items()
        )
        spread = sum(abs(changes.get(name, 0)) for changes in ACTION_UNITS.values())
        assert values.mean() == pytest.approx(expected, abs=0.05 * spread), name


def test_no_intensity_leaves_the_emotions_own_units_still():
    numbers, still = np.arange(50), np.zeros((50, 1, 1), np.float32)
    for label, change in ((EMOTIONS.index("happiness"), "cheek"), (EMOTIONS.index("disgust"), "nose_wrinkle")):
        drawn = draw_expression(Dice(7, "train", 1, numbers), np.full(50, label), still).values
        assert not drawn[change].any()
        assert drawn["lip_tight"].any()  # a unit of another emotion stirs


@settings(deadline=None, max_examples=12)
@given(st.sampled_from(sorted(SPLIT_KEYS)), st.integers(1, 40), st.integers(1, 40))
def test_a_face_does_not_depend_on_how_many_are_drawn(split, few, more):
    for one, other in zip(render_faces(1, split, few), render_faces(1, split, few + more), strict=False):
        assert np.array_equal(one.pixels, other.pixels)
        assert (one.label, one.subject, one.attributes) == (other.label, other.subject, other.attributes)


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 60))
def test_as_many_faces_come_as_were_asked_for_balanced_within_one(count):
    labels = [face.label for face in render_faces(3, "valid", count)]
    per_class = np.bincount(labels, minlength=len(EMOTIONS))
    assert len(labels) == count
    assert per_class.max() - per_class.min() <= 1


def test_no_subject_is_in_two_splits_and_each_has_twelve_faces_in_a_row():
    subjects = {split: [face.subject for face in render_faces(1, split, 60)] for split in SPLIT_KEYS}
    assert len(set().union(*map(set, subjects.values()))) == 3 * 60 // FACES_PER_SUBJECT
    for names in subjects.values():
        assert [names.index(name) for name in names] == [n // 12 * 12 for n in range(60)]


def test_splits_and_seeds_give_different_faces():
    pixels = [next(iter(render_faces(seed, split, 1))).pixels for seed in (1, 2) for split in SPLIT_KEYS]
    assert len({image.tobytes() for image in pixels}) == 6


def test_a_subject_keeps_face_and_attributes_while_pose_and_light_change():
    faces = list(islice(render_faces(1, "train", 12), 12))
    own = [[face.attributes[name] for name in ("skin_tone", "glasses", "beard", "age_lines")] for face in faces]
    assert all(attributes == own[0] for attributes in own)
    assert all(len({face.attributes[name] for face in faces}) > 1 for name in ("intensity", "pose", "light"))
    assert len({face.pixels.tobytes() for face in faces}) == 12


def test_subjects_spread_evenly_over_the_skin_tones_and_beards_go_with_short_hair():
    who = draw_identity(Dice(1, "train", 0, np.arange(2000)))
    counts = np.bincount(who.tone, minlength=10)
    assert counts.min() > 200 - 5 * 200**0.5
    bearded = who.beard[:, 0, 0] > 0
    assert 0.15 < bearded.mean() < 0.35
    assert who.hair_end[bearded].max() <= 0.1 < who.hair_end.max()
    kinds = np.stack([who.values[kind][:, 0, 0] for kind in ("stubble", "moustache", "goatee", "full")])
    assert (kinds.sum(axis=0) == bearded).all()
    assert (kinds.sum(axis=1) > 50).all()


def test_attributes_name_what_a_robustness_report_groups_by():
    faces = list(render_faces(1, "train", 240))
    allowed = {
        "skin_tone": {str(tone) for tone in range(1, 11)},
        "glasses": {"yes", "no"},
        "beard": {"yes", "no"},
        "intensity": {"faint", "medium", "full"},
        "age_lines": {"low", "high"},
        "scarf": {"yes", "no"},
        "pose": {"frontal", "turned"},
        "light": {"left", "front", "right"},
    }
    for name, values in allowed.items():
        seen = {face.attributes[name] for face in faces}
        assert seen <= values
        assert len(seen) > 1, name
    assert {frozenset(face.attributes) for face in faces} == {frozenset(allowed)}


def test_darker_skin_is_darker():
    tones: dict[int, list[float]] = {}
    for face in render_faces(1, "train", 480):
        tones.setdefault(int(face.attributes["skin_tone"]), []).append(float(face.pixels[34:40, 24:40].mean()))
    light, dark = (
        np.mean([v for tone in some if tone in tones for v in tones[tone]]) for some in ((1, 2, 3), (8, 9, 10))
    )
    assert light > dark + 50


def test_the_darkest_skin_still_shows_the_features_of_a_face():
    middles = [
        face.pixels[18:50, 18:46] for face in render_faces(1, "train", 960) if face.attributes["skin_tone"] == "10"
    ]
    assert len(middles) > 20
    spread = [np.percentile(middle, 97) - np.percentile(middle, 3) for middle in middles]
    assert min(spread) > 60


def test_pictures_use_the_whole_range_and_are_in_colour():
    pixels = np.stack([face.pixels for face in render_faces(1, "test", 32)])
    assert pixels.shape == (32, 64, 64, 3)
    assert pixels.dtype == np.uint8
    assert pixels.min() < 20
    assert pixels.max() > 230
    assert np.abs(pixels[..., 0].astype(int) - pixels[..., 2]).mean() > 10


def test_a_face_keeps_its_bytes_on_every_machine():
    """Only arithmetic, roots and comparisons draw: whoever changes a face on purpose changes this line too."""
    digest = hashlib.sha256(b"".join(face.pixels.tobytes() for face in render_faces(1, "train", 20)))
    assert digest.hexdigest() == "a72668226dc1c0dc5f7ba1789bccb965c3500374a6f21ad35c0235d6b7ab3e2f"


def test_the_emotion_can_be_read_off_faces_of_unseen_subjects(drawn_faces):
    """A linear model on pixels, the mean of each subject's pictures not even removed."""

    def features(faces):
        return faces.images.reshape(len(faces.ids), 16, 4, 16, 4, 3).mean((2, 4, 5)).reshape(len(faces.ids), -1) / 255

    train, unseen = drawn_faces("train", 700), drawn_faces("valid", 350)
    model = RidgeClassifier(alpha=1.0).fit(features(train), train.labels)
    chance = 1 / len(EMOTIONS)
    deviation = (chance * (1 - chance) / 350) ** 0.5
    assert model.score(features(unseen), unseen.labels) > chance + 5 * deviation
