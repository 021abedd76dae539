"""Small changes that should not change an answer."""

import numpy as np

SHIFT_PIXELS = 1


def disturb(images: np.ndarray) -> dict[str, np.ndarray]:
    """Images (N, H, W, C) uint8, sRGB: one pixel to the right and down, mirrored, and with half of the light."""
    return {"shift": shifted(images), "flip": np.ascontiguousarray(images[:, :, ::-1]), "one_stop": darker(images)}


def shifted(images: np.ndarray) -> np.ndarray:
    """What comes in at the edge repeats it."""
    padded = np.pad(images, ((0, 0), (SHIFT_PIXELS, 0), (SHIFT_PIXELS, 0), (0, 0)), mode="edge")
    return np.ascontiguousarray(padded[:, :-SHIFT_PIXELS, :-SHIFT_PIXELS])


def darker(images: np.ndarray) -> np.ndarray:
    """One stop less: half of the linear light (sRGB transfer function, IEC 61966-2-1)."""
    level = np.arange(256) / 255
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4) / 2
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * coded).astype(np.uint8)[images]
