"""Encoded images to pixels and back, lossless."""

import io

import numpy as np
from PIL import Image


def encode(pixels: np.ndarray) -> bytes:
    """PNG bytes of an (H, W), (H, W, 1) or (H, W, 3) uint8 image."""
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1:] == (1,) else pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def decode(data: bytes) -> np.ndarray:
    """(H, W, C) uint8 from encoded bytes: C is 1 for a grey image and 3 for any other."""
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    return pixels[..., None] if pixels.ndim == 2 else pixels
