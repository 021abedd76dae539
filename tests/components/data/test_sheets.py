"""Sheets of faces: every picture and every word is there, and nothing covers anything (0.1 s each at most)."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from components.data.sheets import PAPER, Layout, contact_sheet, png, wrapped

RED = np.full((8, 8, 3), (255, 0, 0), np.uint8)
GREY = np.full((8, 8, 1), 128, np.uint8)


def count(sheet: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(sheet) == colour).all(axis=2).sum())


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 4))
def test_every_picture_is_there_whole_also_in_rows_of_different_length(lengths, scale):
    captions = [["two words"] * length for length in lengths]
    names = [f"row {length}" for length in lengths]
    columns = [f"column {number}" for number in range(max(lengths))]
    sheet = contact_sheet([[RED] * length for length in lengths], names, columns, scale, captions)
    assert count(sheet, (255, 0, 0)) == sum(lengths) * (8 * scale) ** 2


def test_a_grey_picture_is_grey_and_paper_is_white_around_it():
    sheet = contact_sheet([[GREY]], [], [], 2)
    pixels = np.asarray(sheet)
    assert count(sheet, (128, 128, 128)) == 16**2
    assert count(sheet, PAPER) == pixels.shape[0] * pixels.shape[1] - 16**2
    edges = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (edges == 255).all()


def test_a_smaller_picture_stands_in_the_middle_of_its_cell():
    small = np.full((4, 4, 3), (0, 0, 255), np.uint8)
    pixels = np.asarray(contact_sheet([[RED], [small]], [], [], 1))
    centres = [np.argwhere((pixels == colour).all(axis=2)).mean(axis=0)[1] for colour in ((255, 0, 0), (0, 0, 255))]
    assert centres[0] == centres[1]


@pytest.mark.parametrize("where", ["rows", "columns", "captions"])
def test_each_kind_of_text_takes_ink_and_room_of_its_own(where):
    picture = np.full((64, 64, 3), (255, 0, 0), np.uint8)
    bare = contact_sheet([[picture]], [], [], 1)
    names = {"rows": ["fear"] * (where == "rows"), "columns": ["fear"] * (where == "columns")}
    captions = [["fear"]] if where == "captions" else None
    named = contact_sheet([[picture]], names["rows"], names["columns"], 1, captions)
    assert named.width * named.height > bare.width * bare.height
    assert (np.asarray(bare).min(axis=2) < 200).sum() == count(bare, (255, 0, 0)) == count(named, (255, 0, 0))
    assert (np.asarray(named).max(axis=2) < 100).sum() > 10


def test_a_name_too_many_is_refused():
    with pytest.raises(ValueError, match="zip"):
        contact_sheet([[RED]], [], [], 1, [["one", "two"]])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text("abcdefgh", min_size=1, max_size=6), max_size=12), st.integers(60, 200))
def test_wrapping_keeps_the_words_and_the_width(words, width):
    layout = Layout(width, 64, 8, 15, 0, ImageFont.load_default(size=12))
    lines = wrapped(" ".join(words), layout)
    assert " ".join(lines).split() == words
    assert all(layout.font.getlength(line) <= width for line in lines)


def test_a_line_break_of_the_writer_stays():
    layout = Layout(200, 64, 8, 15, 0, ImageFont.load_default(size=12))
    assert wrapped("fear 0.31\nhappiness 0.66", layout) == ["fear 0.31", "happiness 0.66"]


def test_png_holds_the_picture_and_repeats_its_bytes():
    sheet = contact_sheet([[RED, GREY]], ["row"], ["one", "two"], 3)
    assert png(sheet) == png(sheet)
    with Image.open(io.BytesIO(png(sheet))) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), np.asarray(sheet))
