"""What the pixels of a colour sensor see: a Bayer mosaic of one colour each (RGGB), or three full planes."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Site:
    """Rows of the raw image in which every column has a colour of its own."""

    plane: int
    rows: slice
    channels: Tensor  # (W,) int64: 0 red, 1 green, 2 blue


def bayer_sites(width: int, device: torch.device) -> list[Site]:
    """One plane: R G R G in even rows, G B G B in odd ones."""
    odd = torch.arange(width, device=device) % 2
    return [Site(0, slice(0, None, 2), odd), Site(0, slice(1, None, 2), 1 + odd)]


def plane_sites(width: int, device: torch.device) -> list[Site]:
    """Three planes of one colour each."""
    return [Site(c, slice(None), torch.full((width,), c, device=device)) for c in range(3)]


def channel_means(raw: Tensor, sites: list[Site]) -> Tensor:
    """Mean (B, 3) of each colour's samples in raw (B, 1 or 3, H, W) of whole numbers; 0 for a colour without any.

    Sums of whole numbers in float64 are exact, so that they do not depend on how a device splits them.
    """
    total = torch.zeros(len(raw), 3, dtype=torch.float64, device=raw.device)
    count = torch.zeros(3, dtype=torch.float64, device=raw.device)
    for site in sites:
        seen = raw[:, site.plane, site.rows]
        which = torch.nn.functional.one_hot(site.channels, 3).double()  # (W, 3)
        total += seen.sum(1, dtype=torch.float64) @ which
        count += seen.shape[1] * which.sum(0)
    return total / count.clamp(min=1)


def demosaic(raw: Tensor) -> Tensor:
    """(B, 1, H, W) Bayer samples to (B, 3, H, W), bilinear; the border is mirrored, so H and W are at least 2."""
    mosaic = raw[:, 0]
    height, width = mosaic.shape[1:]
    beside = _neighbours(mosaic.transpose(1, 2)).transpose(1, 2)
    across = (beside + _neighbours(mosaic)).mul_(0.25)
    y = torch.arange(height, device=raw.device)[:, None]
    x = torch.arange(width, device=raw.device)[None, :]
    is_green = ((x + y) % 2).float()
    is_other = 1 - is_green
    # red in even rows and blue in odd ones: sampled, or the mean of left and right
    along = (beside.mul_(0.5).mul_(is_green)).add_(mosaic * is_other)
    between = _neighbours(along).mul_(0.5)
    planes = raw.new_empty(len(raw), 3, height, width)
    torch.add(mosaic * is_green, across.mul_(is_other), out=planes[:, 1])
    for channel, own in ((0, slice(0, None, 2)), (2, slice(1, None, 2))):
        planes[:, channel] = between
        planes[:, channel, own] = along[:, own]
    return planes


def _neighbours(plane: Tensor) -> Tensor:
    """The rows above and below, added: (B, H, W) -> (B, H, W)."""
    both = torch.empty_like(plane)
    torch.add(plane[:, :-2], plane[:, 2:], out=both[:, 1:-1])
    torch.mul(plane[:, 1], 2, out=both[:, 0])
    torch.mul(plane[:, -2], 2, out=both[:, -1])
    return both
