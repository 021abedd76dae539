"""Painting a face: the modelled and lit head, nose, lines, eyes and mouth, from back to front.

The eyes lie near y = -0.1, the mouth near 0.42 and the chin near 0.75 (head units, see painting.py). `who` holds what
all faces of a subject share, `face` what its action units add, `head` the place of every pixel on the head.
"""

import numpy as np

from components.data.drawing.dice import Dice, Traits
from components.data.drawing.hair import paint_beard, paint_brows, paint_hair_before, paint_hair_behind
from components.data.drawing.painting import (
    coverage,
    dome,
    ellipse,
    glaze,
    paint,
    palette,
    ripple,
    rounded_box,
    stroke,
    tint,
)
from components.data.drawing.scenery import draw_scene, light_up, paint_backdrop, paint_scarf, place_head

# Factors of the skin's colour where the light falls and where it does not: blood shows through in the shade.
LIT, SHADED, LIFT = tint(0.99, 0.915, 0.86), tint(0.58, 0.45, 0.39), tint(20, 14, 11)
DEEPER, FLUSHED, BLOOD = tint(0.55, 0.44, 0.42), tint(0.99, 0.84, 0.81), tint(16, 0, 2)
LIP, LIP_BLOOD, LOWER = tint(0.80, 0.55, 0.54), tint(24, 2, 8), tint(0.84, 0.84, 0.84)
SAME, NEARLY_BLACK, SHINE = tint(1, 1, 1), tint(0.25, 0.2, 0.2), tint(30, 28, 26)
EYE_WHITE, TEETH, THROAT, TONGUE = tint(232, 229, 224), tint(236, 231, 220), tint(46, 12, 14), tint(172, 74, 78)
FRAMES = ("1d1b1c", "4a2c1a", "8d8371", "6b1d22", "20304f")


def render(who: Traits, face: Traits, dice: Dice) -> tuple[np.ndarray, Traits]:
    """Pictures (B, 64, 64, 3) uint8 and the scenes they were painted in; the dice draw pose, light and clutter."""
    scene = draw_scene(dice)
    canvas = paint_backdrop(dice, scene)
    head = light_head(place_head(scene, who), who, face)
    for layer, rows in LAYERS:
        layer(canvas[..., rows, :], head.rows(rows), who, face)
    paint_scarf(canvas, dice, head, scene)
    light_up(canvas, scene)
    return np.clip(canvas + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 3, 0), scene


def light_head(head: Traits, who: Traits, face: Traits) -> Traits:
    """The head with its outline, the space of its jaw, and the light on its skin: Lambert's law plus ambient light."""
    below = np.maximum(head.y, 0)
    # A dropped jaw lengthens the lower half of the face, a tapered one narrows it.
    jaw_x, jaw_y = head.x / (1 - who.jaw_taper * below**2), head.y - below * face.jaw_drop * 0.42
    lean_x, lean_y = relief(head, who, face, jaw_y)
    normal_x, normal_y = 0.8 * head.x / who.face_width + lean_x, 0.7 * head.y / who.face_height + lean_y
    normal_z = 0.35 + 0.65 * head.depth
    length = np.sqrt((normal_x**2 + normal_y**2 + normal_z**2) * (1 + head.light_x**2 + head.light_y**2))
    facing = np.maximum((normal_x * head.light_x + normal_y * head.light_y + normal_z) / length, 0)
    outline = ellipse(jaw_x, jaw_y, who.face_width, who.face_height)
    light = head.ambient + (1.04 - head.ambient) * facing
    return Traits(head.values | {"jaw_x": jaw_x, "jaw_y": jaw_y, "outline": outline, "facing": facing, "light": light})


