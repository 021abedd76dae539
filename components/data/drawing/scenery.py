"""What lies around a face: the place and turn of the head, the light, the clutter behind, the scarf in front."""

import numpy as np

from components.data.drawing.dice import Dice, Traits
from components.data.drawing.painting import (
    PIXEL,
    SIZE,
    coverage,
    dome,
    ellipse,
    glaze,
    paint,
    ripple,
    rounded_box,
    tint,
)

# Uniform ranges, drawn for every face. Roll is the tangent of the angle; yaw and pitch are how far the middle of the
# face moves; light_x and light_y are where the light comes from, with the head in the middle and 1 towards the viewer.
SCENE_RANGES = {
    "shift_x": (-0.06, 0.06),
    "shift_y": (-0.01, 0.07),
    "roll": (-0.12, 0.12),
    "scale": (0.95, 1.08),
    "yaw": (-0.12, 0.12),
    "pitch": (-0.05, 0.06),
    "gaze": (-0.025, 0.025),
    "light_x": (-0.8, 0.8),
    "light_y": (-0.9, 0.1),
    "ambient": (0.35, 0.55),
    "brightness": (0.9, 1.08),
    "warmth": (-0.05, 0.05),
}
CLUTTER = ("plain", "stripes", "blocks", "spots")
SCARF_SHARE = 0.08
SAME, DIMMER = tint(1, 1, 1), tint(0.6, 0.6, 0.6)


def draw_scene(dice: Dice) -> Traits:
    """Pose, light and what the backdrop is made of."""
    clutter = dice.index(len(CLUTTER))[:, None, None]
    kinds = {kind: (clutter == number).astype(np.float32) for number, kind in enumerate(CLUTTER)}
    return Traits(dice.ranges(SCENE_RANGES) | kinds | {"scarf": dice.happens(SCARF_SHARE)})


def paint_backdrop(dice: Dice, scene: Traits) -> np.ndarray:
    """A canvas with a gradient, and stripes, blocks or spots out of focus before it."""
    down, right = ((np.mgrid[:SIZE, :SIZE].astype(np.float32) + 0.5) * PIXEL - 1)[:, None]
    canvas = np.zeros((3, 1, SIZE, SIZE), np.float32) + dice.between(85, 190) + dice.colour(-22, 22)
    canvas += dice.colour(-24, 24) * down + dice.colour(-12, 12) * right
    slanted = (right + dice.between(-0.7, 0.7) * down) * dice.between(1.2, 2.6) + dice.between(0, 1)
    glaze(canvas, scene.stripes * np.clip(2 * ripple(slanted) - 0.6, 0, 1), SAME, dice.colour(-24, 24))
    for _ in range(3):
        x, y = right - dice.between(-1, 1), down - dice.between(-1, 0.7)
        size_x, size_y, change = dice.between(0.12, 0.55), dice.between(0.12, 0.6), dice.colour(-28, 28)
        glaze(canvas, scene.blocks * coverage(rounded_box(x, y, size_x, size_y, 0.03), 2.5), SAME, change)
        glaze(canvas, scene.spots * dome(x, y, size_x + 0.2, size_x + 0.2) ** 2, SAME, 1.4 * change)
    return canvas


def place_head(scene: Traits, who: Traits) -> Traits:
    """Planes with each pixel's place on the head.

    x, y: flat, for the silhouette; inner, down: turned with the head, for what lies on its front; side, sign: the
    distance to the middle of the face and on which half; depth: towards the viewer, 1 in the middle and 0 at the rim.
    """
    down, right = ((np.mgrid[:SIZE, :SIZE].astype(np.float32) + 0.5) * PIXEL - 1)[:, None]
    # Cosine and sine come from the tangent: roots round alike on every machine, library cosines do not.
    cosine = 1 / np.sqrt(1 + scene.roll**2)
    sine = scene.roll * cosine
    x = ((right - scene.shift_x) * cosine + (down - scene.shift_y) * sine) / scene.scale
    y = ((down - scene.shift_y) * cosine - (right - scene.shift_x) * sine) / scene.scale
    depth = np.sqrt(dome(x, y, who.face_width * 1.03, who.face_height * 1.03))
    # A point of the front moves in proportion to its depth, so the half that turns away looks narrower.
    inner, lower = x - scene.yaw * depth, y - scene.pitch * depth
    sign = np.where(inner < 0, np.float32(-1), np.float32(1))
    return Traits(
        {"x": x, "y": y, "inner": inner, "down": lower, "side": np.abs(inner), "sign": sign, "depth": depth}
        | {name: scene.values[name] for name in ("yaw", "pitch", "gaze", "light_x", "light_y", "ambient")}
    )


def paint_scarf(canvas: np.ndarray, dice: Dice, head: Traits, scene: Traits) -> None:
    """A scarf in folds over neck and chin, on a few of the faces."""
    colour, top, folds = dice.colour(50, 210), dice.between(0.66, 0.78), dice.between(3, 6)
    edge = top - 0.1 * head.x**2 - head.y + 0.03 * head.x
    shade = 0.75 + 0.35 * ripple(folds * (head.y + 0.25 * head.x**2 + 0.1 * head.x))
    glaze(canvas, scene.scarf * coverage(edge, 5), DIMMER)
    body = np.maximum(edge + 0.02, ellipse(head.x, head.y - 1.1, 0.85, 0.75))
    paint(canvas, body, colour * shade, scene.scarf)


def light_up(canvas: np.ndarray, scene: Traits) -> None:
    """Brightness and warmth of the whole picture, a little more of it on the side of the light, in place."""
    right = ((np.arange(SIZE, dtype=np.float32) + 0.5) * PIXEL - 1)[None, None, :]
    even = scene.brightness * (1 + 0.07 * scene.light_x * right)
    for channel, warmer in zip(canvas, (1, 0, -1), strict=True):
        channel *= even * (1 + warmer * scene.warmth)
