"""The camera model: what a small sensor would have recorded of a face, had there been less light.

Linear light, per image: illumination field, exposure, photon, read and row noise, ADC, capped digital gain, sRGB curve,
JPEG. In colour also the way from sRGB to the camera's own colours and back, a Bayer mosaic, and an error of the white
balance. Sources: Brooks et al. CVPR 2019 (unprocessing), Wei et al. CVPR 2020 (row and quantisation noise).
"""

from typing import Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor

from components.config import Config
from components.lowlight.colour import (
    CameraColour,
    decode,
    draw_camera_colour,
    encode,
    sense,
    srgb_colour,
    to_linear_srgb,
)
from components.lowlight.illumination import POOL_DRAWS, Pools, draw_pools, illumination
from components.lowlight.jpeg import jpeg
from components.lowlight.mosaic import Site, bayer_sites, channel_means, demosaic, plane_sites
from components.lowlight.noise import normal, normal_quantile, poisson_quantile, uniforms
from components.records import CLEAN

# one stream of random numbers per purpose, so that adding one leaves the others as they are
PHOTONS, READ, ROW, POOLS, COLOUR_MATRIX, WHITE_BALANCE, WHITE_BALANCE_ERROR, JPEG_QUALITY = range(8)

# few enough to stay in a processor's cache and below what malloc gives back to the system; no result depends on it
PIXELS_AT_ONCE = {"cpu": 2**16, "cuda": 2**24}


class Camera(Config):
    """Sensor, exposure control, colour and file format. Grey images leave the colour steps out."""

    full_well_electrons: float = Field(gt=0, le=1e7)
    read_noise_electrons: float = Field(ge=0, le=1e4)
    row_noise_electrons: float = Field(ge=0, le=1e4)
    adc_bits: int = Field(ge=8, le=16)
    gain_cap: float = Field(ge=1, le=1e6)
    target_mean: float = Field(gt=0, lt=1)  # auto-exposure aims at this mean of linear light
    lobes: int = Field(ge=0, le=3)  # at most so many pools of light in the illumination field
    contrast_cap: float = Field(ge=1, le=5)  # brightest over darkest point of the field, at most
    colour: Literal["mosaic", "planes"]  # one Bayer sample a pixel, or three full planes
    unprocess: bool  # light passes the filters, colour matrix and white balance of a published camera; else sRGB's own
    white_balance_error: float = Field(ge=0, lt=1)  # the gains of red and blue are off by at most this share
    jpeg_quality_low: int = Field(ge=0, le=100)  # each photograph's quality lies between the two; both 0: no JPEG
    jpeg_quality_high: int = Field(ge=0, le=100)
    jpeg_chroma_halved: bool  # 4:2:0

    @model_validator(mode="after")
    def _low_is_below_high(self) -> "Camera":
        if self.jpeg_quality_low > self.jpeg_quality_high:
            raise ValueError("jpeg_quality_low must not exceed jpeg_quality_high")
        if self.jpeg_quality_low == 0 < self.jpeg_quality_high:
            raise ValueError("jpeg_quality_low is at least 1, or both qualities are 0 for no JPEG")
        return self


class Scene(NamedTuple):
    """What is drawn once for each photograph; its pixels' noise is not."""

    keys: Tensor  # (B,) int64
    exposures: Tensor  # (B,)
    pools: Pools
    colour: CameraColour
    balance_error: Tensor  # (B, 3) factors on the white balance's gains
    qualities: Tensor  # (B,) int64, of the JPEG


