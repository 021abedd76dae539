"""Encoded images to pixels and back."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from components.data.images import decode, encode

shapes = st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]))


@settings(deadline=None, max_examples=50)
@given(arrays.arrays(np.uint8, shapes))
def test_encoding_loses_nothing(pixels):
    assert np.array_equal(decode(encode(pixels)), pixels)


@settings(deadline=None, max_examples=20)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_a_grey_image_without_channels_gets_one(pixels):
    assert np.array_equal(decode(encode(pixels)), pixels[..., None])


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK", "1"])
def test_any_other_kind_of_image_becomes_three_channels(mode):
    stream = io.BytesIO()
    Image.new(mode, (5, 4)).save(stream, "TIFF")
    assert decode(stream.getvalue()).shape == (4, 5, 3)
