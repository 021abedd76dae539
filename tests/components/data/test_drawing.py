"""What paints the embedded faces: soft shapes, counted draws, a head that turns and is lit (0.3 s each at most)."""

import ast
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.data.drawing import portrait
from components.data.drawing.dice import FACE_STREAM, SUBJECT_STREAM, Dice, Traits
from components.data.drawing.painting import PIXEL, SIZE, coverage, ellipse, glaze, paint, ripple, rounded_box, tint
from components.data.drawing.portrait import light_head, render
from components.data.drawing.scenery import draw_scene, place_head
from components.data.faces import draw_expression, draw_identity

DOWN, RIGHT = ((np.mgrid[:SIZE, :SIZE].astype(np.float32) + 0.5) * PIXEL - 1)[:, None]
lengths = st.floats(0.1, 0.7)


def people(count: int, **changes: float) -> tuple[Traits, Traits, Dice]:
    """Subjects with some traits set alike, at full expressions, and the dice of their faces."""
    numbers = np.arange(count)
    who = draw_identity(Dice(1, "train", SUBJECT_STREAM, numbers))
    column = np.ones((count, 1, 1), np.float32)
    who = Traits(who.values | {name: value * column for name, value in changes.items()})
    dice = Dice(1, "train", FACE_STREAM, numbers)
    return who, draw_expression(dice, numbers % 7, column), dice


def scene_with(who: Traits, **values: float) -> Traits:
    """A frontal scene, upright and lit from the viewer, but for the values given."""
    dice = Dice(1, "train", FACE_STREAM, np.arange(len(who.tone)))
    column = np.ones((len(who.tone), 1, 1), np.float32)
    still = {"shift_x": 0, "shift_y": 0, "roll": 0, "scale": 1, "yaw": 0, "pitch": 0, "light_x": 0, "light_y": 0}
    return Traits(draw_scene(dice).values | {name: value * column for name, value in (still | values).items()})


@settings(deadline=None, max_examples=30)
@given(lengths, lengths)
def test_a_covered_area_is_the_area_of_its_shape(radius_x, radius_y):
    """Anti-aliasing: the shares of the pixels sum up to the area, which whole pixels would miss."""
    area = float(coverage(ellipse(RIGHT, DOWN, radius_x, radius_y)).sum()) * PIXEL**2
    assert area == pytest.approx(math.pi * radius_x * radius_y, rel=0.05)
    box = float(coverage(rounded_box(RIGHT, DOWN, radius_x, radius_y, 0.05)).sum()) * PIXEL**2
    assert box == pytest.approx(4 * radius_x * radius_y - (4 - math.pi) * 0.05**2, rel=0.05)


