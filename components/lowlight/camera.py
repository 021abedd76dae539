"""The camera model: what a small sensor would have recorded of a face, had there been less light.

Linear light, per image: illumination field, exposure, photon, read and row noise, ADC, capped digital gain, sRGB curve,
JPEG. In colour also the way from sRGB to the camera's own colours and back, a Bayer mosaic, and an error of the white
balance. Sources: Brooks et al. CVPR 2019 (unprocessing), Wei et al. CVPR 2020 (row and quantisation noise).
"""

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from components.config import Config
from components.data.table import CLEAN
from components.lowlight.colour import CameraColour, decode, draw_camera_colour, encode, srgb_colour
from components.lowlight.colour import to_camera, to_linear_srgb
from components.lowlight.jpeg import jpeg
from components.lowlight.mosaic import Site, bayer_sites, channel_means, demosaic, plane_sites
from components.lowlight.noise import normal, normal_quantile, poisson_quantile, uniform, uniforms

# one stream of random numbers per purpose, so that adding one leaves the others as they are
PHOTONS, READ, ROW, LOBES, COLOUR_MATRIX, WHITE_BALANCE, WHITE_BALANCE_ERROR, JPEG_QUALITY = range(8)

# few enough that every plane of the computation stays in a processor's cache; the result does not depend on it
FACES_AT_ONCE = {"cpu": 32, "cuda": 1024}


class Camera(Config):
    """Sensor, exposure control, colour and file format. Grey images leave the colour steps out."""

    full_well_electrons: float = Field(gt=0, le=1e7)
    read_noise_electrons: float = Field(ge=0, le=1e4)
    row_noise_electrons: float = Field(ge=0, le=1e4)
    adc_bits: int = Field(ge=8, le=16)
    gain_cap: float = Field(ge=1, le=1e6)
    target_mean: float = Field(gt=0, lt=1)  # auto-exposure aims at this mean of linear light
    lobes: int = Field(ge=0, le=3)  # at most so many pools of light in the illumination field
    contrast_cap: float = Field(ge=1, le=5)  # brightest over darkest point of the field
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


def photograph(images: Tensor, keys: Tensor, exposures: Tensor, config: Camera) -> Tensor:
    """Darken sRGB images (B, C, H, W) uint8 by `exposures` (B,) in (0, 1]; the noise is a function of `keys` (B,).

    Returns (B, C, H, W) uint8. Faces at exposure CLEAN come back untouched.
    """
    result = images.clone()
    for dark in (exposures != CLEAN).nonzero()[:, 0].split(FACES_AT_ONCE[images.device.type]):
        result[dark] = _photograph(images[dark], keys[dark], exposures[dark], config)
    return result


def _photograph(images: Tensor, keys: Tensor, exposures: Tensor, config: Camera) -> Tensor:
    light = illumination(keys, images.shape[-2:], config) * exposures[:, None, None, None]
    picture = _grey(images, light, keys, config) if images.shape[1] == 1 else _colour(images, light, keys, config)
    if config.jpeg_quality_high == 0:
        return picture
    return jpeg(picture, jpeg_qualities(keys, config), config.jpeg_chroma_halved)


def _grey(images: Tensor, light: Tensor, keys: Tensor, config: Camera) -> Tensor:
    numbers = record(decode(images, tone=False) * light, keys, config)
    return encode(develop(numbers, config), tone=False)


def _colour(images: Tensor, light: Tensor, keys: Tensor, config: Camera) -> Tensor:
    colour = camera_colour(keys, config)
    sites = (bayer_sites if config.colour == "mosaic" else plane_sites)(images.shape[-1], images.device)
    raw = sense(decode(images, tone=config.unprocess), colour, sites) * light
    balance = colour.gains * balance_error(keys, config)
    balanced = develop_colour(record(raw, keys, config), balance, sites, config)
    planes = demosaic(balanced) if config.colour == "mosaic" else balanced
    return encode(to_linear_srgb(planes, colour), tone=config.unprocess)


