"""The embedded default data set: parametric cartoon faces in colour that show seven emotions.

A face is a stack of painted layers (drawing/portrait.py); an emotion is the sum of its FACS action units, each a
small change of geometry in head units (drawing/painting.py). A face is a function of seed, split and its number alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from components.data.drawing.dice import FACE_STREAM, SUBJECT_STREAM, Dice, Traits
from components.data.drawing.hair import BEARDS, BUN, HAIR_STYLES, SHORT_STYLES, STYLE_TRAITS
from components.data.drawing.painting import palette
from components.data.drawing.portrait import FRAMES, render

EMOTIONS: tuple[str, ...] = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear")
BATCH, FACES_PER_SUBJECT = 8, 12

# The action units of each emotion, in the order of EMOTIONS.
EMOTION_UNITS = ((), (6, 12), (1, 2, 5, 26), (1, 4, 15), (4, 5, 7, 23), (9, 15, 16), (1, 2, 4, 5, 7, 20, 26))
# What each unit at full activity adds to the geometry; raising, opening and strengthening count as positive.
ACTION_UNITS: dict[int, dict[str, float]] = {
    1: {"inner_brow": 0.175, "outer_brow": -0.02, "lid_slant": 0.27, "forehead_lines": 0.4},
    2: {"inner_brow": 0.02, "outer_brow": 0.12, "forehead_lines": 0.4},
    4: {"inner_brow": -0.10, "outer_brow": -0.01, "brow_approach": 0.04, "frown": 1.0, "lid_slant": -0.13},
    5: {"upper_lid": 0.05},
    6: {"cheek": 1.0, "lower_lid": -0.05},
    7: {"upper_lid": -0.015, "lower_lid": -0.045},
    9: {"nose_wrinkle": 1.0, "mouth_folds": 1.0, "upper_lip": 0.08, "inner_brow": -0.06, "lower_lid": -0.06},
    12: {"mouth_corner": 0.16, "mouth_wide": 0.08, "lower_lip_drop": 0.05, "mouth_folds": 0.6},
    15: {"mouth_corner": -0.13, "mouth_wide": -0.01},
    16: {"lower_lip_drop": 0.06, "mouth_folds": 0.2},
    20: {"mouth_wide": 0.12, "mouth_square": 1.0, "jaw_drop": -0.10, "mouth_corner": -0.09},
    23: {"lip_tight": 1.0, "mouth_wide": -0.05},
    26: {"jaw_drop": 0.25, "mouth_wide": -0.11},
}
# Uniform ranges of what all faces of a subject share.
IDENTITY_RANGES = {
    "face_width": (0.54, 0.62),
    "face_height": (0.72, 0.79),
    "jaw_taper": (0.0, 0.26),
    "neck_width": (0.22, 0.32),
    "eye_width": (0.135, 0.165),
    "eye_open": (0.055, 0.085),
    "eye_distance": (0.24, 0.28),
    "eye_tilt": (-0.10, 0.10),
    "eye_peak": (-0.25, 0.25),
    "lid_crease": (0.0, 0.6),
    "lashes": (0.006, 0.02),
    "brow_thickness": (0.018, 0.042),
    "brow_height": (-0.02, 0.02),
    "brow_slant": (-0.02, 0.02),
    "brow_arch": (0.0, 0.045),
    "brow_length": (0.15, 0.18),
    "nose_width": (0.08, 0.12),
    "nose_length": (0.13, 0.19),
    "mouth_width": (0.2, 0.26),
    "mouth_rest": (-0.02, 0.02),
    "lip_thickness": (0.032, 0.062),
    "lip_red": (0.0, 1.0),
    "blush": (0.05, 0.3),
    "age": (0.0, 1.0),
    "neckline": (0.0, 1.0),
}
# Published sRGB values of the ten Monk skin tones, lightest first.
MONK = ("f6ede4", "f3e7db", "f7ead0", "eadaba", "d7bd96", "a07e56", "825c43", "604134", "3a312a", "292420")
HAIR_COLOURS = ("1c1614", "2a1b14", "3f2a1d", "5a3a22", "7d5230", "a5713a", "8c3b1e", "c9a05c", "dcc08a", "6b4630")
GREY_HAIR = ("b9b6b2", "8f8b88", "d8d5d0")
IRIS_COLOURS = ("3b2314", "5a3a1e", "6b6a2f", "4f7f8c", "5f87b8", "5b8f5a")
FAIR_TONES, DARK_HAIR = 5, 3


@dataclass(frozen=True)
class EmbeddedFace:
    """One labelled face: the picture, its emotion, whose it is, and what a robustness report groups by."""

    pixels: np.ndarray  # (64, 64, 3) uint8 sRGB
    label: int  # index into EMOTIONS
    subject: str  # such as "train-0012": the split is part of the name, so no subject is in two splits
    attributes: dict[str, str]  # a neutral face has an intensity too, which then changes nothing


def draw_identity(dice: Dice) -> Traits:
    """Subjects, spread evenly over the ten skin tones."""
    shape = dice.ranges(IDENTITY_RANGES)
    tone = dice.index(len(MONK))
    # People of one tone differ a little in brightness, and in how red or olive they are.
    variation = 1 + dice.between(-0.05, 0.03) + dice.colour(-0.02, 0.02)
    return Traits(
        shape
        | draw_hair(dice, tone, shape)
        | draw_glasses(dice)
        | {
            "tone": tone,
            "skin": palette(MONK, tone) * variation,
            "iris": palette(IRIS_COLOURS, dice.index(len(IRIS_COLOURS)) * (tone < FAIR_TONES)),
            "clothes": dice.between(45, 190) + dice.colour(-35, 35),
        }
    )


def draw_hair(dice: Dice, tone: np.ndarray, shape: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Style, colour and beard of subjects."""
    style = dice.index(HAIR_STYLES.shape[1])
    traits = dict(zip(STYLE_TRAITS, HAIR_STYLES[:, style, None, None], strict=True))
    traits["hairline"] = traits["hairline"] + dice.between(-0.03, 0.03)
    traits["parting"] = traits["parting"] * np.where(dice.happens(0.5) > 0, np.float32(1), np.float32(-1))
    # Fair hair and light eyes only with fair skin: light brows on dark skin would look dyed.
    colour = dice.index(len(HAIR_COLOURS)) % np.where(tone < FAIR_TONES, len(HAIR_COLOURS), DARK_HAIR)
    grey = dice.happens(0.75) * (shape["age"] > 0.75)
    hair = np.where(grey > 0, palette(GREY_HAIR, dice.index(len(GREY_HAIR))), palette(HAIR_COLOURS, colour))
    beard = dice.index(len(BEARDS))[:, None, None]
    bearded = dice.happens(0.35) * (style < SHORT_STYLES)[:, None, None]
    kinds = {kind: bearded * (beard == number) for number, kind in enumerate(BEARDS)}
    height = shape["face_height"] + 0.6 * traits["volume"] + traits["tall"]
    return (
        traits
        | kinds
        | {
            "hair": hair,
            "brow_colour": hair * 0.58,
            "beard": bearded,
            "bun": (style == BUN)[:, None, None].astype(np.float32),
            "hair_width": shape["face_width"] + traits["volume"],
            "hair_height": height,
        }
    )


