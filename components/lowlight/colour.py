"""Colour as a camera sees it: from sRGB back to the linear light of its own three filters, and forward again.

Backward is the unprocessing of Brooks et al. CVPR 2019, section 3: tone curve, sRGB curve, colour-correction matrix and
white balance, each inverted. Forward is white balance, matrix, sRGB curve, tone curve, as a camera develops its raw.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from components.lowlight.mosaic import Site

# XYZ to camera, as Brooks et al. took them from the Darmstadt Noise Dataset (Plotz and Roth, CVPR 2017), whose cameras
# are a Sony A7R, an Olympus E-M10, a Sony RX100 IV and a Huawei Nexus 6P
CAMERAS = (
    ((1.0234, -0.2969, -0.2266), (-0.5625, 1.6328, -0.0469), (-0.0703, 0.2188, 0.6406)),
    ((0.4913, -0.0541, -0.0202), (-0.6130, 1.3513, 0.2906), (-0.1564, 0.2151, 0.7183)),
    ((0.8380, -0.2630, -0.0639), (-0.2887, 1.0725, 0.2496), (-0.0627, 0.1427, 0.5438)),
    ((0.6596, -0.2079, -0.0562), (-0.4782, 1.3016, 0.1933), (-0.0970, 0.1581, 0.5181)),
)
# linear sRGB to XYZ, D65 (IEC 61966-2-1)
XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
RED_GAIN, BLUE_GAIN = (1.9, 2.4), (1.5, 1.9)  # white balance, uniform; green has gain 1
HIGHLIGHT = 0.9  # grey level above which light is nearly white

# entries of the table that encodes linear light: no entry is wider than a fifth of an sRGB level
SHARES = 2**14


class CameraColour(NamedTuple):
    """What stands between sRGB and the filters of each photograph's camera."""

    matrix: Tensor  # (B, 3, 3) linear sRGB to white-balanced camera colours; rows sum to 1, so grey stays grey
    inverse: Tensor  # (B, 3, 3)
    gains: Tensor  # (B, 3) white balance: camera colours times gains are white-balanced


def draw_camera_colour(mixing: Tensor, balance: Tensor) -> CameraColour:
    """Published matrices mixed convexly by uniform numbers (B, 4), and white-balance gains by two more (B, 2)."""
    # sums in a fixed order, as all here: a library's own order may change with the batch
    mixed = sum(mixing[:, number, None, None] * matrix for number, matrix in enumerate(_srgb_to_cameras(mixing.device)))
    matrix = mixed / (mixed[:, :, :1] + mixed[:, :, 1:2] + mixed[:, :, 2:])
    gains = torch.ones(len(mixing), 3, device=mixing.device)
    for channel, number, (low, high) in ((0, 0, RED_GAIN), (2, 1, BLUE_GAIN)):
        gains[:, channel] = low + (high - low) * balance[:, number]
    return CameraColour(matrix, inverse_of(matrix), gains)


def srgb_colour(count: int, device: torch.device) -> CameraColour:
    """A camera whose filters are those of sRGB itself, `count` times."""
    same = torch.eye(3, device=device).expand(count, 3, 3)
    return CameraColour(same, same, torch.ones(count, 3, device=device))


def inverse_of(matrix: Tensor) -> Tensor:
    """(B, 3, 3) inverted by cofactors, which rounds alike in every batch."""
    rows = matrix.unbind(1)
    columns = [torch.linalg.cross(rows[i - 2], rows[i - 1]) for i in range(3)]
    product = rows[0] * columns[0]
    determinant = product[:, 0] + product[:, 1] + product[:, 2]
    return torch.stack(columns, dim=2) / determinant[:, None, None]


def sense(linear: Tensor, colour: CameraColour, sites: tuple[Site, ...]) -> Tensor:
    """Linear sRGB (B, 3, H, W) to the light from 0 on behind each pixel's filter (B, 1 or 3, H, W); 1 is white.

    Inverted gains would dim even white, which fills the sensor in every colour. Brooks et al. let them fade to 1 there;
    at less than full exposure that turns white pink. Here what is nearly white becomes brighter instead, until at white
    every colour reaches 1: neutral however dark, and clipped at full exposure.
    """
    rows = colour.matrix.unbind(1)
    grey = _mixture(linear, ((rows[0] + rows[1] + rows[2]) / 3)[:, None])
    nearly_white = grey.sub_(HIGHLIGHT).mul_(1 / (1 - HIGHLIGHT)).clamp_(0, 1).square_()
    brighter = nearly_white.mul_(colour.gains.amax(1)[:, None, None] - 1).add_(1)
    raw = linear.new_empty(len(linear), sites[-1].plane + 1, *linear.shape[2:])
    for site in sites:
        light = _mixture(linear[:, :, site.rows], colour.matrix[:, site.channels])
        torch.mul(light.mul_((1 / colour.gains)[:, None, site.channels]), brighter[:, site.rows], out=site.of(raw))
    return raw.clamp_(min=0)


def to_linear_srgb(balanced: Tensor, colour: CameraColour) -> Tensor:
    """White-balanced camera colours (B, 3, H, W) to linear sRGB (B, 3, H, W), which may lie outside [0, 1]."""
    return torch.stack([_mixture(balanced, colour.inverse[:, channel, None]) for channel in range(3)], dim=1)


def _mixture(planes: Tensor, weights: Tensor) -> Tensor:
    """Planes (B, 3, H, W) by weights (B, W or 1, 3) of every column -> (B, H, W)."""
    first, second, third = weights[:, None].contiguous().unbind(3)
    mixed = planes[:, 0] * first
    mixed += planes[:, 1] * second
    mixed += planes[:, 2] * third
    return mixed


def decode(images: Tensor, tone: bool) -> Tensor:
    """sRGB levels (...) uint8 to linear light (...) float32; `tone` inverts the tone curve first."""
    return _look_up(_decoding(tone, images.device), images.int())


def encode(linear: Tensor, tone: bool) -> Tensor:
    """Linear light (...) to the nearest sRGB level (...) uint8, clipped; `tone` applies the tone curve last."""
    return _look_up(_encoding(tone, linear.device), (linear * SHARES).clamp_(0, SHARES - 1).int())


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    return table.index_select(0, index.reshape(-1)).view(index.shape)


@lru_cache
def _srgb_to_cameras(device: torch.device) -> Tensor:
    """(4, 3, 3)"""
    return (torch.tensor(CAMERAS, dtype=torch.float64) @ torch.tensor(XYZ, dtype=torch.float64)).float().to(device)


@lru_cache
def _decoding(tone: bool, device: torch.device) -> Tensor:
    levels = torch.arange(256, dtype=torch.float64) / 255
    return to_linear(inverse_tone_curve(levels) if tone else levels).float().to(device)


@lru_cache
def _encoding(tone: bool, device: torch.device) -> Tensor:
    levels = to_srgb((torch.arange(SHARES, dtype=torch.float64) + 0.5) / SHARES)
    return ((tone_curve(levels) if tone else levels) * 255).round().to(torch.uint8).to(device)


def to_linear(srgb: Tensor) -> Tensor:
    """sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: Tensor) -> Tensor:
    """Linear light in [0, 1] to sRGB (IEC 61966-2-1)."""
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=1e-8) ** (1 / 2.4) - 0.055)


def tone_curve(x: Tensor) -> Tensor:
    """The "smoothstep" of Brooks et al., [0, 1] to [0, 1]."""
    return x * x * (3 - 2 * x)


def inverse_tone_curve(y: Tensor) -> Tensor:
    return 0.5 - torch.sin(torch.asin(1 - 2 * y) / 3)