def camera_colour(keys: Tensor, config: Camera) -> CameraColour:
    return draw_camera_colour(keys, COLOUR_MATRIX, WHITE_BALANCE) if config.unprocess else srgb_colour(keys)


def balance_error(keys: Tensor, config: Camera) -> Tensor:
    """(B, 3) factors on the white balance's gains; green's is 1."""
    red, blue = (1 + config.white_balance_error * (2 * uniform(keys, WHITE_BALANCE_ERROR, 2) - 1)).unbind(1)
    return torch.stack([red, torch.ones_like(red), blue], dim=1)


def jpeg_qualities(keys: Tensor, config: Camera) -> Tensor:
    """(B,) int64, uniform between the bounds, both included."""
    low, high = config.jpeg_quality_low, config.jpeg_quality_high
    return low + (uniform(keys, JPEG_QUALITY, 1)[:, 0] * (high - low + 1)).long()


def sense(linear: Tensor, colour: CameraColour, sites: list[Site]) -> Tensor:
    """Linear sRGB (B, 3, H, W) to the light behind the sensor's filters (B, 1 or 3, H, W)."""
    batch, _, height, width = linear.shape
    raw = linear.new_empty(batch, sites[-1].plane + 1, height, width)
    for site in sites:
        raw[:, site.plane, site.rows] = to_camera(linear[:, :, site.rows], colour, site.channels)
    return raw


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


def develop_colour(numbers: Tensor, balance: Tensor, sites: list[Site], config: Camera) -> Tensor:
    """Auto-exposure and white balance (B, 3): raw digital numbers (B, 1 or 3, H, W) to balanced light in [0, 1]."""
    mean = (channel_means(numbers, sites) * balance).sum(1) / 3
    gains = auto_gain(mean, config)[:, None] * balance
    developed = torch.empty_like(numbers)
    for site in sites:
        developed[:, site.plane, site.rows] = numbers[:, site.plane, site.rows] * gains[:, None, site.channels]
    return developed.clamp_(max=1)


def auto_gain(mean: Tensor, config: Camera) -> Tensor:
    """From the mean digital number (B,) float64, the factor (B,) from numbers to light: never below 1, capped."""
    levels = 2**config.adc_bits - 1
    return (config.target_mean * levels / mean.clamp(min=1e-6)).clamp(1, config.gain_cap).float() / levels


def illumination(keys: Tensor, size: torch.Size, config: Camera) -> Tensor:
    """(B, 1, H, W) smooth field with mean about 1: up to `lobes` pools of light over an even ground."""
    height, width = size
    draws = uniform(keys, LOBES, 2 + 4 * 3)
    number = (draws[:, 0] * (config.lobes + 1)).floor()
    contrast = 1 + draws[:, 1] * (config.contrast_cap - 1)
    across = torch.linspace(-1, 1, width, device=keys.device)
    down = torch.linspace(-1, 1, height, device=keys.device)
    pools = torch.zeros(len(keys), height, width, device=keys.device)
    for lobe in range(config.lobes):
        x, y, spread, strength = draws[:, 2 + 4 * lobe : 6 + 4 * lobe, None].unbind(1)
        narrow = -0.5 / (0.4 + 0.6 * spread) ** 2
        brightness = (0.5 + strength / 2) * (lobe < number)[:, None]
        rows = torch.exp((down - (2 * y - 1)) ** 2 * narrow) * brightness
        columns = torch.exp((across - (2 * x - 1)) ** 2 * narrow)
        pools += rows[:, :, None] * columns[:, None, :]
    peak = pools.amax(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    field = pools.mul_((contrast[:, None, None] - 1) / peak).add_(1)
    # summed in float64 so that the mean does not depend on how a device splits the sum
    return field.div_(field.mean((1, 2), keepdim=True, dtype=torch.float64).float())[:, None]
