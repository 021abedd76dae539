"""What JPEG loses: the lossy half of a baseline encoder and its decoder, batched (ITU-T T.81; JFIF).

Entropy coding is left out, since it loses nothing. Tables, chroma averaging and upsampling are those of libjpeg, so
that the result is what a file from there would hold, up to the rounding of its integer transforms.
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

# ITU-T T.81, tables K.1 and K.2, row by row
# fmt: off
LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
    51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120,
    101, 72, 92, 95, 98, 112, 100, 103, 99,
)
CHROMINANCE = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
)
# fmt: on
# The transform's factors are whole multiples of 2^-13 and 2^-12. Every partial sum is then a whole number below 2^24,
# which float32 holds exactly: the products are the same in any order of summation, so for any batch on any device.
FORWARD_BITS, BACKWARD_BITS = 13, 12


def jpeg(images: Tensor, qualities: Tensor, chroma_halved: bool) -> Tensor:
    """Images (B, 1 or 3, H, W) uint8 as they come back from JPEG files of `qualities` (B,) in 1..100, as libjpeg's.

    With `chroma_halved`, colour differences are kept at half the resolution (4:2:0). Grey images have none.
    """
    if images.shape[1] == 1:
        grey = images.float().sub_(128)
        return _to_bytes(_through_blocks(grey, quantisation(qualities, LUMINANCE)))
    height, width = images.shape[2:]
    luminance, chroma = _to_ycc(images)
    luminance = _through_blocks(luminance, quantisation(qualities, LUMINANCE))
    if chroma_halved:
        chroma = _halved(chroma)
    chroma = _through_blocks(chroma, quantisation(qualities, CHROMINANCE))
    if chroma_halved:
        chroma = _doubled(chroma)[..., :height, :width]
    return _to_rgb(luminance[:, 0], chroma)


def quantisation(qualities: Tensor, table: tuple[int, ...]) -> Tensor:
    """The steps (B, 64) float32, whole numbers in 1..255, to which libjpeg scales a table for a quality in 1..100."""
    return _steps(table, qualities.device).index_select(0, qualities)


@lru_cache
def _steps(table: tuple[int, ...], device: torch.device) -> Tensor:
    """(101, 64): the steps of every quality; those of quality 0 are never asked for."""
    qualities = torch.arange(101)
    percent = torch.where(qualities < 50, 5000 // qualities.clamp(min=1), 200 - 2 * qualities)[:, None]
    return ((torch.tensor(table) * percent + 50) // 100).clamp(1, 255).float().to(device)


def _to_ycc(images: Tensor) -> tuple[Tensor, Tensor]:
    """RGB (B, 3, H, W) uint8 to luminance (B, 1, H, W) and chroma (B, 2, H, W), whole numbers about 0."""
    red, green, blue = images.float().unbind(1)
    luminance = (red * 0.299).add_(green * 0.587).add_(blue * 0.114)
    chroma = torch.stack([(blue - luminance).mul_(0.5 / 0.886), (red - luminance).mul_(0.5 / 0.701)], dim=1)
    return luminance.round_().sub_(128)[:, None], chroma.round_().clamp_(max=127)


def _to_rgb(luminance: Tensor, chroma: Tensor) -> Tensor:
    """Luminance (B, H, W) and chroma (B, 2, H, W), about 0, to RGB (B, 3, H, W) uint8."""
    for_blue, for_red = chroma.unbind(1)
    rgb = luminance[:, None].repeat(1, 3, 1, 1)
    rgb[:, 0].add_(for_red, alpha=1.402)
    rgb[:, 1].add_(for_blue, alpha=-0.344136).add_(for_red, alpha=-0.714136)
    rgb[:, 2].add_(for_blue, alpha=1.772)
    return _to_bytes(rgb)


def _to_bytes(values: Tensor) -> Tensor:
    # by way of int32, which is several times faster than at once
    return values.add_(128).round_().clamp_(0, 255).int().to(torch.uint8)


def _through_blocks(planes: Tensor, steps: Tensor) -> Tensor:
    """Planes (B, C, H, W) about 0, each 8x8 block transformed, quantised by steps (B, 64), and back; whole numbers."""
    height, width = planes.shape[2:]
    padded = _padded(planes, 8, 8)
    batch, channels, rows, columns = padded.shape
    blocks = padded.view(batch, channels, rows // 8, 8, columns // 8, 8).transpose(3, 4).reshape(batch, -1, 64)
    forward, backward = _transforms(planes.device)
    # a hair's breadth less, so that halves round away from zero, as they do there
    numbers = (blocks @ forward).div_(steps[:, None] * (2**FORWARD_BITS * (1 - 2**-20))).round_()
    back = (numbers.mul_(steps[:, None]) @ backward).mul_(2.0**-BACKWARD_BITS).round_().clamp_(-128, 127)
    back = back.view(batch, channels, rows // 8, columns // 8, 8, 8).transpose(3, 4)
    return back.reshape(batch, channels, rows, columns)[..., :height, :width]


def _padded(planes: Tensor, rows: int, columns: int) -> Tensor:
    """Up to multiples of `rows` and `columns`, by repeating the last row and column."""
    height, width = planes.shape[2:]
    missing = (0, -width % columns, 0, -height % rows)
    return F.pad(planes, missing, mode="replicate") if any(missing) else planes.contiguous()


@lru_cache
def _transforms(device: torch.device) -> tuple[Tensor, Tensor]:
    """Forward and backward discrete cosine transforms of an 8x8 block, as (64, 64) of whole numbers."""
    cosines = [
        [math.cos((2 * x + 1) * u * math.pi / 16) * (0.5 if u else 0.125**0.5) for u in range(8)] for x in range(8)
    ]
    one = torch.tensor(cosines, dtype=torch.float64)  # (x, u)
    both = torch.kron(one, one)  # (pixel, frequency)
    return tuple(
        (matrix * 2**bits).round().float().contiguous().to(device)
        for matrix, bits in ((both, FORWARD_BITS), (both.T, BACKWARD_BITS))
    )


def _halved(chroma: Tensor) -> Tensor:
    """Means of 2x2 pixels (B, C, H, W) -> (B, C, H/2, W/2), rounded up and down by turns, as libjpeg does."""
    padded = _padded(chroma, 2, 16)
    rows = padded[:, :, 0::2] + padded[:, :, 1::2]
    sums = rows[..., 0::2] + rows[..., 1::2]
    return sums.add_(_turns(1, 2, sums.shape[3] // 2, chroma.device)).mul_(0.25).floor_()


def _doubled(chroma: Tensor) -> Tensor:
    """Twice the height and width, each new pixel 3/4 of the nearer sample and 1/4 of the farther, each way."""
    batch, channels, height, width = chroma.shape
    padded, near = F.pad(chroma, (0, 0, 1, 1), mode="replicate"), chroma * 3
    tall = chroma.new_empty(batch, channels, height, 2, width)
    torch.add(near, padded[:, :, :-2], out=tall[:, :, :, 0])
    torch.add(near, padded[:, :, 2:], out=tall[:, :, :, 1])
    tall = tall.view(batch, channels, 2 * height, width)
    padded, near = F.pad(tall, (1, 1, 0, 0), mode="replicate"), tall * 3
    both = chroma.new_empty(batch, channels, 2 * height, width, 2)
    torch.add(near, padded[..., :-2], out=both[..., 0])
    torch.add(near, padded[..., 2:], out=both[..., 1])
    # sixteenths, rounded half up in one column and half down in the next, as libjpeg does
    return (
        both.view(batch, channels, 2 * height, 2 * width).add_(_turns(8, 7, width, chroma.device)).mul_(1 / 16).floor_()
    )


@lru_cache
def _turns(first: float, second: float, times: int, device: torch.device) -> Tensor:
    return torch.tensor([first, second], device=device).repeat(times)
