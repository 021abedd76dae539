"""The embedded default data set: parametric cartoon faces in colour that show seven emotions.

A face is a stack of painted layers; an emotion is the sum of its FACS action units, each a small change of
geometry. Lengths are in head units: the image spans -1..1, x grows to the right and y downwards, the eyes lie
near y = -0.1 and the chin near y = 0.75. Colours are sRGB values 0..255. For a batch of B faces a *column* is
float32 (B, 1, 1), a *plane* (B, 64, 64), a *colour* (B, 3, 1, 1) and a *canvas* (B, 3, 64, 64). Only
arithmetic, roots and comparisons touch them: those round alike everywhere, so a face keeps its bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

EMOTIONS: tuple[str, ...] = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear")
Values = np.ndarray | float
SIZE = 64
PIXEL = 2 / SIZE
BATCH, FACES_PER_SUBJECT = 16, 12
SPLIT_KEYS = {"train": 1, "valid": 2, "test": 3}
SUBJECT_STREAM, FACE_STREAM, DRAWS = 0, 1, 64

# The action units of each emotion, in the order of EMOTIONS.
EMOTION_UNITS = ((), (6, 12), (1, 2, 5, 26), (1, 4, 15), (4, 5, 7, 23), (9, 15, 16), (1, 2, 4, 5, 7, 20, 26))
# What each unit at full activity adds to the geometry; raising, opening and strengthening count as positive.
ACTION_UNITS: dict[int, dict[str, float]] = {
    1: {"inner_brow": 0.155, "outer_brow": -0.02, "lid_slant": 0.25, "forehead_lines": 0.4},
    2: {"inner_brow": 0.02, "outer_brow": 0.12, "forehead_lines": 0.4},
    4: {"inner_brow": -0.08, "outer_brow": -0.02, "brow_approach": 0.04, "frown": 1.0, "lid_slant": -0.1},
    5: {"upper_lid": 0.05},
    6: {"cheek": 1.0, "lower_lid": -0.05},
    7: {"upper_lid": -0.015, "lower_lid": -0.045},
    9: {"nose_wrinkle": 1.0, "mouth_folds": 1.0, "upper_lip": 0.08, "inner_brow": -0.06, "lower_lid": -0.06},
    12: {"mouth_corner": 0.16, "mouth_wide": 0.08, "lower_lip_drop": 0.05, "mouth_folds": 0.6},
    15: {"mouth_corner": -0.13, "mouth_wide": -0.01},
    16: {"lower_lip_drop": 0.06, "mouth_folds": 0.2},
    20: {"mouth_wide": 0.12, "mouth_square": 1.0, "jaw_drop": -0.10, "mouth_corner": -0.04},
    23: {"lip_tight": 1.0, "mouth_wide": -0.05},
    26: {"jaw_drop": 0.25, "mouth_wide": -0.11},
}
# Uniform ranges of what all faces of a subject share ...
IDENTITY_RANGES = {
    "face_width": (0.55, 0.64),
    "face_height": (0.72, 0.79),
    "jaw_taper": (0.02, 0.26),
    "eye_width": (0.145, 0.175),
    "eye_open": (0.08, 0.105),
    "eye_distance": (0.245, 0.285),
    "brow_thickness": (0.022, 0.042),
    "brow_height": (-0.02, 0.025),
    "brow_slant": (-0.02, 0.02),
    "nose_width": (0.08, 0.125),
    "mouth_width": (0.21, 0.27),
    "mouth_rest": (-0.02, 0.02),
    "lip_thickness": (0.035, 0.065),
    "age": (0.0, 1.0),
}
# ... and of pose and light, drawn for every face: roll is the tangent of the angle, yaw a shift of the inner
# features; light_x and light_y are the relative brightness added from the middle to the right and lower edge.
SCENE_RANGES = {
    "shift_x": (-0.07, 0.07),
    "shift_y": (-0.02, 0.07),
    "roll": (-0.13, 0.13),
    "scale": (0.94, 1.08),
    "yaw": (-0.07, 0.07),
    "light": (0.86, 1.04),
    "light_x": (-0.28, 0.28),
    "light_y": (-0.18, 0.06),
}
# Published sRGB values of the ten Monk skin tones, lightest first.
MONK = ("f6ede4", "f3e7db", "f7ead0", "eadaba", "d7bd96", "a07e56", "825c43", "604134", "3a312a", "292420")
HAIR_COLOURS = ("14100f", "2a1b14", "4a2f1d", "6e4a2a", "a5713a", "8c3b1e", "d9b673", "b9b6b2")
REDS = np.array([[45, 15, 13], [70, 30, 30], [50, 9, 12], [176, 74, 80]], np.float32)[:, :, None, None]
FLUSH, LIPS, THROAT, TONGUE = REDS
IRIS_COLOURS = ("3b2314", "5a3a1e", "6b6a2f", "4f7f8c", "5f87b8", "5b8f5a")
# Hairline y at the middle, length at the sides, volume, lower end behind the head, slant of the parting.
HAIR_STYLES = np.array(
    [
        (-0.56, 0.25, 0.015, -1.0, 0.00),  # cropped
        (-0.51, 0.42, 0.070, -1.0, 0.05),  # short
        (-0.52, 0.40, 0.100, -1.0, 0.28),  # parted to one side
        (-0.54, 0.85, 0.110, 0.85, 0.10),  # long, open forehead
        (-0.49, 0.75, 0.100, 0.45, 0.00),  # bob with a fringe
        (-0.52, 0.50, 0.180, 0.15, 0.00),  # round and full
        (-1.60, 0.00, 0.000, -1.0, 0.00),  # bald
    ],
    np.float32,
).T


@dataclass(frozen=True)
class EmbeddedFace:
    """One labelled face: the picture, its emotion, whose it is, and what a robustness report groups by."""

    pixels: np.ndarray  # (64, 64, 3) uint8 sRGB
    label: int  # index into EMOTIONS
    subject: str  # such as "train-0012": the split is part of the name, so no subject is in two splits
    attributes: dict[str, str]  # a neutral face has an intensity too, which then changes nothing


@dataclass(frozen=True)
class Traits:
    """Named columns and colours of a batch; read as attributes."""

    values: dict[str, np.ndarray]

    def __getattr__(self, name: str) -> np.ndarray:
        return self.values[name]


class Dice:
    """Uniform draws handed out as columns; every face has its own counter and depends on its number alone."""

    def __init__(self, seed: int, split: str, stream: int, numbers: np.ndarray) -> None:
        key = [seed, SPLIT_KEYS[split]]
        streams = [np.random.Philox(key=key, counter=[0, 0, stream, number]) for number in numbers]
        draws = [np.random.Generator(bits).random(DRAWS, np.float32) for bits in streams]
        self._columns = iter(np.stack(draws, axis=1)[:, :, None, None])

    def between(self, low: float, high: float) -> np.ndarray:
        return low + (high - low) * next(self._columns)

    def index(self, count: int) -> np.ndarray:
        return self.between(0, count)[:, 0, 0].astype(np.int64)

    def colour(self, low: float, high: float) -> np.ndarray:
        return np.stack([self.between(low, high) for _ in range(3)], axis=1)

    def ranges(self, ranges: dict[str, tuple[float, float]]) -> dict[str, np.ndarray]:
        return {name: self.between(low, high) for name, (low, high) in ranges.items()}


def palette(colours: tuple[str, ...], index: np.ndarray) -> np.ndarray:
    """Colours picked from hexadecimal sRGB values by index (B,)."""
    return np.array([list(bytes.fromhex(text)) for text in colours], np.float32)[index][:, :, None, None]


def draw_identity(dice: Dice) -> Traits:
    """Subjects, spread evenly over the ten skin tones."""
    tone = dice.index(len(MONK))
    # Fair hair and light eyes only with fair skin: light brows on dark skin would look dyed.
    hair = dice.index(len(HAIR_COLOURS)) % np.where(tone < 5, len(HAIR_COLOURS), 3)
    hairline, sides, volume, end, parting = HAIR_STYLES[:, dice.index(HAIR_STYLES.shape[1]), None, None]
    glasses, beard = ((dice.between(0, 1) < share).astype(np.float32) for share in (0.20, 0.15))
    shape = dice.ranges(IDENTITY_RANGES)
    return Traits(
        shape
        | {
            "tone": tone,
            "skin": palette(MONK, tone),
            "hair": palette(HAIR_COLOURS, hair),
            "iris": palette(IRIS_COLOURS, dice.index(len(IRIS_COLOURS)) * (tone < 5)),
            "hairline": hairline,
            "hair_sides": sides,
            "hair_end": end,
            "hair_parting": parting,
            "hair_width": shape["face_width"] + volume,
            "hair_height": shape["face_height"] + volume,
            "glasses": glasses,
            "beard": beard,
            "clothes": dice.colour(40, 200),
        }
    )


def draw_expression(dice: Dice, labels: np.ndarray, intensity: np.ndarray) -> Traits:
    """Emotions (B,) at an intensity (column); every unit jitters, units of other emotions stir a little."""
    total = {name: np.zeros_like(intensity) for changes in ACTION_UNITS.values() for name in changes}
    for unit, changes in ACTION_UNITS.items():
        belongs = np.array([unit in units for units in EMOTION_UNITS], np.float32)[labels][:, None, None]
        # Most draws are negative: a unit outside the emotion is usually still.
        stray = np.maximum(dice.between(-0.40, 0.27), 0)
        activity = belongs * intensity * dice.between(0.65, 1.15) + (1 - belongs) * stray
        for name, change in changes.items():
            total[name] += change * activity
    return Traits(total)


def ellipse(x: np.ndarray, y: np.ndarray, radius_x: Values, radius_y: Values) -> np.ndarray:
    """Approximate signed distance to an ellipse around the origin."""
    return (np.sqrt((x / radius_x) ** 2 + (y / radius_y) ** 2) - 1) * np.minimum(radius_x, radius_y)


def stroke(across: np.ndarray, half_width: Values, along: np.ndarray, half_length: Values) -> np.ndarray:
    """Signed distance to a bar, from the distances across and along it."""
    return np.maximum(np.abs(across) - half_width, np.abs(along) - half_length)


def paint(canvas: np.ndarray, shape: np.ndarray, fill: Values, opaque: Values = 1, edge: float = 1.3) -> None:
    """Fill a shape (plane of signed distances, negative inside) in place; the edge is so many pixels soft."""
    share = np.clip(0.5 - shape / (PIXEL * edge), 0, 1)
    canvas += (fill - canvas) * (opaque * share * share * (3 - 2 * share))[:, None]


def paint_background(dice: Dice) -> tuple[np.ndarray, Traits]:
    """A canvas with a gradient and soft blobs; planes with the light and each pixel's place on the head."""
    down, right = ((np.mgrid[:SIZE, :SIZE].astype(np.float32) + 0.5) * PIXEL - 1)[:, None]
    canvas = np.zeros((1, 3, SIZE, SIZE), np.float32) + dice.between(70, 200)[:, None] + dice.colour(-35, 35)
    canvas += dice.colour(-30, 30) * down[:, None]
    for _ in range(3):
        far_x, far_y = right - dice.between(-1, 1), down - dice.between(-1, 1)
        falloff = np.maximum(1 - (far_x**2 + far_y**2) / dice.between(0.3, 0.8) ** 2, 0) ** 2
        canvas += dice.colour(-45, 45) * falloff[:, None]
    scene = Traits(dice.ranges(SCENE_RANGES))
    # Cosine and sine come from the tangent: roots round alike on every machine, library cosines do not.
    cosine = 1 / np.sqrt(1 + scene.roll**2)
    sine = scene.roll * cosine
    x = ((right - scene.shift_x) * cosine + (down - scene.shift_y) * sine) / scene.scale
    y = ((down - scene.shift_y) * cosine - (right - scene.shift_x) * sine) / scene.scale
    light = scene.light * (1 + scene.light_x * right + scene.light_y * down)
    # Yaw moves the inner features; symmetric ones need only their distance to the middle of the face.
    inner = x - scene.yaw
    return canvas, Traits({"x": x, "y": y, "inner": inner, "side": np.abs(inner), "light": light})


