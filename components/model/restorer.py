"""Restores before anything is recognised: a small denoiser that makes the clean face's planes of the dark one's."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.model.layers import convolution

SHARE = 0.1  # of the recogniser's parameters that the network before it has
BLOCKS = 2


class Restorer(nn.Module):
    """Planes of a dark image to those of the clean one, as a residual: convolutions at half the resolution.

    FFDNet's layout (Zhang et al. 2018), which sorts 2x2 pixels into channels and back, and DnCNN's residual (2017);
    how noisy the image is it has to see for itself.
    """

    def __init__(self, planes: int, width: int) -> None:
        super().__init__()
        inside = [layer for _ in range(BLOCKS) for layer in (*convolution(width, width, 1), nn.ReLU())]
        self.body = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * planes, width, 3, padding=1),
            nn.ReLU(),
            *inside,
            nn.Conv2d(width, 4 * planes, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, planes: Tensor) -> Tensor:
        height, width = planes.shape[-2:]
        even = F.pad(planes, (0, width % 2, 0, height % 2), mode="replicate")
        even = even.contiguous(memory_format=torch.channels_last)
        return planes + self.body(even)[..., :height, :width]  # (B, C', H, W)


def width_beside(parameters: int) -> int:
    """The multiple of 8 at which the blocks of a restorer have about SHARE of so many."""
    per_block = SHARE * parameters / BLOCKS
    return max(8, 8 * round((per_block / 9) ** 0.5 / 8))
