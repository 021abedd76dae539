"""Hair on the head, over the eyes and round the mouth."""

import numpy as np

from components.data.drawing.dice import Traits
from components.data.drawing.painting import dome, ellipse, paint, ripple, stroke

# Hairline y at the middle, length at the sides, volume, lower end behind the head, slant of the parting, how far the
# temples recede, depth of the curls at the silhouette, how ragged the fringe is, how tall the hair stands.
HAIR_STYLES = np.array(
    [
        (-0.56, 0.36, 0.020, -1.0, 0.00, 0.00, 0.000, 0.02, 0.00),  # cropped
        (-0.51, 0.40, 0.070, -1.0, 0.05, 0.00, 0.000, 0.05, 0.02),  # short
        (-0.53, 0.38, 0.080, -1.0, 0.26, 0.04, 0.000, 0.02, 0.04),  # parted to one side
        (-0.57, 0.33, 0.050, -1.0, 0.00, 0.02, 0.015, 0.03, 0.14),  # swept up
        (-0.56, 0.36, 0.015, -1.0, 0.00, 0.10, 0.000, 0.00, 0.00),  # receding
        (-1.60, 0.00, 0.000, -1.0, 0.00, 0.00, 0.000, 0.00, 0.00),  # bald
        (-0.52, 0.42, 0.120, -1.0, 0.00, 0.00, 0.050, 0.08, 0.03),  # short curls
        (-0.52, 0.46, 0.210, 0.10, 0.00, 0.00, 0.035, 0.03, 0.03),  # round and full
        (-0.55, 0.85, 0.110, 0.85, 0.10, 0.00, 0.000, 0.00, 0.02),  # long, open forehead
        (-0.52, 0.85, 0.150, 0.80, -0.12, 0.00, 0.045, 0.02, 0.02),  # long waves
        (-0.46, 0.78, 0.100, 0.42, 0.00, 0.00, 0.000, 0.06, 0.02),  # bob with a fringe
        (-0.57, 0.34, 0.035, -1.0, 0.00, 0.00, 0.000, 0.00, 0.02),  # tied up in a bun
    ],
    np.float32,
).T
STYLE_TRAITS = ("hairline", "sides", "volume", "hair_end", "parting", "recede", "curl", "ragged", "tall")
SHORT_STYLES, BUN = 8, 11  # the first so many go with a beard
BEARDS = ("stubble", "moustache", "goatee", "full")


def curls(head: Traits, who: Traits) -> np.ndarray:
    """Scallops around the head: an angle that needs no arctangent, cut into arches."""
    angle = head.x / (np.abs(head.x) + np.abs(head.y) + 0.001)
    return who.curl * (ripple(4.5 * angle + 0.5) - 0.5)


def paint_hair_behind(canvas: np.ndarray, head: Traits, who: Traits, face: Traits) -> None:
    """What hangs or stands behind the head, and the bun."""
    bun = ellipse(head.x + 0.5 * head.yaw, head.y + who.face_height + 0.05, 0.2, 0.16)
    paint(canvas, bun, who.hair * (0.7 + 0.2 * ripple(5 * head.x)), who.bun)
    wide = who.hair_width + 0.03 * np.maximum(head.y, 0) * (who.hair_end > 0)
    mane = ellipse(head.x, np.minimum(head.y, 0), wide, who.hair_height) - curls(head, who)
    wave = who.hair_end + 0.5 * who.curl * ripple(6 * head.x) - 0.12 * head.x**2
    paint(
        canvas,
        np.maximum(mane, head.y - wave),
        who.hair * (0.55 + 0.10 * ripple(5 * head.x) + 0.08 * ripple(11.3 * head.x)),
    )


def paint_hair_before(canvas: np.ndarray, head: Traits, who: Traits, face: Traits) -> None:
    """Hair over the forehead and beside the face, in strands, brighter where the light falls."""
    across = head.inner / who.face_width
    temple = dome(np.abs(across) - 0.55, head.y, 0.4, 9.0)
    edge = who.hairline + who.parting * across + (who.sides - who.parting) * (across**2) ** 2
    edge = edge - who.recede * temple + who.ragged * (ripple(4 * across + who.parting) - 0.5)
    slope = (4 * (who.sides - who.parting) * across**3 + who.parting) / who.face_width
    # Divided by the slope, the distance downwards becomes one across the edge: a steep edge stays smooth.
    front = (head.down - edge) / np.sqrt(1 + slope**2)
    # What stands out beyond the face reaches down to the ears.
    beside = np.maximum(-head.outline, head.y - who.hairline - who.sides)
    cap = ellipse(head.x, head.y + 0.03, who.hair_width, who.hair_height) - curls(head, who)
    flow = across * (1 + 0.5 * head.y) + 0.06 * who.parting + who.curl * (9 * head.y + 3 * ripple(4 * head.y))
    strands = 0.5 * ripple(6 * flow) + 0.5 * ripple(13.7 * flow + 0.3)
    glow = dome(head.x - 0.35 * head.light_x, head.y + 0.62, 0.5, 0.28)
    shade = 0.74 + 0.18 * strands + 0.22 * head.light_x * head.x
    paint(
        canvas,
        np.maximum(cap, np.minimum(front, beside)),
        who.hair * shade + (14 + 0.22 * who.hair) * glow * (0.5 + strands),
    )


def paint_brows(canvas: np.ndarray, head: Traits, who: Traits, face: Traits) -> None:
    """The brows, from the inner to the outer end, thick inside and thin outside."""
    # From -1 at the inner end of the brow to 1 at the outer end.
    along = (head.side - who.eye_distance - 0.012 + face.brow_approach) / who.brow_length
    raised = who.brow_height + (face.inner_brow * (1 - along) + face.outer_brow * (1 + along)) / 2
    arch = who.brow_arch * (1 - along**2)
    curve = who.brow_slant * along - 0.285 - raised - arch
    thickness = who.brow_thickness * (0.85 - 0.35 * np.maximum(along, -0.6))
    hairs = 0.9 + 0.15 * ripple(2.5 * along)
    shape = stroke(head.down - curve, thickness, along * who.brow_length, who.brow_length)
    paint(canvas, shape, who.brow_colour * hairs, 0.92, edge=1.6)


def paint_beard(canvas: np.ndarray, head: Traits, who: Traits, face: Traits) -> None:
    """Stubble, a moustache, a goatee or a full beard; it hangs on the jaw and opens with the mouth."""
    outline = ellipse(head.jaw_x, head.jaw_y, who.face_width + 0.015, who.face_height + 0.03)
    corner = face.mouth_corner * 0.5
    band = head.down - 0.325 - 0.9 * head.side**2 + corner * head.side * 2
    moustache = stroke(band, 0.042 * (1.15 - 2 * head.side), head.side, 0.25)
    cheeks = 0.32 + 0.35 * head.side**2 - 0.5 * dome(head.side / who.face_width - 1, head.y, 0.5, 99.0)
    full = np.minimum(np.maximum(outline, cheeks - head.down), moustache)
    chin = np.maximum(ellipse(head.inner, head.jaw_y - 0.66, 0.17, 0.16), 0.5 - head.down)
    goatee = np.minimum(chin, moustache + 0.012)
    hairs = 0.88 + 0.14 * ripple(13 * head.inner + 4 * head.down)
    for kind, shape, opaque, edge in (
        ("stubble", full + 0.03, 0.25, 7.0),
        ("moustache", moustache, 0.92, 1.8),
        ("goatee", goatee, 0.9, 2.0),
        ("full", full, 0.9, 3.5),
    ):
        paint(canvas, shape, who.brow_colour * hairs, opaque * who.values[kind], edge)