def draw_glasses(dice: Dice) -> dict[str, np.ndarray]:
    """Who wears glasses, and which."""
    return {
        "glasses": dice.happens(0.20),
        "round_glasses": dice.happens(0.5),
        "half_rim": dice.happens(0.3),
        "thick_frames": dice.between(0, 1) ** 2,
        "frame_colour": dice.index(len(FRAMES)),
    }


def draw_expression(dice: Dice, labels: np.ndarray, intensity: np.ndarray) -> Traits:
    """Emotions (B,) at an intensity (column); every unit jitters, units of other emotions stir a little."""
    total = {name: np.zeros_like(intensity) for changes in ACTION_UNITS.values() for name in changes}
    for unit, changes in ACTION_UNITS.items():
        belongs = np.array([unit in units for units in EMOTION_UNITS], np.float32)[labels][:, None, None]
        # Most draws are negative: a unit outside the emotion is usually still.
        stray = np.maximum(dice.between(-0.40, 0.22), 0)
        activity = belongs * intensity * dice.between(0.7, 1.15) + (1 - belongs) * stray
        for name, change in changes.items():
            total[name] += change * activity
    return Traits(total)


def describe(who: Traits, scene: Traits, intensity: np.ndarray, row: int) -> dict[str, str]:
    """The words that a robustness report groups by."""

    def yes_or_no(column: np.ndarray) -> str:
        return "yes" if column[row, 0, 0] else "no"

    light = scene.light_x[row, 0, 0]
    return {
        "skin_tone": str(who.tone[row] + 1),
        "glasses": yes_or_no(who.glasses),
        "beard": yes_or_no(who.beard),
        "scarf": yes_or_no(scene.scarf),
        "intensity": ("faint", "medium", "full")[np.digitize(intensity[row, 0, 0], (0.5, 0.75))],
        "age_lines": "high" if who.age[row, 0, 0] > 0.5 else "low",
        "pose": "turned" if np.abs(scene.yaw[row, 0, 0]) > 0.06 else "frontal",
        "light": "front" if np.abs(light) < 0.3 else "left" if light < 0 else "right",
    }


def render_faces(seed: int, split: str, count: int) -> Iterator[EmbeddedFace]:
    """count faces of a split, streamed in batches; labels cycle, and a subject has twelve faces in a row."""
    for start in range(0, count, BATCH):
        numbers = np.arange(start, min(start + BATCH, count))
        subjects, labels = numbers // FACES_PER_SUBJECT, numbers % len(EMOTIONS)
        who = draw_identity(Dice(seed, split, SUBJECT_STREAM, subjects))
        dice = Dice(seed, split, FACE_STREAM, numbers)
        intensity = dice.between(0.3, 1.0)
        pictures, scene = render(who, draw_expression(dice, labels, intensity), dice)
        for row, picture in enumerate(pictures):
            name = f"{split}-{subjects[row]:04d}"
            yield EmbeddedFace(picture.copy(), int(labels[row]), name, describe(who, scene, intensity, row))
