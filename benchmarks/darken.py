"""How many faces a second the camera model darkens: on one core, beside the same model in plain NumPy, and on CUDA.

`python -m benchmarks.darken`. The plain version takes one image at a time, in float64, with `numpy.random.Generator`,
and has Pillow write and read the JPEG: the way it is usually written. The two versions take turns; each figure is the
best of several rounds, in seconds of processor time, since other work on the machine can only slow a version down.
"""

import argparse
import datetime
import io
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import convolve
from torch import Tensor

from benchmarks.machine import processor
from components.data.faces import render_faces
from components.lowlight.camera import Camera, photograph
from components.lowlight.colour import BLUE_GAIN, CAMERAS, HIGHLIGHT, RED_GAIN, XYZ
from components.lowlight.noise import keys_of

FACES, PLAIN_FACES, ROUNDS = 256, 32, 7
CUDA_FACES = 4096
CAMERA = Camera(
    full_well_electrons=2000.0,
    read_noise_electrons=3.0,
    row_noise_electrons=0.5,
    adc_bits=10,
    gain_cap=64.0,
    target_mean=0.2,
    lobes=3,
    contrast_cap=3.0,
    colour="mosaic",
    unprocess=True,
    white_balance_error=0.1,
    jpeg_quality_low=80,
    jpeg_quality_high=95,
    jpeg_chroma_halved=True,
)


@dataclass(frozen=True)
class Case:
    name: str
    images: Tensor  # (B, C, H, W) uint8
    camera: Camera


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    print(f"{datetime.date.today()}, {processor()}, {os.cpu_count()} cores, torch {torch.__version__}; one thread")
    print(f"{'faces a second':24}{'photograph':>12}{'plain NumPy':>14}{'ratio':>8}")
    some = cases()
    for case in some:
        ours, plain = rates(case)
        print(f"{case.name:24}{ours:12,.0f}{plain:14,.0f}{ours / plain:8.1f}", flush=True)
    if not torch.cuda.is_available():
        print("CUDA: there is none here")
        return
    for case in some:
        print(f"{case.name:24}{cuda_rate(case):12,.0f}  on {torch.cuda.get_device_name()}")


def cases() -> list[Case]:
    """Embedded faces: grey as FER+ has them, and in colour."""
    pixels = np.stack([face.pixels for face in render_faces(1, "train", FACES)])
    colour = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    grey = colour[:, 1:2, 8:56, 8:56].contiguous()
    without = CAMERA.model_copy(update={"jpeg_quality_low": 0, "jpeg_quality_high": 0})
    return [
        Case("grey 48 px", grey, without),
        Case("grey 48 px, JPEG", grey, CAMERA),
        Case("colour 64 px", colour, without),
        Case("colour 64 px, JPEG", colour, CAMERA),
    ]


def exposures(count: int) -> Tensor:
    """Log-uniform over what training draws."""
    shares = torch.rand(count, generator=torch.Generator().manual_seed(1))
    return 0.005 * (0.2 / 0.005) ** shares


def rates(case: Case) -> tuple[float, float]:
    """Faces a second of `photograph` and of the plain version."""
    keys, light = keys_of([str(n) for n in range(FACES)], [0.0] * FACES, 0), exposures(FACES)
    arrays = case.images[:PLAIN_FACES].permute(0, 2, 3, 1).numpy()
    generator = np.random.default_rng(1)

    def ours() -> None:
        photograph(case.images, keys, light, case.camera)

    def plain() -> None:
        for image, exposure in zip(arrays, light.tolist(), strict=False):
            photograph_plainly(image, exposure, generator, case.camera)

    seconds = [(seconds_of(ours, time.process_time), seconds_of(plain, time.process_time)) for _ in range(ROUNDS)]
    return FACES / min(first for first, _ in seconds), PLAIN_FACES / min(second for _, second in seconds)


