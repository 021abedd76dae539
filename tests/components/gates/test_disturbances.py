"""Small changes of a picture. Milliseconds."""

import numpy as np
import pytest

from components.gates.disturbances import darker, disturb

IMAGES = np.random.default_rng(1).integers(0, 256, (3, 8, 6, 3), dtype=np.uint8)


def test_a_shift_moves_every_pixel_by_one_and_repeats_the_edge():
    moved = disturb(IMAGES)["shift"]
    np.testing.assert_array_equal(moved[:, 1:, 1:], IMAGES[:, :-1, :-1])
    np.testing.assert_array_equal(moved[:, 0, 0], IMAGES[:, 0, 0])


def test_a_flip_twice_is_the_picture():
    np.testing.assert_array_equal(disturb(disturb(IMAGES)["flip"])["flip"], IMAGES)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (255, 188), (188, 137), (10, 5)])
def test_one_stop_less_is_half_of_the_light(before, after):
    """sRGB 188 is .5 of the light of 255; below 11 the code is linear."""
    assert darker(np.array([[[[before]]]], dtype=np.uint8)).item() == after
