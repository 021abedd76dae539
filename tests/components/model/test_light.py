"""What a network sees: gain, grain, and how dark a photograph is."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.lowlight.colour import encode
from components.model.light import (
    MEASURES,
    ExposureCondition,
    LightConfig,
    blur,
    photon_light,
    planes_of,
    see,
    stabilise,
    standardise,
    without_read_noise,
)


def photons(electrons: float, gain: float, count: int = 4, side: int = 64) -> torch.Tensor:
    """Linear light (count, 1, side, side) of an even surface: Poisson electrons times a gain."""
    generator = torch.Generator().manual_seed(3)
    return torch.poisson(torch.full((count, 1, side, side), electrons), generator) * gain


@pytest.mark.parametrize("form", ["srgb", "auto_gain", "anscombe"])
@pytest.mark.parametrize("blurs", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_form_gives_the_planes_it_says_and_finite_numbers(form, blurs, channels):
    config = LightConfig(form=form, blurs=blurs, read_noise=0.0)
    images = torch.randint(0, 256, (5, channels, 16, 16), dtype=torch.uint8)
    images[0], images[1] = 0, 255
    planes, exposure = see(images, config)
    assert planes.shape == (5, planes_of(config, channels), 16, 16)
    assert exposure.shape == (5, MEASURES)
    assert planes.isfinite().all()
    assert exposure.isfinite().all()
    assert exposure.abs().max() < 4


@pytest.mark.parametrize("form", ["srgb", "auto_gain", "anscombe"])
def test_only_srgb_lets_a_gain_through(form):
    config = LightConfig(form=form, blurs=False, read_noise=0.0)
    light = torch.rand(2, 1, 32, 32) * 0.3
    dim, bright = (see(encode(light * gain, tone=False), config).planes for gain in (0.5, 2.0))
    assert ((dim - bright).abs().mean() > 0.3) == (form == "srgb")


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([4.0, 20.0, 100.0]), st.sampled_from([1e-4, 1e-3, 5e-3]))
def test_the_light_of_a_photon_is_found_from_the_grain(electrons, gain):
    assert photon_light(photons(electrons, gain)).mean().item() == pytest.approx(gain, rel=0.1)


def test_stabilised_noise_has_one_deviation_however_bright():
    gain = 1e-3
    for electrons in (8.0, 40.0, 200.0):
        light = photons(electrons, gain)
        stable = stabilise(light, torch.full((4,), gain), 0.0) / 32
        assert stable.std().item() == pytest.approx(1, rel=0.08)


@pytest.mark.parametrize("read_noise", [0.0, 3.0, 6.0])
def test_where_read_noise_is_known_its_deviation_is_one_too_and_the_photons_are_found_beneath_it(read_noise):
    gain, generator = 1e-3, torch.Generator().manual_seed(5)
    for electrons in (20.0, 60.0, 200.0):
        noise = read_noise * torch.randn(4, 1, 64, 64, generator=generator)
        light = (photons(electrons, 1.0) + noise).clamp(min=0) * gain
        grain = photon_light(light)
        assert without_read_noise(grain, light, read_noise).mean().item() == pytest.approx(gain, rel=0.15)
        assert (stabilise(light, torch.full((4,), gain), read_noise) / 32).std().item() == pytest.approx(1, rel=0.08)
        assert without_read_noise(grain, light, 0.0).equal(grain)


def test_a_darker_photograph_measures_darker():
    bright, dark = (
        see(encode(photons(n, 2e-3), tone=False), LightConfig(form="srgb", blurs=False, read_noise=0.0))
        for n in (200.0, 4.0)
    )
    assert (dark.exposure[:, 1] < bright.exposure[:, 1]).all()
    assert (dark.exposure[:, 2] > bright.exposure[:, 2]).all()


def test_a_blur_keeps_an_even_surface_and_averages_a_point():
    assert torch.allclose(blur(torch.full((1, 2, 9, 9), 0.3), 5), torch.tensor(0.3))
    point = torch.zeros(1, 1, 9, 9)
    point[0, 0, 4, 4] = 1
    assert blur(point, 3)[0, 0, 3:6, 3:6].allclose(torch.tensor(1 / 9))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.sampled_from([1, 3]))
def test_standardised_images_have_no_gain_and_no_offset(seed, channels):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 64, (2, channels, 16, 16), generator=generator, dtype=torch.uint8)
    plain, brighter, gained = standardise(images), standardise(images + 40), standardise(images * 4)
    assert plain.dtype == torch.float32
    assert torch.allclose(plain, brighter, atol=1e-5)
    assert torch.allclose(plain, gained, atol=0.15)  # the one grey level in the divisor counts less, the brighter it is
    assert torch.allclose(plain.mean((1, 2, 3)), torch.zeros(2), atol=1e-5)
    assert ((plain.std((1, 2, 3)) > 0.9) & (plain.std((1, 2, 3)) < 1)).all()


@pytest.mark.parametrize("level", [0, 1, 255])
def test_a_flat_image_standardises_to_nothing_at_all(level):
    assert not standardise(torch.full((1, 1, 8, 8), level, dtype=torch.uint8)).any()


def test_one_grey_level_of_noise_in_the_dark_is_not_blown_up():
    image = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    image[0, 0, 3, 3] = 1
    assert standardise(image).abs().max() < 1


def test_the_exposure_begins_without_a_say_and_can_learn_one():
    condition, z = ExposureCondition(16), torch.randn(3, 16)
    exposure = torch.randn(3, MEASURES)
    assert torch.equal(condition(z, exposure), z)
    condition(z, exposure).sum().backward()
    assert condition.linear.weight.grad.abs().max() > 0