def paint_head(canvas: np.ndarray, head: Traits, who: Traits, face: Traits) -> None:
    """Hair behind the head, neck, clothes, ears, the face itself and the beard."""
    beside, below = np.abs(head.x), np.maximum(head.y, 0)
    mane = ellipse(head.x, np.minimum(head.y, 0), who.hair_width, who.hair_height)
    paint(canvas, np.maximum(mane, head.y - who.hair_end), who.hair * 0.8)
    paint(canvas, np.maximum(beside - 0.25, 0.4 - head.y), who.skin * 0.72)
    paint(canvas, ellipse(head.x, head.y - 1.32, 0.85, 0.42), who.clothes)
    paint(canvas, ellipse(beside - who.face_width, head.y + 0.02, 0.08, 0.14), who.skin * 0.86)
    # A dropped jaw lengthens the lower half of the face.
    x, y = head.x / (1 - who.jaw_taper * below**2), head.y - below * face.jaw_drop * 0.45
    outline = ellipse(x, y, who.face_width, who.face_height)
    rim = np.clip(outline * 1.6 + 1, 0.45, 1)[:, None]
    # Reflected light adds the same amount on every skin, which keeps the features of dark faces visible.
    paint(canvas, outline, who.skin * (1.02 - 0.2 * rim) + 36 * (1 - rim))
    bearded = np.maximum(outline, 0.41 - 0.25 * head.side / who.face_width - head.y)
    paint(canvas, bearded, who.hair, who.beard * 0.85, edge=3)