@settings(deadline=None, max_examples=20)
@given(lengths, st.floats(1, 8))
def test_an_edge_falls_from_all_to_nothing_without_a_step_back(radius, softness):
    shares = coverage(ellipse(RIGHT, DOWN, radius, radius), softness)[0, SIZE // 2, SIZE // 2 :]
    assert (np.diff(shares) <= 0).all()
    assert 0 <= shares.min() <= shares.max() <= 1


def test_paint_replaces_what_a_shape_covers_and_glaze_tints_it():
    canvas = np.full((3, 1, SIZE, SIZE), 100, np.float32)
    shape = ellipse(RIGHT, DOWN, 0.5, 0.5)
    paint(canvas, shape, tint(10, 20, 30))
    glaze(canvas, coverage(shape), tint(1, 0.5, 2), tint(1, 0, 0))
    assert canvas[:, 0, 32, 32].tolist() == [11, 10, 60]
    assert canvas[:, 0, 0, 0].tolist() == [100, 100, 100]
    before = canvas.copy()
    paint(canvas, shape, 255, opaque=0)
    assert np.array_equal(canvas, before)


@settings(deadline=None, max_examples=50)
@given(st.integers(-1000, 1000), st.integers(0, 15))
def test_ripples_repeat_and_stay_between_nothing_and_one(period, part):
    value = ripple(np.float32(period + part / 16))
    assert value == ripple(np.float32(part / 16))
    assert 0 <= value <= 1


def test_a_draw_depends_on_the_number_alone_and_happens_as_often_as_told():
    many, few = (Dice(3, "test", 1, np.array(numbers)) for numbers in (range(4000), [17, 5]))
    assert np.array_equal(many.between(2, 4)[[17, 5]], few.between(2, 4))
    assert np.array_equal(many.colour(0, 9)[:, [17, 5]], few.colour(0, 9))
    assert many.happens(0.3).mean() == pytest.approx(0.3, abs=5 * (0.21 / 4000) ** 0.5)
    assert np.unique(many.index(4)).tolist() == [0, 1, 2, 3]


def test_nothing_that_is_painted_is_wider_than_float32():
    """One Python float in the wrong place made whole planes float64 once, and the painting half as fast."""
    who, face, dice = people(2)
    head = light_head(place_head(draw_scene(dice), who), who, face)
    wide = {
        name for traits in (who, face, head) for name, values in traits.values.items() if values.dtype == np.float64
    }
    assert wide == set()
    assert ellipse(RIGHT, DOWN, 0.08, 0.14).dtype == np.float32


def test_layers_reach_no_further_than_the_rows_they_are_given(monkeypatch):
    cut = render(*people(168))[0]
    monkeypatch.setattr(portrait, "LAYERS", tuple((layer, slice(0, SIZE)) for layer, _ in portrait.LAYERS))
    assert np.array_equal(cut, render(*people(168))[0])


@pytest.mark.parametrize(("name", "axis"), [("yaw", "inner"), ("pitch", "down")])
def test_a_turned_head_moves_the_middle_of_the_face_and_leaves_its_outline(name, axis):
    who, _, _ = people(3)
    straight, turned = (place_head(scene_with(who, **{name: turn}), who).values for turn in (0.0, 0.1))
    moved = straight[axis] - turned[axis]
    assert moved[:, 32, 32] == pytest.approx(0.1, abs=0.002)
    assert moved[straight["depth"] == 0].max() == 0
    assert np.array_equal(straight["x"], turned["x"])
    assert np.array_equal(straight["y"], turned["y"])


def test_skin_is_brighter_on_the_side_of_the_light():
    who, face, _ = people(5)
    first, second = np.s_[:, 32, 20], np.s_[:, 32, 43]
    left, right = (light_head(place_head(scene_with(who, light_x=side), who), who, face).light for side in (-1.0, 1.0))
    assert (left[first] > left[second] + 0.1).all()
    assert (right[second] > right[first] + 0.1).all()


@pytest.mark.parametrize(
    ("trait", "rows"),
    [("glasses", slice(16, 46)), ("moustache", slice(32, 56)), ("full", slice(18, 64)), ("bun", slice(0, 24))],
)
def test_what_a_person_wears_shows_where_it_belongs_and_nowhere_else(trait, rows):
    changed = (render(*people(10, **{trait: 1.0}))[0] != render(*people(10, **{trait: 0.0}))[0]).any(axis=3)
    assert changed.any(axis=(1, 2)).all()
    changed[:, rows] = False
    assert not changed.any()


def test_a_raised_cheek_and_a_dropped_jaw_change_the_light_on_the_skin():
    who, face, _ = people(4)
    scene = scene_with(who, light_x=0.5)
    still = {name: np.zeros_like(values) for name, values in face.values.items()}
    for unit in ("cheek", "jaw_drop", "nose_wrinkle"):
        moved = Traits(still | {unit: still[unit] + np.float32(0.3)})
        lit = [light_head(place_head(scene, who), who, expression).light for expression in (Traits(still), moved)]
        assert np.abs(lit[0] - lit[1]).max() > 0.005, unit


def test_only_operations_that_round_alike_on_every_machine_are_used(repository):
    """Library cosines, powers and sums over pixels differ between processors in the last bit."""
    alike = {"abs", "arange", "array", "asarray", "clip", "floor", "maximum", "mgrid", "minimum", "sqrt", "where"}
    types = {"float32", "ndarray", "uint8", "zeros", "zeros_like"}
    for name in ("painting", "portrait", "scenery", "hair"):
        nodes = ast.walk(ast.parse((repository / "components" / "data" / "drawing" / f"{name}.py").read_text()))
        attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
        used = {node.attr for node in attributes if isinstance(node.value, ast.Name) and node.value.id == "np"}
        assert used <= alike | types, name
        assert not {node.attr for node in attributes} & {"sum", "mean", "std", "dot"}, name
