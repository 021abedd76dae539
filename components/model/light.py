"""What a network sees of a photograph: light, in numbers that a network can learn from."""

from functools import lru_cache
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from components.config import Config
from components.lowlight.colour import decode

MEASURES = 3  # numbers that describe the exposure of a photograph
BLURS = (3, 5)  # widths in pixels


class LightConfig(Config):
    """How levels of grey become the planes that a network sees."""

    form: Literal["srgb", "auto_gain", "anscombe"]
    blurs: bool  # each plane also blurred in linear light: noise averages out before a curve bends it
    read_noise: float = Field(ge=0)  # in electrons, for anscombe, where the camera's is known; 0: part of the grain

    @model_validator(mode="after")
    def _read_noise_is_of_electrons(self) -> "LightConfig":
        if self.read_noise and self.form != "anscombe":
            raise ValueError(f"read_noise: with form {self.form}, allowed is 0")
        return self


class Seen(NamedTuple):
    planes: Tensor  # (B, C', H, W) float32
    exposure: Tensor  # (B, MEASURES) float32, about -2 .. 2


def planes_of(config: LightConfig, image_channels: int) -> int:
    """C', the number of planes seen of an image."""
    return image_channels * (1 + len(BLURS) if config.blurs else 1)


def see(images: Tensor, config: LightConfig) -> Seen:
    """Images (B, C, H, W) uint8, sRGB, as planes and an estimate of their exposure."""
    light = decode(images, tone=False)
    grain = photon_light(light)
    views = [light, *(blur(light, width) for width in BLURS)] if config.blurs else [light]
    if config.form == "anscombe":
        photon = without_read_noise(grain, light, config.read_noise)
        planes = [standardise(stabilise(view, photon, config.read_noise)) for view in views]
    else:
        shown = [images.float(), *(255 * view.clamp(min=0) ** (1 / 2.2) for view in views[1:])]
        planes = [standardise(x) if config.form == "auto_gain" else (x - 127.5) / 64 for x in shown]
    return Seen(torch.cat(planes, dim=1), measure(light, grain))


def as_picture(seen: Seen, image_channels: int) -> Tensor:
    """The photograph among the planes, (B, C, H, W) in [0, 1] with its gain: what networks trained elsewhere expect."""
    return (seen.planes[:, :image_channels] / 4 + 0.5).clamp(0, 1)


def standardise(images: Tensor) -> Tensor:
    """Images (B, C, H, W) of any gain to float32 with mean 0 and deviation 1 per image."""
    x = images.float()
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    deviation = x.std(dim=(1, 2, 3), keepdim=True)
    return (x - mean) / (deviation + 1.0)  # one grey level, or one electron's: a black image stays black


def photon_light(light: Tensor) -> Tensor:
    """The light that one photo-electron stands for, estimated from the grain of linear light (B, C, H, W) -> (B,).

    Noise that photons make has variance = mean x light per photon, whatever the gain that followed (Janesick 2007). The
    deviation is estimated by the mask that ignores edges (Immerkaer, CVIU 1996). Texture counts as grain, so it is an
    upper bound where there is little noise.
    """
    channels = light.shape[1]
    mask = _edgeless(light.device).expand(channels, 1, 3, 3)
    response = F.conv2d(light, mask, groups=channels).abs().mean(dim=(1, 2, 3))
    deviation = response * (torch.pi / 2) ** 0.5 / 6
    return deviation**2 / light.mean(dim=(1, 2, 3)).clamp(min=1e-4)


@lru_cache
def _edgeless(device: torch.device) -> Tensor:
    """Immerkaer's mask (3, 3), the difference of two Laplacians; kept, as a copy in every step would stall a GPU."""
    side = torch.tensor([1.0, -2.0, 1.0], device=device)
    return side[:, None] * side


def without_read_noise(grain: Tensor, light: Tensor, read_noise: float) -> Tensor:
    """The light of a photo-electron (B,), where grain (B,) also has the noise of reading, in electrons.

    Grain is variance over mean, g^2 (electrons + read^2) / (g electrons) = g + g^2 read^2 / light, solved for g.
    """
    share = grain * read_noise**2 / light.mean(dim=(1, 2, 3)).clamp(min=1e-4)
    return 2 * grain / (1 + (1 + 4 * share).sqrt())


def stabilise(light: Tensor, photon: Tensor, read_noise: float) -> Tensor:
    """The generalised Anscombe transform: a square root of electrons, whose noise has the same deviation, 1, in bright
    and dark pixels (Anscombe 1948; with read noise Murtagh et al. 1995).

    `photon` (B,) is the light of one electron. In grey levels of 32 to a deviation, as wide a range as sRGB's.
    """
    electrons = light / photon.clamp(min=1e-6)[:, None, None, None]
    return 64 * (electrons.clamp(min=0) + (3 / 8 + read_noise**2)).sqrt()


def blur(light: Tensor, width: int) -> Tensor:
    """Mean over `width` x `width` pixels; the border repeats."""
    padded = F.pad(light, (width // 2,) * 4, mode="replicate")
    return F.avg_pool2d(padded, width, stride=1)


def measure(light: Tensor, grain: Tensor) -> Tensor:
    """(B, MEASURES): light per photon and mean light in decades, and the share of black pixels."""
    mean = light.mean(dim=(1, 2, 3))
    black = (light <= 0).float().mean(dim=(1, 2, 3))
    return torch.stack([grain.clamp(min=1e-6).log10() + 3, mean.clamp(min=1e-4).log10() + 1, 2 * black], dim=1)


class ExposureCondition(nn.Module):
    """Tells the modulation how dark the photograph is: Z plus a linear map of its measures; begins as Z alone."""

    def __init__(self, prior_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(MEASURES, prior_channels, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, z: Tensor, exposure: Tensor) -> Tensor:
        return z + self.linear(exposure)  # (B, C_z)
