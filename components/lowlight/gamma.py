"""Another darkness, which no training sees, so that nobody tunes to one camera: as low-light enhancement makes it.

In sRGB, per image: y = b (a x)^g with a ~ U(.9, 1), b ~ U(.5, 1), g ~ U(1.5, 5) (Lv, Li and Lu, IJCV 2021, arXiv
1908.00682); then Gaussian noise of standard deviation 25/255 sqrt(B), B ~ U(0, 1) (LLNet: Lore, Akintayo and Sarkar,
Pattern Recognition 2017, arXiv 1511.03995); clipped, 8 bit. No photons, no gain: unlike the camera in every step.
"""

import torch
from torch import Tensor

from components.lowlight.noise import normal, uniform

LINEAR, SCALE, POWER = (0.9, 1.0), (0.5, 1.0), (1.5, 5.0)  # ranges of a, b and g
GREATEST_NOISE = 25 / 255
CURVE, NOISE = 64, 65  # streams of random numbers, apart from the camera's
FACES_AT_ONCE = 512


def darken(images: Tensor, keys: Tensor) -> Tensor:
    """Dark sRGB images (B, C, H, W) uint8 of images (B, C, H, W) uint8; all that is random is a function of `keys`."""
    parts = zip(images.split(FACES_AT_ONCE), keys.split(FACES_AT_ONCE), strict=True)
    return torch.cat([_darken(some, own) for some, own in parts])


def _darken(images: Tensor, keys: Tensor) -> Tensor:
    a, b, g, noise = (column[:, None, None, None] for column in draw(keys))
    dark = b * (a * images / 255) ** g
    dark += noise * normal(keys, NOISE, images[0].numel()).view(images.shape)
    return (dark * 255).round_().clamp_(0, 255).to(torch.uint8)


def draw(keys: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """a, b, g and the noise's standard deviation, each (B,)."""
    share = uniform(keys, CURVE, 4)
    a, b, g = (low + (high - low) * share[:, at] for at, (low, high) in enumerate((LINEAR, SCALE, POWER)))
    return a, b, g, GREATEST_NOISE * share[:, 3].sqrt()
