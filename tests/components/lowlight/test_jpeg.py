"""What JPEG loses, beside Pillow's encoder and decoder (libjpeg)."""

import io
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from components.lowlight import jpeg as module
from components.lowlight.jpeg import CHROMINANCE, LUMINANCE, jpeg, quantisation


def file_of(image: np.ndarray, quality: int, chroma_halved: bool) -> Image.Image:
    """An (H, W, C) uint8 image as Pillow writes it and opens it again."""
    stream = io.BytesIO()
    options = {"subsampling": 2 if chroma_halved else 0} if image.shape[2] == 3 else {}
    Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(stream, "JPEG", quality=quality, **options)
    return Image.open(stream)


def pillow(images: torch.Tensor, quality: int, chroma_halved: bool) -> torch.Tensor:
    arrays = images.permute(0, 2, 3, 1).numpy()
    files = [np.asarray(file_of(image, quality, chroma_halved)).reshape(image.shape) for image in arrays]
    return torch.from_numpy(np.stack(files)).permute(0, 3, 1, 2)


def random_images(count: int, channels: int, height: int, width: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, height, width), generator=generator, dtype=torch.uint8)


def qualities(count: int, quality: int) -> torch.Tensor:
    return torch.full((count,), quality)


def test_quantisation_steps_are_those_of_pillow_at_every_quality():
    luminance, chroma = (quantisation(torch.arange(1, 101), table) for table in (LUMINANCE, CHROMINANCE))
    image = np.zeros((8, 8, 3), np.uint8)
    for quality in range(1, 101):
        tables = file_of(image, quality, True).quantization
        assert luminance[quality - 1].int().tolist() == list(tables[0])
        assert chroma[quality - 1].int().tolist() == list(tables[1])


@pytest.mark.parametrize("quality", [10, 50, 80, 95])
@pytest.mark.parametrize("kind", ["grey", "full chroma", "halved chroma"])
@pytest.mark.parametrize("size", [(64, 64), (45, 51)])
def test_faces_come_back_as_from_pillow(drawn_faces, kind, quality, size):
    """But for coefficients so near to a half step that libjpeg's integer transform rounds them the other way."""
    images = torch.from_numpy(drawn_faces("test", 16).images).permute(0, 3, 1, 2)[..., : size[0], : size[1]]
    images = images[:, 1:2] if kind == "grey" else images
    ours = jpeg(images, qualities(16, quality), kind == "halved chroma").float()
    theirs = pillow(images, quality, kind == "halved chroma").float()
    lost, theirs_lost = (ours - images).abs().mean(), (theirs - images).abs().mean()
    assert float(lost) == pytest.approx(float(theirs_lost), rel=0.02)
    difference = (ours - theirs).abs()
    assert difference.mean() < 0.4
    assert (difference > 2).float().mean() < 0.04


@pytest.mark.parametrize("channels", [1, 3])
def test_quality_100_without_halving_changes_levels_by_rounding_alone(channels):
    images = random_images(4, channels, 24, 40)
    change = jpeg(images, qualities(4, 100), False).int() - images.int()
    # in colour a rounded chroma counts up to 1.772 times, for each of two transforms and the conversion
    assert change.abs().max() <= (1 if channels == 1 else 5)
    assert change.float().abs().mean() < 0.8


def test_the_lower_the_quality_the_more_is_lost():
    images = random_images(4, 3, 32, 32)
    lost = [(jpeg(images, qualities(4, q), False).float() - images).abs().mean() for q in (95, 80, 50, 20, 5)]
    assert all(after > before for before, after in itertools.pairwise(lost))


def test_a_pixel_of_a_grey_image_matters_to_its_own_block_alone():
    images = random_images(1, 1, 32, 32)
    other = images.clone()
    other[0, 0, 10, 20] ^= 128
    changed = (jpeg(images, qualities(1, 50), False) != jpeg(other, qualities(1, 50), False))[0, 0]
    assert changed[8:16, 16:24].any()
    changed[8:16, 16:24] = False
    assert not changed.any()


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 3), st.integers(1, 35), st.integers(1, 35), st.booleans(), st.booleans(), st.integers(0, 99))
def test_an_image_comes_back_in_its_shape_the_same_in_every_batch(count, height, width, is_grey, halved, seed):
    images = random_images(count, 1 if is_grey else 3, height, width, seed)
    quality = torch.arange(count) * 30 + 5
    together = jpeg(images, quality, halved)
    assert together.shape == images.shape
    for number in range(count):
        one = slice(number, number + 1)
        assert torch.equal(jpeg(images[one], quality[one], halved), together[one])


def test_a_flat_image_stays_flat():
    flat = torch.arange(0, 256, 5, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 16, 16).contiguous()
    back = jpeg(flat, qualities(len(flat), 75), False)
    assert torch.equal(back, back[:, :, :1, :1].expand_as(back))
    assert (back.int() - flat.int()).abs().max() <= 1


def test_no_sum_of_a_transform_leaves_the_whole_numbers_that_float32_holds():
    forward, backward = (matrix.double() for matrix in module._transforms(torch.device("cpu")))
    for matrix in (forward, backward):
        assert torch.equal(matrix, matrix.round())
    assert forward.abs().sum(0).max() * 128 <= 2**24
    # a block's norm is at most 8 * 128, and quantising moves each of 64 numbers by at most half of 255
    assert backward.norm(dim=0).max() * (8 * 128 + 8 * 127.5) < 2**24


def test_the_transforms_are_orthonormal():
    forward, backward = (matrix.double() for matrix in module._transforms(torch.device("cpu")))
    both = forward @ backward / 2 ** (module.FORWARD_BITS + module.BACKWARD_BITS)
    assert torch.allclose(both, torch.eye(64, dtype=torch.float64), atol=2e-3)
