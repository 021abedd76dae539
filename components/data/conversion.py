"""Images as others keep them, to the pixels of a face."""

import io
import warnings
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
PIXEL_LIMIT = 1 << 25  # 33.5 million: what has more is a decompression bomb, or no face
ORIENTATION = 0x0112  # the EXIF tag, and how to turn what it tells of upright
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """Bytes that are no image of a face; the message is the reason."""


def read_image(data: bytes, size: int, colour: Literal["grey", "rgb"]) -> np.ndarray:
    """(size, size, 1) for grey or (size, size, 3) for rgb, uint8, of the first frame of an encoded image.

    Turned upright by EXIF; 16 bits keep their upper 8; what is transparent is composed over black, which is no light;
    cropped to the square in the middle, then resized with antialiasing, both only where the size differs. Grey is the
    luma of ITU-R BT.601. Raises ImageError.
    """
    image = _eight_bits(_decoded(data))
    image = image.convert("L" if colour == "grey" else "RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    if image.size != (side, side):
        image = image.crop((left, top, left + side, top + side))
    if side != size:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _decoded(data: bytes) -> Image.Image:
    """The first frame, in memory and upright, in the file's own mode."""
    if not data:
        raise ImageError("empty file: allowed is an image")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is wrong enough to matter is an error below
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height <= PIXEL_LIMIT:
                image.load()
                turn = UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
                return image if turn is None else image.transpose(turn)
        except UnidentifiedImageError:
            raise ImageError(f"not an image: allowed are {', '.join(FORMATS)}") from None
        except Image.DecompressionBombError:
            raise ImageError(f"decompression bomb: allowed are {PIXEL_LIMIT} pixels") from None
        except Exception as error:  # a decoder that is fed damaged bytes raises whatever it stumbles over
            raise ImageError("truncated image" if "truncated" in str(error) else "damaged image") from None
    raise ImageError(f"decompression bomb, {image.width} x {image.height}: allowed are {PIXEL_LIMIT} pixels")


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image with 8 bits for each value and nothing transparent."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ImageError("pixels of 32 bits: allowed are 8 and 16")
    if not image.has_transparency_data:
        return image
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, image.convert("RGBA"))