def relief(head: Traits, who: Traits, face: Traits, jaw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far the surface leans to the right and downwards, by the bumps and hollows of the face."""
    lean_x, lean_y, lean_side = np.zeros_like(head.x), np.zeros_like(head.x), np.zeros_like(head.x)
    nose, eye = head.down - who.nose_length + 0.03 * face.nose_wrinkle, head.side - who.eye_distance + 0.02
    cheek = head.down - 0.13 + 0.06 * face.cheek
    # Where, how wide and tall, how high; the middle of the face first, then what it has on both sides.
    for lean, x, y, radius_x, radius_y, height in (
        (lean_x, head.inner, nose + 0.17, 0.75 * who.nose_width, 0.26, 0.024),
        (lean_x, head.inner, nose, 1.1 * who.nose_width, 0.10, 0.036),
        (lean_x, head.inner, head.down - 0.40, 0.32, 0.20, 0.02),
        (lean_x, head.inner, jaw - 0.535, 0.16, 0.06, -0.010),
        (lean_x, head.inner, jaw - 0.655, 0.19, 0.11, 0.03),
        (lean_side, eye, head.down + 0.10, 0.20, 0.14, -0.034),
        (lean_side, eye, head.down + 0.29, 0.26, 0.10, 0.022),
        (lean_side, head.side - 0.36, cheek, 0.20, 0.17, 0.022 + 0.03 * face.cheek),
    ):
        spot = 4 * height * dome(x, y, radius_x, radius_y)
        lean += spot * x / radius_x**2
        lean_y += spot * y / radius_y**2
    return lean_x + head.sign * lean_side, lean_y


def darken(canvas: np.ndarray, shape: np.ndarray, opaque: np.ndarray | float, edge: float = 1.3) -> None:
    """Glaze a shape in a deeper shade of what is there."""
    glaze(canvas, coverage(shape, edge) * opaque, DEEPER)


def paint_neck(canvas: np.ndarray, head: Traits, who: Traits, face: Traits) -> None:
    """Neck in the shadow of the chin, shoulders in clothes with a round or pointed neckline, and the ears."""
    beside = np.abs(head.x)
    light = 0.12 + np.clip(0.75 * (head.y - 0.62), 0, 0.5) + 0.25 * head.x * head.light_x
    paint(canvas, np.maximum(beside - who.neck_width, 0.3 - head.y), who.skin * (SHADED + (LIT - SHADED) * light))
    shoulders = ellipse(head.x, head.y - 1.36, 0.95, 0.5)
    neckline = 0.86 - who.neckline * beside + 0.25 * (1 - who.neckline) * (1 - 4 * beside**2) - head.y
    folds = 0.92 + 0.12 * ripple(3 * beside + head.y) - 0.15 * beside
    paint(canvas, np.maximum(shoulders, np.where(beside < 0.3, neckline, shoulders)), who.clothes * folds)
    # The ear on the side that turns away goes behind the cheek.
    ear_x = np.abs(head.x + 0.35 * head.yaw) - who.face_width
    ear = ellipse(ear_x - 0.01, head.y + 0.03 - 0.5 * head.pitch, 0.075, 0.14)
    paint(canvas, ear, who.skin * (SHADED + LIT) * 0.5)
    darken(canvas, np.abs(ear + 0.045) - 0.008, 0.5, edge=2)


def paint_skin(canvas: np.ndarray, head: Traits, who: Traits, face: Traits) -> None:
    """The lit skin, with a sheen that keeps dark skin readable, flushed cheeks and the shadows that are cast on it."""
    sheen = np.maximum(head.facing - 0.6, 0) ** 2 * (25 + 0.9 * (255 - who.skin[0]))
    paint(canvas, head.outline, who.skin * (SHADED + (LIT - SHADED) * head.light) + LIFT * head.light + sheen)
    cheek = dome(head.side - 0.34, head.down - 0.15 + 0.05 * face.cheek, 0.2, 0.16)
    glaze(canvas, (who.blush + 0.4 * face.cheek) * cheek, FLUSHED, BLOOD)
    # What the fringe, the brows and the lower lip cast.
    fringe = dome(head.inner, head.down - who.hairline, 0.6, 0.16) * (head.outline < 0)
    socket = dome(head.side - who.eye_distance + 0.02, head.down + 0.17 - 0.02 * head.light_y, 0.22, 0.10)
    lip = dome(head.inner, head.jaw_y - 0.525 - 0.25 * np.maximum(face.jaw_drop, 0), 0.15, 0.045)
    for shadow in (fringe, socket, lip):
        glaze(canvas, 0.3 * shadow, DEEPER)


def paint_nose(canvas: np.ndarray, head: Traits, who: Traits, face: Traits) -> None:
    """The nose: a lit ridge, wings and nostrils, a shadow under it; lifted and widened when wrinkled."""
    y = head.down - who.nose_length + 0.035 * face.nose_wrinkle
    width = who.nose_width * (1 + 0.22 * face.nose_wrinkle)
    # It stands out, so it turns further than the face around it.
    x = head.inner - 0.25 * head.yaw
    side = np.abs(x)
    away = width * np.where(head.light_x < 0, np.float32(0.75), np.float32(-0.75))
    glaze(canvas, 0.4 * dome(x + 0.3 * head.light_x * width, y - 0.09, 0.16, 0.07), DEEPER)
    glaze(canvas, 0.35 * np.abs(head.light_x) * dome(x - away, y + 0.10, 0.6 * width, 0.2), DEEPER)
    glaze(canvas, 0.5 * dome(x, y + 0.14, 0.035, 0.2) + 0.7 * dome(x, y + 0.01, 0.06, 0.05), SAME, SHINE)
    wing = ellipse(side - 0.72 * width, y - 0.01, 0.42 * width, 0.055)
    darken(canvas, np.maximum(np.abs(wing) - 0.008, 0.8 * width - side), 0.55, edge=1.8)
    nostril = ellipse(side - 0.48 * width, y - 0.045, 0.34 * width, 0.018)
    glaze(canvas, 0.85 * coverage(nostril, 1.6), NEARLY_BLACK)


def paint_lines(canvas: np.ndarray, head: Traits, who: Traits, face: Traits) -> None:
    """Wrinkles of action units and of age, soft on a young face."""
    y, aged = head.down, 0.75 * who.age**3
    offset = head.side - who.eye_distance
    # Distances to the middle of two lines across the forehead, of two across the root of the nose, of the fold from
    # nose to mouth, and of two beside the eye.
    arch, root = y + 0.455 - 0.12 * head.side, y + 0.05 + 0.4 * head.side
    fold = head.side - 0.125 - 0.62 * (y - 0.15) + 0.5 * (y - 0.28) ** 2
    crow = np.abs(y + 0.07 + 0.05 * face.cheek) - 0.03 * (1 + 4 * (offset - 0.17))
    for line, strength, edge in (
        (stroke(np.abs(arch) - 0.04, 0.006, head.side, 0.27), aged + face.forehead_lines, 1.6),
        (stroke(head.side - 0.045 + 0.08 * (y + 0.25), 0.009, y + 0.27, 0.07), 0.3 * aged + face.frown, 1.6),
        (stroke(np.abs(root) - 0.04, 0.010, head.side, 0.08), 0.8 * face.nose_wrinkle, 1.8),
        (stroke(crow, 0.006, offset - 0.22, 0.05), 0.7 * aged + 0.5 * face.cheek, 1.6),
        (stroke(y - 0.065 + 2 * offset**2, 0.008, offset, 0.10), 0.8 * aged + 0.2, 2.5),
        (stroke(fold, 0.012, y - 0.30, 0.14), 0.8 * aged + 0.12 + face.mouth_folds, 2.2),
    ):
        darken(canvas, line, np.minimum(0.6 * strength, 0.75), edge)


def paint_eyes(canvas: np.ndarray, head: Traits, who: Traits, face: Traits) -> None:
    """The eyes between two lids, with iris, pupil and glint; lashes and the crease of the lid."""
    offset, y = head.side - who.eye_distance, head.down + 0.09
    along = offset / who.eye_width
    bow = 1 - along**2
    slant = (face.lid_slant + who.eye_tilt) * offset
    upper = slant - np.maximum(who.eye_open + face.upper_lid, 0.010) * bow * (1 + who.eye_peak * along)
    lower = slant * 0.6 + np.maximum(0.72 * who.eye_open + face.lower_lid, 0.006) * bow
    opening = np.maximum(np.maximum(upper - y, y - lower), np.abs(offset) - who.eye_width)
    paint(canvas, opening, EYE_WHITE * (0.62 + 0.38 * head.light))
    glaze(canvas, 0.55 * dome(offset, y - upper, 0.2, 0.05) * (opening < 0), DEEPER)
    looking = offset - head.sign * head.gaze
    iris = ellipse(looking, y + 0.008, 0.068, 0.068)
    paint(canvas, np.maximum(opening, iris), who.iris * 0.55)
    paint(canvas, np.maximum(opening, iris + 0.014), who.iris * (0.95 + 4 * y))
    paint(canvas, np.maximum(opening, iris + 0.036), 10)
    glint = ellipse(looking - 0.02 * head.sign * head.light_x, y + 0.03, 0.018, 0.018)
    paint(canvas, np.maximum(opening, glint), 250)
    lashes = stroke(y - upper + 0.004, 0.008 + who.lashes * bow, offset, who.eye_width * 1.04)
    glaze(canvas, 0.92 * coverage(lashes), NEARLY_BLACK * 0.5)
    darken(canvas, stroke(y - lower, 0.006, offset, who.eye_width * 0.95), 0.5)
    crease = y - upper + 0.045 - 0.35 * np.maximum(face.upper_lid, 0) - 0.012 * bow
    darken(canvas, stroke(crease, 0.006, offset, who.eye_width), who.lid_crease)


def paint_mouth(canvas: np.ndarray, head: Traits, who: Traits, face: Traits) -> None:
    """Lips around a dark opening with tongue and upper teeth."""
    width = np.maximum(who.mouth_width + face.mouth_wide, 0.1)
    squared, ends = (head.side / width) ** 2, head.side - width
    jaw, square = np.maximum(face.jaw_drop, 0), np.minimum(face.mouth_square, 1)
    # At rest the mouth opens like a lens, stretched like a box, with a dropped jaw like an egg.
    lens = np.maximum(1 - squared * (1 - square + square * squared), 0)
    lens = lens + np.minimum(5 * jaw, 1) * (np.sqrt(lens) - lens)
    y = head.down - 0.415 - 0.15 * jaw + (face.mouth_corner + who.mouth_rest) * (squared - 0.35)
    upper = -(face.upper_lip + 0.25 * jaw + 0.04 * square) * lens
    lower = (face.lower_lip_drop + 0.85 * jaw + 0.02 * square) * lens
    lip = who.lip_thickness * (1 - 0.7 * np.minimum(face.lip_tight, 1)) * lens
    bow = lip * (0.85 - 0.35 * dome(head.inner, y, 0.06, 1.0) + 0.12 * dome(head.side - 0.07, y, 0.06, 1.0))
    lips = np.maximum(np.maximum(upper - bow - y, y - lower - 1.15 * lip), ends)
    opening = np.maximum(np.maximum(upper - y, y - lower), ends)
    glaze(canvas, coverage(lips), LIP - 0.07 * who.lip_red, LIP_BLOOD * (0.4 + who.lip_red))
    glaze(canvas, coverage(np.maximum(lips, y - upper), 2), LOWER)
    glaze(canvas, 1.2 * dome(head.inner + 0.03, y - lower - 0.55 * lip, 0.11, 0.028), SAME, SHINE)
    paint(canvas, opening - 0.005, THROAT)
    paint(canvas, np.maximum(opening + 0.01, ellipse(head.inner, y - lower, 0.12, 0.06)), TONGUE, edge=2)
    paint(canvas, np.maximum(opening + 0.014, y - upper - 0.06), TEETH * (1.0 - 0.6 * squared))
    darken(canvas, ellipse(head.side - width, y, 0.03, 0.024), 0.6, edge=2)


def paint_glasses(canvas: np.ndarray, head: Traits, who: Traits, face: Traits) -> None:
    """Round, rectangular or half-rimmed glasses with a bridge, temples and a little glare."""
    x, y = head.side - who.eye_distance, head.down + 0.085
    lens = np.where(who.round_glasses > 0, ellipse(x, y, 0.195, 0.175), rounded_box(x, y, 0.2, 0.135, 0.05))
    glare = np.maximum(lens, stroke(head.sign * x + y, 0.05, y, 1.0))
    glaze(canvas, who.glasses * 0.6 * coverage(glare, 2), SAME, SHINE)
    glaze(canvas, who.glasses * 0.6 * coverage(np.abs(lens + 0.02) - 0.02, 2), LOWER)
    # One bar at eye height makes the bridge between the lenses and the temples beside them.
    bar = np.maximum(stroke(y + 0.045, 0.013, head.x, who.face_width), -lens)
    rim = np.abs(lens) - 0.008 - 0.012 * who.thick_frames
    rim = np.where(who.half_rim > 0, np.maximum(rim - 0.006, y + 0.03), rim)
    paint(canvas, np.minimum(rim, bar), palette(FRAMES, who.frame_colour), who.glasses * 0.95)


# The layers from back to front, each with the rows of pixels that it can reach in any pose.
LAYERS = (
    (paint_hair_behind, slice(0, 64)),
    (paint_neck, slice(20, 64)),
    (paint_skin, slice(0, 64)),
    (paint_nose, slice(18, 50)),
    (paint_lines, slice(8, 58)),
    (paint_beard, slice(18, 64)),
    (paint_mouth, slice(32, 64)),
    (paint_eyes, slice(14, 44)),
    (paint_brows, slice(8, 40)),
    (paint_hair_before, slice(0, 64)),
    (paint_glasses, slice(16, 46)),
)
