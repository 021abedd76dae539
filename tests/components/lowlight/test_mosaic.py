"""What a colour sensor sees of an image, and what is made of it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.lowlight.mosaic import bayer_sites, channel_means, demosaic, plane_sites

CPU = torch.device("cpu")
SIZES = st.tuples(st.integers(2, 9), st.integers(2, 9))


def seen(height: int, width: int) -> torch.Tensor:
    """(H, W): the channel that each pixel of the mosaic sees."""
    channels = torch.full((1, 1, height, width), -1)
    for site in bayer_sites(width, CPU):
        site.of(channels)[:] = site.channels
    return channels[0, 0]


@settings(deadline=None, max_examples=20)
@given(SIZES)
def test_the_mosaic_is_red_green_green_blue(size):
    channels = seen(*size)
    assert channels.shape == size
    for y in range(size[0]):
        for x in range(size[1]):
            assert channels[y, x] == y % 2 + x % 2


def test_three_planes_have_a_channel_each():
    raw = torch.zeros(1, 3, 4, 5, dtype=torch.int64)
    for site in plane_sites(5, CPU):
        site.of(raw)[:] = site.channels
    assert torch.equal(raw[0, :, 0, 0], torch.arange(3))
    assert torch.equal(raw, raw[..., :1, :1].expand_as(raw))


@settings(deadline=None, max_examples=30)
@given(st.floats(0.001, 1), SIZES)
def test_demosaicing_a_flat_field_gives_a_flat_field(level, size):
    planes = demosaic(torch.full((2, 1, *size), level))
    assert planes.shape == (2, 3, *size)
    assert torch.allclose(planes, torch.full_like(planes, level), rtol=1e-6)


@settings(deadline=None, max_examples=30)
@given(SIZES, st.integers(0, 100))
def test_demosaicing_keeps_every_sample(size, seed):
    """Bilinear interpolation goes through its points."""
    raw = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(seed))
    planes = demosaic(raw)
    assert torch.equal(planes.gather(1, seen(*size).expand(2, 1, *size)), raw)


def test_demosaicing_keeps_a_gradient_inside():
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    for slope in (ramp, ramp.transpose(2, 3), ramp + ramp.transpose(2, 3)):
        planes = demosaic(slope.contiguous())
        assert torch.allclose(planes[..., 1:-1, 1:-1], slope[..., 1:-1, 1:-1].expand(1, 3, -1, -1))


def test_a_colour_between_samples_is_the_mean_of_its_neighbours():
    raw = torch.rand(1, 1, 6, 6, generator=torch.Generator().manual_seed(3))
    red, green, blue = demosaic(raw)[0]
    pixels = raw[0, 0]
    assert red[2, 3] == pytest.approx(float(pixels[2, 2] + pixels[2, 4]) / 2)
    assert red[3, 2] == pytest.approx(float(pixels[2, 2] + pixels[4, 2]) / 2)
    assert red[3, 3] == pytest.approx(float(pixels[2:5:2, 2:5:2].mean()))
    assert blue[2, 2] == pytest.approx(float(pixels[1:4:2, 1:4:2].mean()))
    around = pixels[1, 2] + pixels[3, 2] + pixels[2, 1] + pixels[2, 3]
    assert green[2, 2] == pytest.approx(float(around) / 4)
    assert red[0, 5] == pytest.approx(float(pixels[0, 4]))  # mirrored: both neighbours are the one there is


@settings(deadline=None, max_examples=20)
@given(SIZES, st.integers(0, 100))
def test_the_mean_of_a_colour_is_that_of_its_samples(size, seed):
    generator = torch.Generator().manual_seed(seed)
    mosaic = torch.randint(0, 65536, (3, 1, *size), generator=generator).float()
    channels = seen(*size)
    means = channel_means(mosaic, bayer_sites(size[1], CPU))
    for channel in range(3):
        samples = mosaic[:, 0, channels == channel].double()
        assert means[:, channel].tolist() == pytest.approx(samples.mean(1).tolist(), rel=1e-12)
    planes = torch.randint(0, 65536, (3, 3, *size), generator=generator).float()
    expected = planes.double().mean((2, 3))
    assert torch.allclose(channel_means(planes, plane_sites(size[1], CPU)), expected, rtol=1e-12)