def paint_nose_and_lines(canvas: np.ndarray, head: Traits, who: Traits, face: Traits) -> None:
    """Flushed cheeks, the nose (lifted and widened when wrinkled), wrinkles of action units and of age."""
    cheek = ellipse(head.side - 0.34, head.y - 0.16 + 0.05 * face.cheek, 0.15, 0.11)
    paint(canvas, cheek, who.skin * 0.8 + FLUSH, 0.25 + 0.5 * face.cheek, edge=4)
    y, width = head.y - 0.16 + 0.035 * face.nose_wrinkle, who.nose_width * (1 + 0.25 * face.nose_wrinkle)
    paint(canvas, stroke(head.inner, 0.03, head.y, 0.13), who.skin * 0.8 + 62, 0.3, edge=3)
    paint(canvas, ellipse(head.side - 0.6 * width, y, 0.55 * width, 0.055), who.skin * 0.72, 0.55, edge=2)
    paint(canvas, ellipse(head.side - 0.5 * width, y - 0.025, 0.035, 0.018), who.skin * 0.3, 0.9)
    # Distances to the middle of two lines across the forehead, and of two across the root of the nose.
    arch, root = head.y + 0.465 - 0.1 * head.side, head.y - 0.005 + 0.4 * head.side
    offset, aged = head.side - who.eye_distance, 0.6 * who.age**2
    for line, strength in (
        (stroke(np.abs(arch) - 0.035, 0.008, head.side, 0.28), aged + face.forehead_lines),
        (stroke(head.side - 0.05, 0.010, head.y + 0.27, 0.08), face.frown),
        (stroke(np.abs(root) - 0.045, 0.014, head.side, 0.10), face.nose_wrinkle),
        (stroke(head.y - 0.06 + 2 * offset**2, 0.008, offset, 0.11), aged),
        (stroke(head.side - 0.75 * head.y - 0.02, 0.012, head.y - 0.27, 0.13), aged + face.mouth_folds),
    ):
        paint(canvas, line, who.skin * 0.55, np.minimum(0.75 * strength, 0.8))


