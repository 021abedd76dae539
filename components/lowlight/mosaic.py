"""What the pixels of a colour sensor see: a Bayer mosaic of one colour each (RGGB), or three full planes."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Site:
    """Rows of the raw image in which every column has a colour of its own."""

    plane: int
    rows: slice
    channels: Tensor  # (W,) int64: 0 red, 1 green, 2 blue

    @cached_property
    def is_channel(self) -> Tensor:
        """(W, 3) float64 of 0 and 1."""
        return F.one_hot(self.channels, 3).double()

    def of(self, raw: Tensor) -> Tensor:
        """A view (B, h, W) of raw (B, 1 or 3, H, W)."""
        return raw[:, self.plane, self.rows]


@lru_cache
def bayer_sites(width: int, device: torch.device) -> tuple[Site, ...]:
    """One plane: R G R G in even rows, G B G B in odd ones."""
    odd = torch.arange(width, device=device) % 2
    return Site(0, slice(0, None, 2), odd), Site(0, slice(1, None, 2), 1 + odd)


@lru_cache
def plane_sites(width: int, device: torch.device) -> tuple[Site, ...]:
    """Three planes of one colour each."""
    return tuple(Site(c, slice(None), torch.full((width,), c, device=device)) for c in range(3))


def channel_means(raw: Tensor, sites: tuple[Site, ...]) -> Tensor:
    """Mean (B, 3) float64 of each colour's samples in raw (B, 1 or 3, H, W) of whole numbers.

    Sums of whole numbers in float64 are exact, so that they do not depend on how a device splits them.
    """
    total = raw.new_zeros(len(raw), 3, dtype=torch.float64)
    count = raw.new_zeros(3, dtype=torch.float64)
    for site in sites:
        seen = site.of(raw)
        total += seen.sum(1, dtype=torch.float64) @ site.is_channel
        count += site.is_channel.sum(0) * seen.shape[1]
    return total / count


def demosaic(raw: Tensor) -> Tensor:
    """(B, 1, H, W) Bayer samples to (B, 3, H, W), bilinear; the border is mirrored, so H and W are at least 2."""
    mosaic = raw[:, 0]
    is_green, is_other = _green_sites(*mosaic.shape[1:], raw.device)
    beside = _neighbours(mosaic.transpose(1, 2)).transpose(1, 2)
    around = _neighbours(mosaic).add_(beside)
    # red in even rows and blue in odd ones: sampled, or the mean of left and right
    along = beside.mul_(is_green * 0.5).add_(mosaic * is_other)
    between = _neighbours(along).mul_(0.5)
    planes = raw.new_empty(len(raw), 3, *mosaic.shape[1:])
    torch.add(mosaic * is_green, around.mul_(is_other * 0.25), out=planes[:, 1])
    for channel, parity in ((0, 0), (2, 1)):
        planes[:, channel, parity::2] = along[:, parity::2]
        planes[:, channel, 1 - parity :: 2] = between[:, 1 - parity :: 2]
    return planes


def _neighbours(plane: Tensor) -> Tensor:
    """The rows above and below, added: (B, H, W) -> (B, H, W)."""
    both = torch.empty_like(plane)
    torch.add(plane[:, :-2], plane[:, 2:], out=both[:, 1:-1])
    torch.mul(plane[:, 1], 2, out=both[:, 0])
    torch.mul(plane[:, -2], 2, out=both[:, -1])
    return both


@lru_cache
def _green_sites(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(H, W) of 0 and 1: where the mosaic is green, and where it is not."""
    is_green = ((torch.arange(height)[:, None] + torch.arange(width)) % 2).float().to(device)
    return is_green, 1 - is_green
