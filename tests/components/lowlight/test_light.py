"""The camera's optics and curves: mosaic, light field, auto-exposure, sRGB."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.lowlight.camera import bayer_masks, demosaic, develop, illumination, to_linear, to_srgb
from components.lowlight.noise import keys_of

CPU = torch.device("cpu")


@settings(deadline=None, max_examples=30)
@given(st.floats(0.001, 1), st.integers(2, 9), st.integers(2, 9))
def test_demosaicing_a_flat_field_gives_a_flat_field(level, height, width):
    size = torch.Size([height, width])
    planes = demosaic(torch.full((2, 1, height, width), level), bayer_masks(size, CPU))
    assert planes.shape == (2, 3, height, width)
    assert torch.allclose(planes, torch.full_like(planes, level), rtol=1e-5)


def test_demosaicing_keeps_a_gradient():
    ramp, masks = torch.arange(8.0).expand(1, 3, 8, 8), bayer_masks(torch.Size([8, 8]), CPU)
    planes = demosaic((ramp * masks).sum(1, keepdim=True), masks)
    assert torch.allclose(planes[..., 2:-2, 2:-2], ramp[..., 2:-2, 2:-2])


@pytest.mark.parametrize(
    "colour",
    [0, 1, 2],
)
def test_demosaicing_keeps_every_sample(colour):
    """Bilinear interpolation goes through its points."""
    masks, raw = bayer_masks(torch.Size([9, 8]), CPU), torch.rand(1, 1, 9, 8)
    planes = demosaic(raw, masks)
    assert torch.allclose((planes * masks)[:, colour], (raw * masks)[:, colour])


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 9), st.integers(1, 9))
def test_every_pixel_sees_exactly_one_colour(height, width):
    masks = bayer_masks(torch.Size([height, width]), CPU)[0]
    assert torch.equal(masks.sum(0), torch.ones(height, width))
    assert masks[:, 0, 0].tolist() == [1, 0, 0]  # RGGB
    if height > 1 and width > 1:
        assert masks[:, :2, :2].sum((1, 2)).tolist() == [1, 2, 1]


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 1))
def test_the_srgb_curve_goes_there_and_back(value):
    x = torch.tensor(value, dtype=torch.float64)
    assert float(to_srgb(to_linear(x))) == pytest.approx(value, abs=1e-7)


def test_the_srgb_curve_has_the_standards_values():
    assert to_linear(torch.tensor([0.0, 0.04045, 0.5, 1.0])).tolist() == pytest.approx(
        [0, 0.0031308, 0.214041, 1], abs=1e-6
    )
    levels = torch.arange(256) / 255
    assert torch.equal((to_srgb(to_linear(levels)) * 255).round(), torch.arange(256.0))


@pytest.mark.parametrize(("lobes", "contrast"), [(0, 3.0), (1, 2.0), (3, 5.0), (3, 1.0)])
def test_the_light_field_is_smooth_with_mean_one_and_bounded_contrast(camera, lobes, contrast):
    config = camera.model_copy(update={"lobes": lobes, "contrast_cap": contrast})
    field = illumination(keys_of([str(number) for number in range(100)], [0.05] * 100, 0), torch.Size([64, 48]), config)
    assert field.shape == (100, 1, 64, 48)
    assert torch.allclose(field.mean((1, 2, 3)), torch.ones(100), atol=1e-5)
    assert (field.amax((1, 2, 3)) / field.amin((1, 2, 3))).max() <= contrast * (1 + 1e-5)
    assert field.diff(dim=2).abs().max() < 0.25
    if lobes == 0 or contrast == 1:
        assert torch.allclose(field, torch.ones_like(field), atol=1e-5)
    else:
        assert (field.std((1, 2, 3)) > 0.01).float().mean() > 0.3


def test_auto_exposure_reaches_its_aim_within_the_cap_and_never_dims(camera):
    recorded = torch.tensor([0.5, 0.1, 0.01, 1e-4, 0.0])[:, None, None, None].expand(-1, 3, 4, 4)
    means = develop(recorded, camera).mean((1, 2, 3))
    assert means.tolist() == pytest.approx([0.5, 0.2, 0.2, 64e-4, 0], rel=1e-4)