def paint_eyes(canvas: np.ndarray, head: Traits, who: Traits, face: Traits) -> None:
    """The eyes between two lids, with iris, pupil and glint; then the brows."""
    offset, y = head.side - who.eye_distance, head.y + 0.09
    bow = 1 - (offset / who.eye_width) ** 2
    upper = face.lid_slant * offset - np.maximum(who.eye_open + face.upper_lid, 0.015) * bow
    lower = np.maximum(0.8 * who.eye_open + face.lower_lid, 0.005) * bow
    opening = np.maximum(upper - y, y - lower)
    paint(canvas, opening, 240)
    paint(canvas, np.maximum(opening, ellipse(offset, y, 0.075, 0.075)), who.iris)
    paint(canvas, np.maximum(opening, ellipse(offset, y, 0.038, 0.038)), 12)
    paint(canvas, np.maximum(opening, ellipse(offset - 0.02, y + 0.03, 0.018, 0.018)), 250)
    paint(canvas, stroke(y - upper, 0.016, offset, who.eye_width * 1.08), who.skin * 0.12, 0.9)
    paint(canvas, stroke(y - lower, 0.006, offset, who.eye_width * 1.08), who.skin * 0.4, 0.5)
    # From -1 at the inner end of the brow to 1 at the outer end.
    along = (offset + face.brow_approach) / 0.19
    raised = who.brow_height + (face.inner_brow * (1 - along) + face.outer_brow * (1 + along)) / 2
    curve = who.brow_slant * along - 0.295 - raised - 0.03 * (1 - along**2)
    thickness = who.brow_thickness * (0.95 - 0.2 * along)
    paint(canvas, stroke(head.y - curve, thickness, along * 0.19, 0.19), who.hair * 0.7)


