"""Colour curves, matrices and white balance: there and back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from components.lowlight.colour import (
    BLUE_GAIN,
    CAMERAS,
    HIGHLIGHT,
    RED_GAIN,
    XYZ,
    CameraColour,
    decode,
    draw_camera_colour,
    encode,
    inverse_tone_curve,
    sense,
    srgb_colour,
    to_linear,
    to_linear_srgb,
    to_srgb,
    tone_curve,
)
from components.lowlight.mosaic import bayer_sites, plane_sites

CPU = torch.device("cpu")


def drawn(count: int, seed: int = 1) -> CameraColour:
    numbers = torch.rand(count, 6, generator=torch.Generator().manual_seed(seed))
    return draw_camera_colour(numbers[:, :4], numbers[:, 4:])


def random_images(count: int, seed: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 16, 16), generator=generator, dtype=torch.uint8)


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 1))
def test_the_curves_go_there_and_back(value):
    x = torch.tensor(value, dtype=torch.float64)
    assert float(to_srgb(to_linear(x))) == pytest.approx(value, abs=1e-7)
    assert float(tone_curve(inverse_tone_curve(x))) == pytest.approx(value, abs=1e-12)


def test_the_srgb_curve_has_the_standards_values():
    assert to_linear(torch.tensor([0.0, 0.04045, 0.5, 1.0])).tolist() == pytest.approx(
        [0, 0.0031308, 0.214041, 1], abs=1e-6
    )


@pytest.mark.parametrize("tone", [False, True])
def test_every_level_is_decoded_and_encoded_to_itself(tone):
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(encode(decode(levels, tone), tone), levels)
    assert decode(levels, tone).diff().min() > 0


@pytest.mark.parametrize("tone", [False, True])
def test_the_table_encodes_as_the_curve_does_to_a_third_of_a_level(tone):
    """Beyond [0, 1] it clips."""
    linear = torch.linspace(-0.5, 1.5, 20001, dtype=torch.float64)
    srgb = to_srgb(linear.clamp(0, 1))
    exact = (tone_curve(srgb) if tone else srgb) * 255
    assert (encode(linear.float(), tone) - exact).abs().max() < 0.5 + 1 / 3


def test_matrices_are_convex_mixtures_of_the_published_ones_and_keep_grey():
    colour = drawn(200)
    assert torch.allclose(colour.matrix.sum(2), torch.ones(200, 3), atol=1e-6)
    corners = torch.eye(4)
    alone = draw_camera_colour(corners, torch.zeros(4, 2)).matrix.double().numpy()
    published = np.array(CAMERAS) @ np.array(XYZ)
    assert alone == pytest.approx(published / published.sum(2, keepdims=True), abs=1e-6)
    # before its rows are divided by their sums, a mixture lies between the least and the greatest of each entry
    shares = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    mixture = (published * np.array([1, 2, 3, 4])[:, None, None]).sum(0)
    assert draw_camera_colour(shares, torch.zeros(1, 2)).matrix[0].numpy() == pytest.approx(
        mixture / mixture.sum(1, keepdims=True), abs=1e-6
    )


def test_a_matrix_and_its_inverse_undo_each_other():
    colour = drawn(200)
    assert torch.allclose(colour.inverse @ colour.matrix, torch.eye(3).expand(200, 3, 3), atol=1e-5)


def test_white_balance_gains_are_uniform_in_the_published_ranges():
    gains = drawn(4000).gains.double().numpy()
    assert np.all(gains[:, 1] == 1)
    for channel, (low, high) in ((0, RED_GAIN), (2, BLUE_GAIN)):
        assert stats.kstest(gains[:, channel], "uniform", (low, high - low)).pvalue > 1e-4


@pytest.mark.parametrize("seed", range(4))
def test_unprocessing_and_processing_give_the_image_back_wherever_the_sensor_could_hold_it(seed):
    """To the level: where no camera colour is negative or above white, and below the highlights that are let clip."""
    images, colour = random_images(40, seed), drawn(40, seed)
    linear = decode(images, tone=True)
    raw = sense(linear, colour, plane_sites(16, CPU))
    back = encode(to_linear_srgb((raw * colour.gains[:, :, None, None]).clamp(max=1), colour), tone=True)
    camera = torch.einsum("bij,bjhw->bihw", colour.matrix, linear)
    held = ((camera > 0) & (camera < 1)).all(1) & (camera.mean(1) < HIGHLIGHT)
    assert held.float().mean() > 0.5
    assert torch.equal(back.permute(0, 2, 3, 1)[held], images.permute(0, 2, 3, 1)[held])


def test_a_camera_of_srgb_changes_nothing_at_all():
    images = random_images(5)
    linear, colour = decode(images, tone=False), srgb_colour(5, CPU)
    raw = sense(linear, colour, plane_sites(16, CPU))
    assert torch.equal(raw, linear)
    assert torch.equal(to_linear_srgb(raw, colour), linear)


def test_a_mosaic_is_what_planes_see_at_its_sites():
    linear, colour = decode(random_images(6), tone=True), drawn(6)
    planes, mosaic = (sense(linear, colour, sites(16, CPU)) for sites in (plane_sites, bayer_sites))
    for site in bayer_sites(16, CPU):
        for column, channel in enumerate(site.channels.tolist()):
            assert torch.equal(site.of(mosaic)[:, :, column], planes[:, channel, site.rows, column])


def test_white_fills_every_pixel_and_is_neutral_at_any_exposure():
    white, colour = torch.ones(10, 3, 4, 4), drawn(10)
    raw = sense(white, colour, plane_sites(4, CPU))
    assert raw.min() > 1 - 1e-5
    back = to_linear_srgb(0.01 * raw * colour.gains[:, :, None, None], colour)
    assert torch.allclose(back, back[:, :1].expand_as(back), rtol=1e-4)


def test_no_colour_sends_less_than_no_light():
    """Though pure blue is one that the first camera's red and green filters could answer only by a negative number."""
    first = draw_camera_colour(torch.eye(4)[:1], torch.zeros(1, 2))
    assert first.matrix[0, :2, 2].max() < 0
    blue = torch.tensor([0.0, 0.0, 0.5])[None, :, None, None].expand(1, 3, 4, 4)
    assert sense(blue, first, plane_sites(4, CPU)).amin((0, 2, 3)).tolist() == pytest.approx([0, 0, 0.24], abs=0.01)


def test_the_lighter_a_grey_the_more_light_it_sends():
    greys, colour = torch.linspace(0, 1, 256).expand(1, 3, 1, 256), drawn(1)
    assert sense(greys, colour, plane_sites(256, CPU)).diff(dim=3).min() > 0


def test_dark_grey_is_dimmed_by_the_gains_and_comes_back_grey():
    colour = drawn(10)
    grey = torch.full((10, 3, 4, 4), 0.3)
    raw = sense(grey, colour, plane_sites(4, CPU))
    assert torch.allclose(raw, grey / colour.gains[:, :, None, None], atol=1e-5)
    assert torch.allclose(to_linear_srgb(raw * colour.gains[:, :, None, None], colour), grey, atol=1e-5)