def cuda_rate(case: Case) -> float:
    images = case.images.repeat(CUDA_FACES // FACES, 1, 1, 1).cuda()
    keys = keys_of([str(n) for n in range(CUDA_FACES)], [0.0] * CUDA_FACES, 0).cuda()
    light = exposures(CUDA_FACES).cuda()

    def ours() -> None:
        photograph(images, keys, light, case.camera)
        torch.cuda.synchronize()

    return CUDA_FACES / min(seconds_of(ours, time.perf_counter) for _ in range(ROUNDS))


def seconds_of(work: Callable[[], None], clock: Callable[[], float]) -> float:
    start = clock()
    work()
    return clock() - start


def photograph_plainly(
    image: np.ndarray, exposure: float, generator: np.random.Generator, camera: Camera
) -> np.ndarray:
    """One image (H, W, 1 or 3) uint8, darkened."""
    in_colour = image.shape[2] == 3
    srgb = image / 255
    if in_colour:
        srgb = 0.5 - np.sin(np.arcsin(1 - 2 * srgb) / 3)
    light = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    if in_colour:
        matrix, gains = draw_colour(generator)
        light = mosaic_of(unprocess(light, matrix, gains))
    light = light.reshape(image.shape[:2]) * field(image.shape[:2], generator, camera) * exposure
    numbers = recorded(light, generator, camera)
    if not in_colour:
        gain = np.clip(camera.target_mean / max(numbers.mean(), 1e-6), 1, camera.gain_cap)
        linear = np.clip(numbers * gain, 0, 1)[..., None]
    else:
        error = 1 + camera.white_balance_error * generator.uniform(-1, 1, 3) * [1, 0, 1]
        linear = processed(numbers, gains * error, matrix, camera)
    srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    if in_colour:
        srgb = srgb**2 * (3 - 2 * srgb)
    result = np.round(srgb * 255).astype(np.uint8)
    return through_file(result, generator, camera) if camera.jpeg_quality_high else result


def draw_colour(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    shares = generator.uniform(size=(len(CAMERAS), 1, 1))
    matrix = (np.array(CAMERAS) * shares).sum(0) @ np.array(XYZ)
    gains = np.array([generator.uniform(*RED_GAIN), 1, generator.uniform(*BLUE_GAIN)])
    return matrix / matrix.sum(1, keepdims=True), gains


def unprocess(linear: np.ndarray, matrix: np.ndarray, gains: np.ndarray) -> np.ndarray:
    light = linear @ matrix.T
    nearly_white = np.clip((light.mean(2, keepdims=True) - HIGHLIGHT) / (1 - HIGHLIGHT), 0, 1) ** 2
    return np.maximum(light / gains * (1 + nearly_white * (gains.max() - 1)), 0)


def mosaic_of(light: np.ndarray) -> np.ndarray:
    raw = light[..., 1].copy()
    raw[0::2, 0::2], raw[1::2, 1::2] = light[0::2, 0::2, 0], light[1::2, 1::2, 2]
    return raw


def field(size: tuple[int, ...], generator: np.random.Generator, camera: Camera) -> np.ndarray:
    y, x = np.meshgrid(np.linspace(-1, 1, size[0]), np.linspace(-1, 1, size[1]), indexing="ij")
    pools = np.zeros(size)
    for _ in range(generator.integers(camera.lobes + 1)):
        across, down = generator.uniform(-1, 1, 2)
        spread, strength = generator.uniform(0.4, 1), generator.uniform(0.5, 1)
        pools += strength * np.exp(-((x - across) ** 2 + (y - down) ** 2) / (2 * spread**2))
    contrast = generator.uniform(1, camera.contrast_cap)
    light = 1 + pools / max(pools.max(), 1e-6) * (contrast - 1)
    return light / light.mean()


def recorded(light: np.ndarray, generator: np.random.Generator, camera: Camera) -> np.ndarray:
    electrons = generator.poisson(light * camera.full_well_electrons).astype(float)
    electrons += generator.normal(0, camera.read_noise_electrons, light.shape)
    electrons += generator.normal(0, camera.row_noise_electrons, (light.shape[0], 1))
    levels = 2**camera.adc_bits - 1
    return np.clip(np.round(electrons / camera.full_well_electrons * levels), 0, levels) / levels


def processed(raw: np.ndarray, gains: np.ndarray, matrix: np.ndarray, camera: Camera) -> np.ndarray:
    masks = np.zeros((3, *raw.shape))
    masks[0, 0::2, 0::2] = masks[1, 0::2, 1::2] = masks[1, 1::2, 0::2] = masks[2, 1::2, 1::2] = 1
    means = (raw * masks).sum((1, 2)) / masks.sum((1, 2))
    gain = np.clip(camera.target_mean / max((means * gains).mean(), 1e-6), 1, camera.gain_cap)
    balanced = np.clip(raw * np.tensordot(gains * gain, masks, 1), 0, 1)
    square, cross = np.outer([1, 2, 1], [1, 2, 1]) / 4, np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
    kernels = (square, cross, square)
    planes = [convolve(balanced * mask, kernel, mode="mirror") for mask, kernel in zip(masks, kernels, strict=True)]
    return np.clip(np.stack(planes, axis=2) @ np.linalg.inv(matrix).T, 0, 1)


def through_file(image: np.ndarray, generator: np.random.Generator, camera: Camera) -> np.ndarray:
    quality = int(generator.integers(camera.jpeg_quality_low, camera.jpeg_quality_high + 1))
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, "JPEG", quality=quality, subsampling=2 if image.shape[2] == 3 else -1)
    return np.asarray(Image.open(file)).reshape(image.shape)


if __name__ == "__main__":
    main()
