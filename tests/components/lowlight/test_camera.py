"""The camera as a whole: exposure and gain, and one answer per face whatever the order, the batch or the threads."""

import numpy as np
import pytest
import torch

from components.lowlight import camera as module
from components.lowlight.camera import Camera, develop, develop_colour, draw_scene, photograph, record
from components.lowlight.colour import HIGHLIGHT, decode
from components.lowlight.jpeg import jpeg
from components.lowlight.mosaic import bayer_sites, plane_sites
from components.lowlight.noise import keys_of
from components.records import CLEAN
from components.stages.darken import darken

LADDER = (1.0, 0.2, 0.05, 0.02, 0.01, 0.005)
NO_JPEG = {"jpeg_quality_low": 0, "jpeg_quality_high": 0}
# as near to a camera without noise as its config allows
IDEAL = NO_JPEG | {
    "full_well_electrons": 1e7,
    "read_noise_electrons": 0.0,
    "row_noise_electrons": 0.0,
    "adc_bits": 16,
    "gain_cap": 1.0,
    "lobes": 0,
    "white_balance_error": 0.0,
}
ALMOST_ONE = float(np.nextafter(np.float32(1), np.float32(0)))
KINDS = [
    {"colour": "mosaic", "unprocess": True},
    {"colour": "mosaic", "unprocess": False},
    {"colour": "planes", "unprocess": True},
    {"colour": "planes", "unprocess": False, "jpeg_chroma_halved": False},
    NO_JPEG,
]


def some_keys(count: int, seed: int = 1, exposure: float = 0.05) -> torch.Tensor:
    return keys_of([f"{seed}-{number}" for number in range(count)], [exposure] * count, 0)


def random_images(count: int, channels: int = 3, size: int = 16, seed: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, size, size), generator=generator, dtype=torch.uint8)


def changed(camera: Camera, **keys: object) -> Camera:
    return Camera.model_validate(camera.model_dump() | keys)


def test_the_sensor_saturates_and_quantises(camera):
    config = changed(camera, adc_bits=8)
    bright = record(torch.full((2, 1, 8, 8), 3.0), some_keys(2), config)
    assert torch.equal(bright, torch.full_like(bright, 255))
    numbers = record(torch.rand(4, 1, 16, 16), some_keys(4), config)
    assert torch.equal(numbers, numbers.round())
    assert numbers.min() >= 0


def test_auto_exposure_reaches_its_aim_within_the_cap_and_never_dims(camera):
    numbers = (torch.tensor([0.5, 0.1, 0.01, 1e-4, 0.0]) * 1023)[:, None, None, None].expand(-1, 1, 4, 4)
    expected = pytest.approx([0.5, 0.2, 0.2, 64e-4, 0], rel=1e-4)
    assert develop(numbers, camera).mean((1, 2, 3)).tolist() == expected
    for sites, planes in ((bayer_sites, 1), (plane_sites, 3)):
        some = numbers.expand(-1, planes, -1, -1).contiguous()
        developed = develop_colour(some, torch.ones(5, 3), sites(4, some.device), camera)
        assert developed.mean((1, 2, 3)).tolist() == expected


def test_white_balance_multiplies_each_colour_and_counts_for_auto_exposure(camera):
    numbers = torch.full((1, 3, 4, 4), 100.0)
    balance = torch.tensor([[2.0, 1.0, 1.5]])
    red, green, blue = develop_colour(numbers, balance, plane_sites(4, numbers.device), camera).mean((0, 2, 3)).tolist()
    assert (red / green, blue / green) == pytest.approx((2, 1.5))
    assert (red + green + blue) / 3 == pytest.approx(camera.target_mean)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("colour", ["mosaic", "planes"])
def test_exposure_one_without_noise_is_the_identity(camera, channels, colour):
    """Within half a level, so to the level: gain 1, even light, sRGB's own colours; a mosaic keeps flat images."""
    images = random_images(20, channels)
    if channels == 3 and colour == "mosaic":
        images = images[..., :1, :1].repeat(1, 1, 16, 16)
    config = changed(camera, **IDEAL, colour=colour, unprocess=False)
    assert torch.equal(photograph(images, some_keys(20), torch.full((20,), ALMOST_ONE), config), images)


def test_exposure_one_without_noise_gives_the_image_back_through_a_cameras_colours(camera, monkeypatch):
    """Within half a level, wherever the sensor could hold the colour and no highlight is let clip.

    Photons have no key that turns them off, and the matrix multiplies their noise: here the ADC alone records.
    """
    monkeypatch.setattr(module, "record", lambda light, keys, config: (light * (2**config.adc_bits - 1)).round())
    images, keys, exposures = random_images(40), some_keys(40), torch.full((40,), ALMOST_ONE)
    config = changed(camera, **IDEAL, colour="planes", unprocess=True)
    back = photograph(images, keys, exposures, config)
    matrix = draw_scene(keys, exposures, images.shape[-2:], config).colour.matrix
    seen = torch.einsum("bij,bjhw->bihw", matrix, decode(images, tone=True))
    held = ((seen > 0) & (seen < 1)).all(1) & (seen.mean(1) < HIGHLIGHT)
    assert held.float().mean() > 0.5
    assert torch.equal(back.permute(0, 2, 3, 1)[held], images.permute(0, 2, 3, 1)[held])