def paint_mouth(canvas: np.ndarray, head: Traits, who: Traits, face: Traits) -> None:
    """Lips around a dark opening with tongue and upper teeth."""
    width = np.maximum(who.mouth_width + face.mouth_wide, 0.1)
    squared, ends = (head.inner / width) ** 2, head.side - width
    jaw, square = np.maximum(face.jaw_drop, 0), np.minimum(face.mouth_square, 1)
    # At rest the mouth opens like a lens, stretched like a box, with a dropped jaw like an egg.
    lens = np.maximum(1 - squared * (1 - square + square * squared), 0)
    lens = lens + np.minimum(5 * jaw, 1) * (np.sqrt(lens) - lens)
    y = head.y - 0.42 - 0.15 * jaw + (face.mouth_corner + who.mouth_rest) * (squared - 0.35)
    upper = -(face.upper_lip + 0.25 * jaw + 0.04 * square) * lens
    lower = (face.lower_lip_drop + 0.85 * jaw + 0.02 * square) * lens
    lip = who.lip_thickness * (1 - 0.65 * np.minimum(face.lip_tight, 1)) * lens
    lips = np.maximum(np.maximum(upper - 0.8 * lip - y, y - lower - lip), ends)
    opening = np.maximum(np.maximum(upper - y, y - lower), ends)
    paint(canvas, lips, who.skin * 0.5 + LIPS)
    paint(canvas, opening - 0.004, THROAT)
    paint(canvas, np.maximum(opening, ellipse(head.inner, y - lower, 0.12, 0.06)), TONGUE, edge=2)
    paint(canvas, np.maximum(opening + 0.016, y - upper - 0.06), 238)


def paint_hair_and_glasses(canvas: np.ndarray, head: Traits, who: Traits) -> None:
    """Hair over the forehead and beside the face; round frames around the eyes."""
    across = head.x / who.face_width
    edge = who.hairline + who.hair_parting * across + (who.hair_sides - who.hair_parting) * (across**2) ** 2
    cap = ellipse(head.x, head.y + 0.03, who.hair_width, who.hair_height)
    paint(canvas, np.maximum(cap, head.y - edge), who.hair)
    lens = ellipse(head.side - who.eye_distance, head.y + 0.09, 0.205, 0.18)
    # One bar at eye height makes the bridge between the lenses and the temples beside them.
    bar = np.maximum(stroke(head.y + 0.12, 0.012, head.x, who.face_width), -lens)
    paint(canvas, np.minimum(np.abs(lens) - 0.014, bar), 28, who.glasses * 0.9)


def render(who: Traits, face: Traits, dice: Dice) -> np.ndarray:
    """Pictures (B, 64, 64, 3) uint8, painted back to front; the dice draw pose, light and background."""
    canvas, head = paint_background(dice)
    for layer in (paint_head, paint_nose_and_lines, paint_mouth, paint_eyes):
        layer(canvas, head, who, face)
    paint_hair_and_glasses(canvas, head, who)
    return np.clip(canvas * head.light[:, None] + 0.5, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def render_faces(seed: int, split: str, count: int) -> Iterator[EmbeddedFace]:
    """count faces of a split, streamed in batches; labels cycle, and a subject has twelve faces in a row."""
    for start in range(0, count, BATCH):
        numbers = np.arange(start, min(start + BATCH, count))
        subjects, labels = numbers // FACES_PER_SUBJECT, numbers % len(EMOTIONS)
        who = draw_identity(Dice(seed, split, SUBJECT_STREAM, subjects))
        dice = Dice(seed, split, FACE_STREAM, numbers)
        intensity = dice.between(0.3, 1.0)
        pictures = render(who, draw_expression(dice, labels, intensity), dice)
        for row, picture in enumerate(pictures):
            attributes = {
                "skin_tone": str(who.tone[row] + 1),
                "glasses": "yes" if who.glasses[row, 0, 0] else "no",
                "beard": "yes" if who.beard[row, 0, 0] else "no",
                "intensity": ("faint", "medium", "full")[np.digitize(intensity[row, 0, 0], (0.5, 0.75))],
                "age_lines": "high" if who.age[row, 0, 0] > 0.5 else "low",
            }
            yield EmbeddedFace(picture.copy(), int(labels[row]), f"{split}-{subjects[row]:04d}", attributes)
