"""The camera model: photon statistics, and one answer per face whatever the order, the batch or the threads."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.data.table import CLEAN
from components.lowlight import camera as module
from components.lowlight.camera import bayer_masks, photograph, record
from components.lowlight.noise import keys_of
from components.stages.darken import darken

LADDER = (1.0, 0.2, 0.05, 0.02, 0.01, 0.005)


def some_keys(count: int, seed: int = 1, exposure: float = 0.05) -> torch.Tensor:
    return keys_of([f"{seed}-{number}" for number in range(count)], [exposure] * count, 0)


def random_images(count: int, channels: int = 3, size: int = 16, seed: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, size, size), generator=generator, dtype=torch.uint8)


def flat_field(camera, light: float, sensor: tuple[float, float, float], faces: int, side: int, seed: int):
    """Electrons (B, 1, H, W) of a sensor with (full well, read noise, row noise) that looks at a white wall."""
    names = ("full_well_electrons", "read_noise_electrons", "row_noise_electrons")
    config = camera.model_copy(update=dict(zip(names, sensor, strict=True)) | {"adc_bits": 16})
    flat = torch.full((faces, 1, side, side), light)
    return record(flat, some_keys(faces, seed), config).double().numpy() * sensor[0]


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.floats(0.1, 0.8), st.floats(2000, 20000), st.floats(0, 10), st.floats(0, 5), st.integers(0, 10**6))
def test_electrons_have_the_mean_and_variance_of_the_photon_model(camera, light, well, read, row, seed):
    """mean = light W and variance = light W + read^2 (+ row^2, shared by a row), within six standard errors.

    Far from black and white, so that nothing is clipped.
    """
    faces, side = 16, 32
    electrons = flat_field(camera, light, (well, read, row), faces, side, seed)
    step = (well / (2**16 - 1)) ** 2 / 12  # variance that rounding to digital numbers adds
    pixel, count, rows = light * well + read**2 + step, faces * side * side, faces * side
    # Giles' expansion misses fewer than one count in a hundred, by one
    assert electrons.mean() == pytest.approx(light * well, abs=6 * (pixel / count + row**2 / rows) ** 0.5 + 0.01)
    within = electrons - electrons.mean(axis=3, keepdims=True)
    variance = (within**2).sum() / (count - rows)
    assert variance == pytest.approx(pixel, abs=6 * pixel * (2.1 / (count - rows)) ** 0.5 + 0.02)
    between, expected = electrons.mean(axis=3).var(ddof=1), row**2 + pixel / side
    assert between == pytest.approx(expected, abs=6 * expected * (2.1 / (rows - 1)) ** 0.5)


@settings(deadline=None, max_examples=15, derandomize=True)
@given(st.floats(0.05, 12), st.integers(0, 10**6))
def test_a_few_photons_have_a_variance_like_their_mean(camera, mean, seed):
    electrons = flat_field(camera, mean / 500, (500.0, 0.0, 0.0), 16, 32, seed)
    count = electrons.size
    assert electrons.mean() == pytest.approx(mean, abs=6 * (mean / count) ** 0.5 + 0.01)
    assert electrons.var() == pytest.approx(mean, abs=6 * ((mean + 2 * mean**2) / count) ** 0.5 + 0.02)


def test_photons_of_different_pixels_are_uncorrelated(camera):
    config = camera.model_copy(update={"row_noise_electrons": 0.0, "adc_bits": 16})
    noise = record(torch.full((64, 1, 32, 32), 0.2), some_keys(64), config).double().numpy() - 0.2
    for shift in ((0, 1), (1, 0), (1, 1), (0, 8)):
        moved = np.roll(noise, shift, axis=(2, 3))
        assert abs(np.corrcoef(noise.ravel(), moved.ravel())[0, 1]) < 5 / noise.size**0.5


def test_the_sensor_saturates_and_quantises(camera):
    config = camera.model_copy(update={"adc_bits": 8})
    bright = record(torch.full((2, 1, 8, 8), 3.0), some_keys(2), config)
    assert torch.equal(bright, torch.ones_like(bright))
    numbers = record(torch.rand(4, 1, 16, 16), some_keys(4), config) * 255
    assert torch.allclose(numbers, numbers.round(), atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_clean_exposure_leaves_the_image_untouched(camera, channels):
    images = random_images(5, channels)
    exposures = torch.tensor([CLEAN, 0.2, CLEAN, 0.99, CLEAN])
    dark = photograph(images, some_keys(5), exposures, camera)
    for number, exposure in enumerate(exposures.tolist()):
        assert torch.equal(dark[number], images[number]) == (exposure == CLEAN)


def test_a_mosaic_sensor_sees_one_colour_a_pixel(camera):
    """What is red where no pixel looks for red changes nothing, unless the sensor has full planes."""
    images, exposures = random_images(4), torch.full((4,), 0.2)
    unseen = bayer_masks(images.shape[-2:], images.device)[0, 0] == 0
    other = images.clone()
    other[:, 0, unseen] ^= 128
    for colour in ("mosaic", "planes"):
        config = camera.model_copy(update={"colour": colour})
        one, two = (photograph(some, some_keys(4), exposures, config) for some in (images, other))
        assert torch.equal(one, two) == (colour == "mosaic")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("seed", [3, 4])
def test_a_faces_pixels_depend_neither_on_order_nor_on_batch_nor_on_slices(camera, monkeypatch, channels, seed):
    images, keys, count = random_images(70, channels, seed=seed), some_keys(70, seed), 70
    exposures = torch.tensor(LADDER).repeat(12)[:count]
    together = photograph(images, keys, exposures, camera)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(photograph(images[order], keys[order], exposures[order], camera), together[order])
    for size in (1, 7, 70):
        monkeypatch.setattr(module, "FACES_AT_ONCE", size)
        assert torch.equal(photograph(images, keys, exposures, camera), together)
    alone = [photograph(images[i : i + 1], keys[i : i + 1], exposures[i : i + 1], camera) for i in range(0, count, 9)]
    assert torch.equal(torch.cat(alone), together[::9])


def test_a_faces_pixels_do_not_depend_on_the_number_of_threads(camera):
    images, keys, exposures = random_images(64, size=64), some_keys(64), torch.full((64,), 0.02)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(photograph(images, keys, exposures, camera))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_other_keys_give_other_noise(camera):
    images, exposures = random_images(1).expand(6, -1, -1, -1), torch.full((6,), 0.05)
    dark = photograph(images, some_keys(6), exposures, camera)
    assert len({face.numpy().tobytes() for face in dark}) == 6


@pytest.mark.parametrize("colour", ["mosaic", "planes"])
def test_the_darker_the_exposure_the_less_of_the_face_is_left(camera, drawn_faces, colour):
    """Correlation of each dark picture with its clean one, averaged over faces, falls from rung to rung."""
    faces, config = drawn_faces("test", 48), camera.model_copy(update={"colour": colour})
    clean = faces.images.reshape(48, -1).astype(float)
    left = []
    for exposure in LADDER:
        dark = darken(faces, exposure, config).reshape(48, -1).astype(float)
        left.append(np.mean([np.corrcoef(one, other)[0, 1] for one, other in zip(clean, dark, strict=True)]))
    assert left[0] == pytest.approx(1)
    assert np.all(np.diff(left) < -0.02), left
    assert 0.1 < left[-1] < 0.6
