"""Soft-edged shapes on a batch of canvases, in float32 and with operations that round alike on every machine.

Lengths are in head units: the image spans -1..1, x grows to the right and y downwards. Colours are sRGB values
0..255. For a batch of B faces a *column* is (B, 1, 1), a *plane* (B, 64, 64), a *colour* (3, B, 1, 1) and a
*canvas* (3, B, 64, 64). Only arithmetic, roots, rounding down and comparisons touch them, and no sum over pixels.
"""

import numpy as np

Values = np.ndarray | float
SIZE = 64
PIXEL = 2 / SIZE


def palette(colours: tuple[str, ...], index: np.ndarray) -> np.ndarray:
    """Colours (3, B, 1, 1) picked from hexadecimal sRGB values by index (B,)."""
    return np.array([list(bytes.fromhex(text)) for text in colours], np.float32)[index].T[:, :, None, None]


def tint(red: float, green: float, blue: float) -> np.ndarray:
    """One colour, or factor of colours, for every face: (3, 1, 1, 1)."""
    return np.array([red, green, blue], np.float32)[:, None, None, None]


def ellipse(x: np.ndarray, y: np.ndarray, radius_x: Values, radius_y: Values) -> np.ndarray:
    """Approximate signed distance to an ellipse around the origin, negative inside."""
    # dtype: the smaller of two Python floats would be a float64 and make every later plane one
    smaller = np.minimum(radius_x, radius_y, dtype=np.float32)
    return (np.sqrt((x / radius_x) ** 2 + (y / radius_y) ** 2) - 1) * smaller


def rounded_box(x: np.ndarray, y: np.ndarray, half_x: Values, half_y: Values, radius: float) -> np.ndarray:
    """Signed distance to a box around the origin with round corners, negative inside."""
    far_x, far_y = np.abs(x) - half_x + radius, np.abs(y) - half_y + radius
    outside = np.sqrt(np.maximum(far_x, 0) ** 2 + np.maximum(far_y, 0) ** 2)
    return outside + np.minimum(np.maximum(far_x, far_y), 0) - radius


def stroke(across: np.ndarray, half_width: Values, along: np.ndarray, half_length: Values) -> np.ndarray:
    """Signed distance to a bar, from the distances across and along it."""
    return np.maximum(np.abs(across) - half_width, np.abs(along) - half_length)


def dome(x: np.ndarray, y: np.ndarray, radius_x: Values, radius_y: Values) -> np.ndarray:
    """A soft spot: 1 at the origin, falling to 0 at the ellipse and beyond."""
    return np.maximum(1 - (x / radius_x) ** 2 - (y / radius_y) ** 2, 0)


def ripple(phase: np.ndarray) -> np.ndarray:
    """Parabolic arches of height 1 and period 1."""
    part = phase - np.floor(phase)
    return 4 * part * (1 - part)


def coverage(shape: np.ndarray, edge: float = 1.3) -> np.ndarray:
    """The share (plane of 0..1) of every pixel that lies in a shape (signed distances, negative inside).

    The edge is so many pixels soft.
    """
    share = shape * (-1 / (PIXEL * edge))
    share += 0.5
    np.clip(share, 0, 1, out=share)
    share *= share * (3 - 2 * share)
    return share


def paint(canvas: np.ndarray, shape: np.ndarray, fill: Values, opaque: Values = 1, edge: float = 1.3) -> None:
    """Fill a shape with a number, colour or canvas, in place."""
    fills, share = np.asarray(fill, np.float32), coverage(shape, edge) * opaque
    # channel by channel: temporaries of the size of a plane stay in the processor's cache
    for number, channel in enumerate(canvas):
        change = (fills[number] if fills.ndim else fills) - channel
        change *= share
        channel += change


def glaze(canvas: np.ndarray, share: np.ndarray, factor: np.ndarray, added: np.ndarray | None = None) -> None:
    """Multiply every pixel's colour by a factor, then add to it, both in proportion to its share, in place."""
    for number, channel in enumerate(canvas):
        channel *= 1 - share * (1 - factor[number])
        if added is not None:
            channel += share * added[number]