def photograph(images: Tensor, keys: Tensor, exposures: Tensor, config: Camera) -> Tensor:
    """Darken sRGB images (B, C, H, W) uint8 by `exposures` (B,) in (0, 1]; the noise is a function of `keys` (B,).

    Returns (B, C, H, W) uint8. Faces at exposure CLEAN come back untouched.
    """
    result, (height, width) = images.clone(), images.shape[-2:]
    dark = (exposures != CLEAN).nonzero()[:, 0]
    scene = draw_scene(keys[dark], exposures[dark], images.shape[-2:], config)
    faces = max(1, PIXELS_AT_ONCE[images.device.type] // (height * width))
    for start in range(0, len(dark), faces):
        part = slice(start, start + faces)
        taken = take(images.index_select(0, dark[part]), part_of(scene, part), config)
        result.index_copy_(0, dark[part], taken)
    return result


def part_of(scene: Scene, part: slice) -> Scene:
    keys, exposures, pools, colour, balance_error, qualities = scene
    some_pools, some_colour = Pools(*(x[part] for x in pools)), CameraColour(*(x[part] for x in colour))
    return Scene(keys[part], exposures[part], some_pools, some_colour, balance_error[part], qualities[part])


def draw_scene(keys: Tensor, exposures: Tensor, size: torch.Size, config: Camera) -> Scene:
    """Every random quantity from a stream of its own."""
    streams = (POOLS, COLOUR_MATRIX, WHITE_BALANCE, WHITE_BALANCE_ERROR, JPEG_QUALITY)
    pools, mixing, balance, error, quality = uniforms(keys, streams, POOL_DRAWS)
    colour = draw_camera_colour(mixing, balance) if config.unprocess else srgb_colour(len(keys), keys.device)
    errors = torch.ones_like(colour.gains)
    errors[:, 0::2] += config.white_balance_error * (2 * error[:, :2] - 1)
    qualities = draw_qualities(quality[:, 0], config.jpeg_quality_low, config.jpeg_quality_high)
    return Scene(keys, exposures, draw_pools(pools, size, config.lobes, config.contrast_cap), colour, errors, qualities)


def draw_qualities(share: Tensor, low: int, high: int) -> Tensor:
    """(B,) int64, uniform between the bounds, both included."""
    return low + (share * (high - low + 1)).long()


def take(images: Tensor, scene: Scene, config: Camera) -> Tensor:
    """The photographs (B, C, H, W) uint8 of images (B, C, H, W) uint8."""
    light = illumination(scene.pools).mul_(scene.exposures[:, None, None, None])
    picture = _grey(images, light, scene, config) if images.shape[1] == 1 else _colour(images, light, scene, config)
    return jpeg(picture, scene.qualities, config.jpeg_chroma_halved) if config.jpeg_quality_high else picture


def _grey(images: Tensor, light: Tensor, scene: Scene, config: Camera) -> Tensor:
    numbers = record(decode(images, tone=False).mul_(light), scene.keys, config)
    return encode(develop(numbers, config), tone=False)


def _colour(images: Tensor, light: Tensor, scene: Scene, config: Camera) -> Tensor:
    sites = (bayer_sites if config.colour == "mosaic" else plane_sites)(images.shape[-1], images.device)
    raw = sense(decode(images, tone=config.unprocess), scene.colour, sites).mul_(light)
    balance = scene.colour.gains * scene.balance_error
    balanced = develop_colour(record(raw, scene.keys, config), balance, sites, config)
    planes = demosaic(balanced) if config.colour == "mosaic" else balanced
    return encode(to_linear_srgb(planes, scene.colour), tone=config.unprocess)


def record(light: Tensor, keys: Tensor, config: Camera) -> Tensor:
    """Light (B, C, H, W) as a share of full well to digital numbers (B, C, H, W), whole in 0..2^bits - 1.

    In electrons: mean light * W and variance light * W + read^2 + row^2, before clipping and the ADC.
    """
    batch, channels, height, width = light.shape
    count, levels = channels * height * width, 2**config.adc_bits - 1
    photons, read = uniforms(keys, (PHOTONS, READ), count)
    electrons = poisson_quantile(light.reshape(batch, count) * config.full_well_electrons, photons)
    electrons += normal_quantile(read).mul_(config.read_noise_electrons)
    rows = config.row_noise_electrons * normal(keys, ROW, channels * height)
    electrons = electrons.view(light.shape).add_(rows.view(batch, channels, height, 1))
    return electrons.mul_(levels / config.full_well_electrons).round_().clamp_(0, levels)


def develop(numbers: Tensor, config: Camera) -> Tensor:
    """Auto-exposure of grey: digital numbers (B, 1, H, W) to linear light in [0, 1], by one gain per image."""
    mean = numbers.sum((1, 2, 3), dtype=torch.float64) / numbers[0].numel()
    return (numbers * auto_gain(mean, config)[:, None, None, None]).clamp_(max=1)


def develop_colour(numbers: Tensor, balance: Tensor, sites: tuple[Site, ...], config: Camera) -> Tensor:
    """Auto-exposure and white balance (B, 3), in place: raw digital numbers (B, 1 or 3, H, W) to light in [0, 1]."""
    red, green, blue = (channel_means(numbers, sites) * balance).unbind(1)
    mean = (red + green + blue) / 3
    gains = auto_gain(mean, config)[:, None] * balance
    for site in sites:
        site.of(numbers).mul_(gains[:, None, site.channels])
    return numbers.clamp_(max=1)


def auto_gain(mean: Tensor, config: Camera) -> Tensor:
    """From the mean digital number (B,) float64, the factor (B,) from numbers to light: never below 1, capped."""
    levels = 2**config.adc_bits - 1
    return (config.target_mean * levels / mean.clamp(min=1e-6)).clamp(1, config.gain_cap).float() / levels
