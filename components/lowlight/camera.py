"""The camera model: what a small sensor would have recorded of a face, had there been less light.

Linear light, per image: illumination field, exposure, photon and read noise, ADC, capped digital gain, sRGB curve.
Sources: Brooks et al. CVPR 2019 (linear light, mosaic), Wei et al. CVPR 2020 (row and quantisation noise).
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from components.config import Config
from components.data.table import CLEAN
from components.lowlight.noise import normal, poisson_quantile, uniform

# one stream of random numbers per purpose, so that adding one leaves the others as they are
PHOTONS, READ, ROW, LOBES = range(4)

# few enough that every plane of the computation stays in a processor's cache; the result does not depend on it
FACES_AT_ONCE = 32


class Camera(Config):
    """Sensor and exposure control."""

    full_well_electrons: float = Field(gt=0, le=1e7)
    read_noise_electrons: float = Field(ge=0, le=1e4)
    row_noise_electrons: float = Field(ge=0, le=1e4)
    adc_bits: int = Field(ge=8, le=16)
    gain_cap: float = Field(ge=1, le=1e6)
    target_mean: float = Field(gt=0, lt=1)  # auto-exposure aims at this mean of linear light
    lobes: int = Field(ge=0, le=3)  # at most so many pools of light in the illumination field
    contrast_cap: float = Field(ge=1, le=5)  # brightest over darkest point of the field
    colour: Literal["mosaic", "planes"]  # colour images: one Bayer sample a pixel, or three full planes


def photograph(images: Tensor, keys: Tensor, exposures: Tensor, config: Camera) -> Tensor:
    """Darken sRGB images (B, C, H, W) uint8 by `exposures` (B,) in (0, 1]; the noise is a function of `keys` (B,).

    Returns (B, C, H, W) uint8. Faces at exposure CLEAN come back untouched.
    """
    slices = zip(images.split(FACES_AT_ONCE), keys.split(FACES_AT_ONCE), exposures.split(FACES_AT_ONCE), strict=True)
    return torch.cat([_photograph(*part, config) for part in slices])


def _photograph(images: Tensor, keys: Tensor, exposures: Tensor, config: Camera) -> Tensor:
    every_level = to_linear(torch.arange(256, device=images.device) / 255)
    linear = every_level[images.int()] * illumination(keys, images.shape[-2:], config)
    linear *= exposures[:, None, None, None]
    if images.shape[1] == 3 and config.colour == "mosaic":
        masks = bayer_masks(images.shape[-2:], images.device)
        raw = record((linear * masks).sum(1, keepdim=True), keys, config)
        recorded = demosaic(raw, masks)
    else:
        recorded = record(linear, keys, config)
    result = (to_srgb(develop(recorded, config)) * 255).round().to(torch.uint8)
    return torch.where((exposures == CLEAN)[:, None, None, None], images, result)


def record(light: Tensor, keys: Tensor, config: Camera) -> Tensor:
    """Electrons to digital numbers: light (B, C, H, W) as a share of full well -> the same, noisy and quantised.

    Mean light * W electrons and variance light * W + read^2 + row^2, before clipping and the ADC.
    """
    batch, channels, height, width = light.shape
    count = channels * height * width
    expected = light.reshape(batch, count) * config.full_well_electrons
    electrons = poisson_quantile(expected, uniform(keys, PHOTONS, count))
    electrons += config.read_noise_electrons * normal(keys, READ, count)
    rows = config.row_noise_electrons * normal(keys, ROW, channels * height)
    electrons = electrons.view(light.shape) + rows.view(batch, channels, height, 1)
    levels = 2**config.adc_bits - 1
    return (electrons / config.full_well_electrons * levels).round().clamp(0, levels) / levels


def develop(recorded: Tensor, config: Camera) -> Tensor:
    """Auto-exposure: one digital gain per image (B, C, H, W), never below 1, capped."""
    # summed in float64 so that the mean does not depend on how a device splits the sum
    mean = recorded.double().mean(dim=(1, 2, 3), keepdim=True).float()
    gain = (config.target_mean / mean.clamp(min=1e-6)).clamp(1, config.gain_cap)
    return (recorded * gain).clamp(0, 1)


def illumination(keys: Tensor, size: torch.Size, config: Camera) -> Tensor:
    """(B, 1, H, W) smooth field with mean about 1: up to `lobes` pools of light over an even ground."""
    height, width = size
    draws = uniform(keys, LOBES, 2 + 4 * 3)
    number = (draws[:, 0] * (config.lobes + 1)).floor()
    contrast = 1 + draws[:, 1] * (config.contrast_cap - 1)
    across = torch.linspace(-1, 1, width, device=keys.device)[None, None, :]
    down = torch.linspace(-1, 1, height, device=keys.device)[None, :, None]
    pools = torch.zeros(len(keys), height, width, device=keys.device)
    for lobe in range(config.lobes):
        x, y, spread, strength = draws[:, 2 + 4 * lobe : 6 + 4 * lobe].unbind(1)
        distance = (across - (2 * x - 1)[:, None, None]) ** 2 + (down - (2 * y - 1)[:, None, None]) ** 2
        pool = torch.exp(-distance / (2 * (0.4 + 0.6 * spread[:, None, None]) ** 2))
        pools += pool * ((0.5 + strength / 2) * (lobe < number))[:, None, None]
    peak = pools.amax(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    field = 1 + pools / peak * (contrast - 1)[:, None, None]
    return (field / field.double().mean(dim=(1, 2), keepdim=True).float())[:, None]


def bayer_masks(size: torch.Size, device: torch.device) -> Tensor:
    """(1, 3, H, W) of 0 and 1: which colour each pixel of an RGGB sensor sees."""
    height, width = size
    y = torch.arange(height, device=device)[:, None] % 2
    x = torch.arange(width, device=device)[None, :] % 2
    red, blue = (y == 0) & (x == 0), (y == 1) & (x == 1)
    return torch.stack([red, ~(red | blue), blue]).float()[None]


def demosaic(raw: Tensor, masks: Tensor) -> Tensor:
    """(B, 1, H, W) Bayer samples to (B, 3, H, W), bilinear; at the border the neighbours that exist are averaged."""
    square = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]], device=raw.device)
    cross = torch.tensor([[0.0, 1.0, 0.0], [1.0, 4.0, 1.0], [0.0, 1.0, 0.0]], device=raw.device)
    kernel = torch.stack([square, cross, square])[:, None]  # green stands twice as dense, on the diagonals
    planes = F.conv2d(raw * masks, kernel, padding=1, groups=3)
    return planes / F.conv2d(masks, kernel, padding=1, groups=3)


def to_linear(srgb: Tensor) -> Tensor:
    """sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: Tensor) -> Tensor:
    """Linear light in [0, 1] to sRGB (IEC 61966-2-1)."""
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=1e-8) ** (1 / 2.4) - 0.055)