def test_a_grey_image_takes_the_grey_path_whatever_the_colour_keys_say(camera):
    images, exposures = random_images(6, 1), torch.full((6,), 0.1)
    expected = photograph(images, some_keys(6), exposures, changed(camera, **NO_JPEG))
    for keys in (*KINDS, {"white_balance_error": 0.5}, {"jpeg_chroma_halved": False}):
        assert torch.equal(photograph(images, some_keys(6), exposures, changed(camera, **(keys | NO_JPEG))), expected)


def test_a_colour_image_is_changed_by_every_colour_key(camera):
    images, exposures = random_images(6), torch.full((6,), 0.1)
    base = photograph(images, some_keys(6), exposures, camera)
    others = ({"colour": "planes"}, {"unprocess": False}, {"white_balance_error": 0.0}, {"jpeg_chroma_halved": False})
    for keys in others:
        other = photograph(images, some_keys(6), exposures, changed(camera, **keys))
        assert (base != other).flatten(1).any(1).all(), keys


def test_an_error_of_the_white_balance_tints_grey_by_at_most_its_share(camera):
    grey = torch.full((200, 3, 8, 8), 120, dtype=torch.uint8)
    keys, exposures = some_keys(200), torch.full((200,), 0.5)
    for error in (0.0, 0.3):
        config = changed(camera, **IDEAL | {"white_balance_error": error}, unprocess=False, colour="planes")
        linear = decode(photograph(grey, keys, exposures, config), tone=False).mean((2, 3))
        off = torch.stack([linear[:, 0] / linear[:, 1], linear[:, 2] / linear[:, 1]]) - 1
        assert off.abs().max() <= error + 0.03
        assert off.std() == pytest.approx(error / 3**0.5, abs=0.02)


def test_jpeg_comes_last_and_leaves_the_noise_as_it_is(camera):
    for channels in (1, 3):
        images, keys, exposures = random_images(9, channels), some_keys(9), torch.full((9,), 0.1)
        scene = draw_scene(keys, exposures, images.shape[-2:], camera)
        plain = photograph(images, keys, exposures, changed(camera, **NO_JPEG))
        expected = jpeg(plain, scene.qualities, camera.jpeg_chroma_halved)
        assert torch.equal(photograph(images, keys, exposures, camera), expected)


def test_the_quality_of_each_photograph_is_any_between_the_bounds(camera):
    keys, exposures = some_keys(3000), torch.full((3000,), 0.1)
    drawn = draw_scene(keys, exposures, torch.Size([2, 2]), camera).qualities.bincount()
    assert len(drawn) == 96
    assert not drawn[:80].any()
    assert (drawn[80:] - 3000 / 16).abs().max() < 5 * (3000 / 16) ** 0.5
    fixed = changed(camera, jpeg_quality_low=7, jpeg_quality_high=7)
    assert draw_scene(keys, exposures, torch.Size([2, 2]), fixed).qualities.unique().tolist() == [7]


@pytest.mark.parametrize(
    ("low", "high", "allowed"),
    [(80, 70, "must not exceed"), (0, 70, "at least 1"), (-1, 70, "greater than"), (1, 101, "less than")],
)
def test_qualities_that_no_jpeg_has_are_refused(camera, low, high, allowed):
    with pytest.raises(ValueError, match=allowed):
        changed(camera, jpeg_quality_low=low, jpeg_quality_high=high)


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
    other = images.clone()
    other[:, 0, 1::2] ^= 128
    for colour in ("mosaic", "planes"):
        config = changed(camera, colour=colour, unprocess=False)
        one, two = (photograph(some, some_keys(4), exposures, config) for some in (images, other))
        assert torch.equal(one, two) == (colour == "mosaic")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(str(value) for value in kind.values()))
@pytest.mark.parametrize("size", [16, 19])
def test_a_faces_pixels_depend_neither_on_order_nor_on_batch_nor_on_slices(camera, monkeypatch, channels, kind, size):
    """An odd size too: there a processor's vectors end amid a row."""
    config, count = changed(camera, **kind), 70
    images, keys = random_images(count, channels, size), some_keys(count)
    exposures = torch.tensor(LADDER).repeat(12)[:count]
    together = photograph(images, keys, exposures, config)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(3))
    assert torch.equal(photograph(images[order], keys[order], exposures[order], config), together[order])
    as_decoded = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(photograph(as_decoded, keys, exposures, config), together)
    for faces in (1, 7, 70):
        monkeypatch.setitem(module.PIXELS_AT_ONCE, "cpu", faces * size**2)
        assert torch.equal(photograph(images, keys, exposures, config), together)
    alone = [photograph(images[i : i + 1], keys[i : i + 1], exposures[i : i + 1], config) for i in range(0, count, 9)]
    assert torch.equal(torch.cat(alone), together[::9])


@pytest.mark.parametrize(("channels", "size"), [(1, 48), (3, 64)])
def test_a_faces_pixels_do_not_depend_on_the_number_of_threads(camera, channels, size):
    images, keys, exposures = random_images(64, channels, size), some_keys(64), torch.full((64,), 0.02)
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
    faces, config = drawn_faces("test", 48), changed(camera, colour=colour)
    clean = faces.images.reshape(48, -1).astype(float)
    left = []
    for exposure in LADDER:
        dark = darken(faces, exposure, config).reshape(48, -1).astype(float)
        left.append(np.mean([np.corrcoef(one, other)[0, 1] for one, other in zip(clean, dark, strict=True)]))
    assert left[0] == pytest.approx(1)
    assert np.all(np.diff(left) < -0.02), left
    assert 0.1 < left[-1] < 0.6
