"""Draws the clean face from what the recogniser sees in the dark one: a part of training alone, never of a model."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.model.lldif import GuidedRecogniser
from components.model.presets import PRESETS

PIXELS = 4  # of the picture, along a side, that each place of the maps draws
WIDTH = 16


class Decoder(nn.Module):
    """F1 .. F3 of LLformer to the planes of a face: the scales added up, then every place draws a square of pixels.

    Top-down addition is that of feature pyramids (Lin et al. 2017), the squares are put together by sub-pixel
    convolution (Shi et al. 2016). Small on purpose: what it cannot draw by itself, the maps have to hold.
    """

    def __init__(self, recogniser: GuidedRecogniser) -> None:
        super().__init__()
        channels = PRESETS[recogniser.config.llformer.preset].channels
        self.lateral = nn.ModuleList(nn.Conv2d(width, WIDTH, 1) for width in channels)
        self.draw = nn.Conv2d(WIDTH, recogniser.planes * PIXELS**2, 3, padding=1)

    def forward(self, scales: list[Tensor], height: int, width: int) -> Tensor:
        """F1 .. F3, each (B, C_i, H_i, W_i), to planes (B, C', height, width)."""
        side = [-(-size // PIXELS) for size in (height, width)]
        maps = [F.interpolate(one(x), size=side) for one, x in zip(self.lateral, scales, strict=True)]
        return F.pixel_shuffle(self.draw(F.relu(torch.stack(maps).sum(dim=0))), PIXELS)[..., :height, :width]
