"""DLNet: what the parts of a face say of its image, at three scales [P, L], as POSTER++ does it (Mao et al. 2023) [V].

At each scale the landmark features ask and the image features answer: cross-attention inside windows.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.model.ir50 import IR50
from components.model.layers import attend, downsample, drop_path, halving, mlp
from components.model.mobilefacenet import MobileFaceNet
from components.model.presets import DLNetSizes, Three

CROP = 112  # the side, in pixels, of the faces that both pretrained backbones know


class Contrast(NamedTuple):
    """From faces of mean 0 and deviation 1 to the values that a backbone knows."""

    deviation: float
    limit: float  # nothing lies beyond


IR50_CONTRAST = Contrast(0.5, 1.0)  # pixels in [-1, 1]
MOBILEFACENET_CONTRAST = Contrast(1.0, 2.6)  # ImageNet's mean and deviation, which leave white at 2.2 to 2.6


class DLNet(nn.Module):
    """What is seen of faces (B, C, H, W) to O1 .. O3, each (B, C_i, H_i, W_i), on the grids of the image branch.

    landmarks: "own", a second small encoder that nobody tells what a landmark is, or "mobilefacenet", frozen if
    `frozen`. images: "own" or "ir50". The pretrained ones come with random weights; components.model.pretrained fills
    them. They are shown the first `image_channels` planes, the photograph itself.
    """

    def __init__(
        self,
        sizes: DLNetSizes,
        channels: int,
        landmarks: str,
        images: str,
        drops: list[float],
        image_channels: int,
        frozen: bool,
    ) -> None:
        super().__init__()
        self.image_branch: Encoder | Pretrained
        self.landmark_branch: Encoder | Pretrained
        if images == "ir50":
            self.image_branch = Pretrained(IR50(), IR50_CONTRAST, image_channels, frozen=False)
            self.fit_images = fitting(self.image_branch.channels, sizes.channels, stride=2)
        else:
            self.image_branch = Encoder(sizes, channels)
            self.fit_images = fitting(self.image_branch.channels, sizes.channels, stride=1)
        if landmarks == "mobilefacenet":
            self.landmark_branch = Pretrained(MobileFaceNet(), MOBILEFACENET_CONTRAST, image_channels, frozen)
        else:
            self.landmark_branch = Encoder(sizes, channels)
        self.fit_landmarks = fitting(self.landmark_branch.channels, sizes.channels, stride=1)
        self.attentions = nn.ModuleList(
            CrossAttention(width, heads, window, drop, place)
            for place, (width, heads, window, drop) in enumerate(
                zip(sizes.channels, sizes.heads, sizes.windows, drops, strict=True)
            )
        )

    def forward(self, seen: Tensor) -> list[Tensor]:
        images = [fit(x) for fit, x in zip(self.fit_images, self.image_branch(seen), strict=True)]
        landmarks = [fit(x) for fit, x in zip(self.fit_landmarks, self.landmark_branch(seen), strict=True)]
        return [
            attention(resized(landmark, image.shape[2], image.shape[3]), image)
            for attention, landmark, image in zip(self.attentions, landmarks, images, strict=True)
        ]


class Encoder(nn.Module):
    """Own small branch: (B, C, H, W) to three maps, each of half the side of the one before."""

    def __init__(self, sizes: DLNetSizes, channels: int) -> None:
        super().__init__()
        self.channels = sizes.channels
        before = [channels, *sizes.stem]
        self.stem = nn.Sequential(*(downsample(a, b) for a, b in zip(before, sizes.stem, strict=False)))
        self.scales = nn.ModuleList(
            halving(a, b, blocks)
            for a, b, blocks in zip([sizes.stem[-1], *self.channels], self.channels, sizes.convolutions, strict=False)
        )

    def forward(self, seen: Tensor) -> list[Tensor]:
        x = self.stem(seen.contiguous(memory_format=torch.channels_last))
        features = []
        for each in self.scales:
            x = each(x)
            features.append(x)
        return features


class Pretrained(nn.Module):
    """A backbone that knows faces in colour, 112 x 112: any size, grey or colour, is brought to that."""

    def __init__(self, network: IR50 | MobileFaceNet, contrast: Contrast, image_channels: int, frozen: bool) -> None:
        super().__init__()
        self.network, self.contrast, self.image_channels, self.frozen = network, contrast, image_channels, frozen
        self.channels = network.channels
        self.network.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> "Pretrained":
        return super().train(mode and not self.frozen)  # frozen: its batch statistics too

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        deviation, limit = self.contrast
        shown = (seen[:, : self.image_channels] * deviation).clamp(-limit, limit)
        return self.network(resized(shown.expand(-1, 3, -1, -1), CROP, CROP))


class CrossAttention(nn.Module):
    """Landmarks ask, the image answers, in windows of `window` x `window`, with relative position bias; then an MLP.

    Where the window does not divide a map, the last windows reach beyond it, and what is not there is not attended to.
    """

    offsets: Tensor

    def __init__(self, channels: int, heads: int, window: int, drop: float, place: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.landmark_norm, self.image_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.queries = nn.Linear(channels, channels)
        self.keys_values = nn.Linear(channels, 2 * channels)
        self.position_bias = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads) * 0.02)
        self.register_buffer("offsets", relative_offsets(window), persistent=False)
        self.project = nn.Linear(channels, channels)
        self.mlp = mlp(channels, 4)
        self.drops = nn.ModuleList(drop_path(drop, 2 * place + branch) for branch in range(2))

    def forward(self, landmarks: Tensor, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        x, asking = images.permute(0, 2, 3, 1), landmarks.permute(0, 2, 3, 1)  # (B, H, W, C)
        [q] = self.per_head(self.queries(self.landmark_norm(asking)), 1)
        k, v = self.per_head(self.keys_values(self.image_norm(x)), 2)  # each (B, windows, heads, N, C / heads)
        bias = self.position_bias[self.offsets].permute(2, 0, 1)  # (heads, N, N)
        if height % self.window or width % self.window:
            bias = bias + self.beyond(height, width, bias.device)
        answers = attend(q, k, v, bias).transpose(2, 3).flatten(3)
        x = x + self.drops[0](self.project(reversed_partition(answers, self.window, height, width)))
        return (x + self.drops[1](self.mlp(x))).permute(0, 3, 1, 2)  # (B, C, H, W)

    def per_head(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        windows = partition(x, self.window)
        return windows.unflatten(3, (parts, self.heads, -1)).permute(3, 0, 1, 4, 2, 5).unbind(0)

    def beyond(self, height: int, width: int, device: torch.device) -> Tensor:
        """(windows, 1, 1, N): minus infinity at positions outside a map, else 0."""
        there = partition(torch.ones(1, height, width, 1, device=device), self.window)[0, :, None, None, :, 0]
        return torch.where(there > 0, 0.0, -torch.inf)


def partition(x: Tensor, window: int) -> Tensor:
    """(B, H, W, C) to (B, windows, window * window, C), with zeros where the last windows reach beyond."""
    height, width = x.shape[1:3]
    x = F.pad(x, (0, 0, 0, -width % window, 0, -height % window))
    windows = x.unflatten(2, (-1, window)).unflatten(1, (-1, window)).transpose(2, 3)
    return windows.flatten(3, 4).flatten(1, 2)


def reversed_partition(windows: Tensor, window: int, height: int, width: int) -> Tensor:
    """The inverse of `partition`: (B, H, W, C)."""
    across = -(-width // window)
    x = windows.unflatten(1, (-1, across)).unflatten(3, (window, window)).transpose(2, 3)
    return x.flatten(3, 4).flatten(1, 2)[:, :height, :width]


def relative_offsets(window: int) -> Tensor:
    """(N, N): for each pair of positions in a window, which of the (2 window - 1)^2 differences it has."""
    rows, columns = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    down = rows.flatten()[:, None] - rows.flatten() + window - 1
    right = columns.flatten()[:, None] - columns.flatten() + window - 1
    return down * (2 * window - 1) + right


def fitting(before: Three, after: Three, stride: int) -> nn.ModuleList:
    """A convolution per scale, where channels or size have to change."""
    size = 3 if stride > 1 else 1
    return nn.ModuleList(
        nn.Identity() if a == b and stride == 1 else nn.Conv2d(a, b, size, stride, size // 2)
        for a, b in zip(before, after, strict=True)
    )


def resized(x: Tensor, height: int, width: int) -> Tensor:
    """Maps (B, C, H, W) on another grid."""
    same = x.shape[2:] == (height, width)
    return x if same else F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)
