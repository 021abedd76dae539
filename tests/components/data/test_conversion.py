"""Images as others keep them: what is converted, and how; what is refused, and why."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from components.data.conversion import PIXEL_LIMIT, ImageError, read_image
from components.data.images import encode


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def reason(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(data, 16, "rgb")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def colours() -> np.ndarray:
    """(16, 16, 3): every pixel differs, and so does every orientation."""
    row, column = np.mgrid[:16, :16]
    return np.stack([row * 16, column * 16, row + 15 * column], axis=-1).astype(np.uint8)


@settings(deadline=None, max_examples=30)
@given(st.integers(8, 40), st.sampled_from(["grey", "rgb"]), st.integers(0, 9))
def test_an_image_of_the_size_is_untouched(size, colour, seed):
    shape = (size, size, 1) if colour == "grey" else (size, size, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(read_image(encode(pixels), size, colour), pixels)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(["grey", "rgb"]))
def test_any_image_gets_the_size_and_channels_asked_for(width, height, colour):
    pixels = read_image(saved(Image.new("RGB", (width, height), (9, 9, 9))), 16, colour)
    assert pixels.shape == (16, 16, 1 if colour == "grey" else 3)
    assert pixels.dtype == np.uint8
    assert np.all(pixels == 9)


def test_the_square_is_cut_from_the_middle(colours):
    wide = np.zeros((16, 26, 3), np.uint8)
    wide[:, 5:21] = colours
    assert np.array_equal(read_image(encode(wide), 16, "rgb"), colours)
    assert np.array_equal(read_image(encode(wide.transpose(1, 0, 2)), 16, "rgb"), colours.transpose(1, 0, 2))


def test_shrinking_averages_and_does_not_pick():
    """A board of single black and white pixels is grey from afar."""
    board = (np.indices((128, 128)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert np.all(np.abs(read_image(encode(board), 16, "grey").astype(int) - 127) <= 2)


def test_grey_is_luma_and_grey_becomes_three_equal_channels():
    red, green, blue = (
        read_image(saved(Image.new("RGB", (16, 16), c)), 16, "grey")[0, 0, 0] for c in ("red", "lime", "blue")
    )
    assert (red, green, blue) == (76, 150, 29)  # 255 times .299, .587, .114
    pixels = read_image(saved(Image.new("L", (16, 16), 77)), 16, "rgb")
    assert np.all(pixels == 77)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_greys_keep_their_upper_8(kind):
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    data = saved(Image.fromarray(values), kind)
    assert np.array_equal(read_image(data, 16, "grey")[..., 0], np.arange(256).reshape(16, 16))
    assert np.array_equal(read_image(data, 16, "rgb")[..., 2], np.arange(256).reshape(16, 16))


def test_a_16_bit_pgm_keeps_its_upper_8():
    values = (np.arange(256, dtype=">u2") * 257).tobytes()
    assert np.array_equal(read_image(b"P5 16 16 65535\n" + values, 16, "grey")[..., 0], np.arange(256).reshape(16, 16))


def test_a_16_bit_colour_png_keeps_its_upper_8(colours):
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">L", len(content)) + name + content + struct.pack(">L", zlib.crc32(name + content))

    rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in colours)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2L5B", 16, 16, 16, 2, 0, 0, 0))
    data += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert np.array_equal(read_image(data, 16, "rgb"), colours)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_the_colours_it_prints(kind):
    data = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), kind)  # no cyan: red
    red, green, blue = read_image(data, 16, "rgb")[8, 8].astype(int)
    assert red > 250
    assert max(green, blue) < 5


def test_a_palette_gives_its_colours():
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    for kind in ("PNG", "GIF", "BMP"):
        assert read_image(saved(image, kind), 16, "rgb")[3, 3].tolist() == [10, 200, 30]


def test_what_is_transparent_is_black():
    half = Image.new("RGBA", (16, 16), (200, 100, 50, 128))
    assert read_image(saved(half), 16, "rgb")[0, 0].tolist() == [100, 50, 25]
    assert np.all(read_image(saved(Image.new("RGBA", (16, 16), (255, 255, 255, 0))), 16, "rgb") == 0)
    assert np.all(read_image(saved(Image.new("LA", (16, 16), (255, 0))), 16, "grey") == 0)
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([255, 255, 255])
    assert np.all(read_image(saved(palette, transparency=0), 16, "grey") == 0)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_read(kind):
    first, second = Image.new("RGB", (16, 16), (200, 10, 10)), Image.new("RGB", (16, 16), (10, 10, 200))
    data = saved(
        first,
        kind,
        save_all=True,
        append_images=[second],
        duration=100,
        **({"lossless": True} if kind == "WEBP" else {}),
    )
    assert read_image(data, 16, "rgb")[5, 5].tolist() == [200, 10, 10]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_exif_is_turned_upright(colours, orientation, kind):
    """The stored picture is what a camera held so would have stored; reading undoes it."""
    stored = {
        1: colours,
        2: colours[:, ::-1],
        3: colours[::-1, ::-1],
        4: colours[::-1],
        5: colours.transpose(1, 0, 2),
        6: colours[::-1].transpose(1, 0, 2)[::-1, ::-1],
        7: colours[::-1, ::-1].transpose(1, 0, 2),
        8: colours[::-1].transpose(1, 0, 2),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(
        Image.fromarray(np.ascontiguousarray(stored)),
        kind,
        exif=exif,
        **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {}),
    )
    error = np.abs(read_image(data, 16, "rgb").astype(int) - colours)
    assert error.max() <= (6 if kind == "JPEG" else 0)


def test_an_empty_file_is_told():
    assert reason(b"") == "empty file: allowed is an image"


@pytest.mark.parametrize(
    "data", [b"\0", b"label,votes\n", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n\x1a\n", b"GIF89a"]
)
def test_what_is_not_an_image_is_told_what_is_allowed(data):
    assert reason(data) == "not an image: allowed are PNG, JPEG, GIF, BMP, TIFF, WEBP, PPM"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "PPM", "GIF"])
@pytest.mark.parametrize("kept", [0.5, 0.8])
def test_a_truncated_image_is_told(kind, kept):
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = saved(noise, kind)
    assert reason(data[: int(kept * len(data))]) in ("truncated image", "damaged image", reason(b"\0"))


def test_an_image_without_pixels_is_told():
    assert reason(b"P5 0 0 255\n") in ("damaged image", reason(b"\0"))


@pytest.mark.parametrize(("width", "height"), [(5793, 5793), (1, PIXEL_LIMIT + 1), (20_000, 20_000), (60_000, 60_000)])
def test_a_decompression_bomb_is_told_before_it_unfolds(width, height):
    """1 bit a pixel, never unpacked: the header says enough."""
    data = f"P4 {width} {height}\n".encode()
    assert reason(data).startswith("decompression bomb")
    assert str(PIXEL_LIMIT) in reason(data)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_32_bits_are_told(mode):
    assert reason(saved(Image.new(mode, (16, 16)), "TIFF")) == "pixels of 32 bits: allowed are 8 and 16"


def test_a_warning_of_the_decoder_stays_unheard(recwarn):
    """100 million pixels are what Pillow warns of, before it refuses twice as many."""
    assert reason(b"P4 10000 10000\n").startswith("decompression bomb, 10000 x 10000")
    assert not recwarn.list
