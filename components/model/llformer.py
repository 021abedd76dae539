"""LLformer: recognises an expression in a dark face, with the help of the prior Z.

The dynamic branch of LLDif [P, L], U-Net-like, its blocks modulated by Z at the scales that a preset names; DLNet
beside it; a fusion transformer over the tokens of all scales [L, V]; past it, where a preset says so, the maps' means.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from components.config import Config
from components.model.dlnet import DLNet
from components.model.layers import DynamicAttention, DynamicGate, ResidualBlock, TransformerBlock, downsample, halving
from components.model.presets import PRESETS, Sizes


class LLformerConfig(Config):
    """The recogniser: its sizes by name, and what DLNet stands on (landmarks none: there is no DLNet)."""

    preset: Literal["tiny", "small", "base", "paper"]
    modulation: Literal["residual", "direct"]  # Z scales a map by 1 + W1 Z, or, as the paper writes it, by W1 Z
    landmarks: Literal["none", "own", "mobilefacenet"]
    images: Literal["own", "ir50"]
    drop_path: float = Field(ge=0, lt=1)  # in the last block; the share grows linearly from none in the first

    @model_validator(mode="after")
    def _a_pretrained_image_branch_has_somebody_to_answer(self) -> "LLformerConfig":
        if self.images == "ir50" and self.landmarks == "none":
            raise ValueError("images: ir50 is a branch of DLNet: allowed with landmarks own or mobilefacenet")
        return self


class Recognised(NamedTuple):
    """What LLformer makes of faces, step by step."""

    scales: list[Tensor]  # F1 .. F3, each (B, C_i, H_i, W_i)
    features: Tensor  # (B, D), of which the head makes the logits
    logits: Tensor  # (B, K)


class LLformer(nn.Module):
    """What is seen of faces (B, C, H, W), as components.model.light gives it, and Z (B, C_z) to an expression.

    The first `image_channels` of the C planes are the photograph, what pretrained branches are shown.
    """

    def __init__(
        self,
        config: LLformerConfig,
        channels: int,
        prior_channels: int,
        classes: int,
        image_channels: int,
        frozen_landmarks: bool,
    ) -> None:
        super().__init__()
        sizes = PRESETS[config.preset]
        self.width = sizes.token_channels  # D
        places = 3 + sizes.fusion_depth  # where paths may be dropped: the scales of DLNet, then fusion [V]
        drops = [config.drop_path * place / (places - 1) for place in range(places)]
        self.dynamic = DynamicBranch(sizes, channels, prior_channels, config.modulation == "residual")
        into = list(sizes.channels)  # channels of x_i = concat(F_i, O_i)
        self.dlnet: DLNet | None = None
        if config.landmarks != "none":
            kinds = config.landmarks, config.images
            self.dlnet = DLNet(sizes.dlnet, channels, *kinds, drops[:3], image_channels, frozen_landmarks)
            into = [f + o for f, o in zip(into, sizes.dlnet.channels, strict=True)]
        self.tokens = nn.ModuleList(nn.Linear(width, self.width) for width in into)
        self.scale_embedding = nn.Parameter(torch.zeros(3, 1, self.width))
        self.fusion = nn.Sequential(
            *(
                TransformerBlock(self.width, sizes.fusion_heads, sizes.fusion_expansion, drops[place], place)
                for place in range(3, places)
            )
        )
        self.norm = nn.LayerNorm(self.width)
        self.pooled: nn.Sequential | None = None
        if sizes.pooled_path:
            self.pooled = nn.Sequential(nn.BatchNorm1d(sum(into)), nn.Linear(sum(into), self.width))
        self.head = nn.Linear(self.width, classes)

    def forward(self, seen: Tensor, z: Tensor) -> Recognised:
        scales = self.dynamic(seen, z)
        features = self.fuse(seen, scales)
        return Recognised(scales, features, self.head(features))

    def fuse(self, seen: Tensor, scales: list[Tensor]) -> Tensor:
        """F1 .. F3 and what DLNet sees to the mean of the fused tokens, and of the maps where a preset says so."""
        branches = [scales, *([self.dlnet(seen)] if self.dlnet else [])]
        tokens = self.fusion(self.to_tokens(branches))  # (B, N, D)
        features = self.norm(tokens).mean(dim=1)
        if self.pooled is None:
            return features  # (B, D)
        means = [x.mean(dim=(2, 3)) for maps in branches for x in maps]
        return features + self.pooled(torch.cat(means, dim=1))

    def to_tokens(self, branches: list[list[Tensor]]) -> Tensor:
        """Three maps of each branch to tokens (B, 3 N, D): all scales on the grid of F3, whatever their own."""
        height, width = branches[0][-1].shape[2:]
        scales = []
        for maps, linear, embedding in zip(zip(*branches, strict=True), self.tokens, self.scale_embedding, strict=True):
            x = torch.cat([F.adaptive_avg_pool2d(x, (height, width)) for x in maps], dim=1)  # x_i
            scales.append(linear(x.flatten(2).mT) + embedding)
        return torch.cat(scales, dim=1)


class DynamicBranch(nn.Module):
    """(B, C, H, W) and Z (B, C_z) to F1 .. F3: down in convolutions and blocks that Z modulates, and up again.

    F3 is the lowest map; F2 and F1 are those of the way up where a preset has one, else of the way down.
    """

    def __init__(self, sizes: Sizes, channels: int, prior_channels: int, residual: bool) -> None:
        super().__init__()
        before = [channels, *sizes.stem]
        self.stem = nn.Sequential()
        for a, b in zip(before, sizes.stem, strict=False):
            self.stem.extend([downsample(a, b), *(ResidualBlock(b) for _ in range(sizes.stem_convolutions))])
        self.scales = nn.ModuleList(
            halving(a, b, blocks)
            for a, b, blocks in zip([sizes.stem[-1], *sizes.channels], sizes.channels, sizes.convolutions, strict=False)
        )
        self.down = nn.ModuleList(DynamicBlocks(sizes, i, sizes.blocks[i], prior_channels, residual) for i in range(3))
        ways = [i for i in (1, 0) if sizes.up_blocks[i]]
        self.reduce = nn.ModuleList(nn.Conv2d(sizes.channels[i + 1], sizes.channels[i], 1, bias=False) for i in ways)
        self.up = nn.ModuleList(DynamicBlocks(sizes, i, sizes.up_blocks[i], prior_channels, residual) for i in ways)

    def forward(self, seen: Tensor, z: Tensor) -> list[Tensor]:
        x = self.stem(seen.contiguous(memory_format=torch.channels_last))
        features = []
        for halve, blocks in zip(self.scales, self.down, strict=True):
            x = blocks(halve(x), z)
            features.append(x)
        for i, reduce, blocks in zip((1, 0), self.reduce, self.up, strict=False):
            from_below = F.interpolate(reduce(x), size=features[i].shape[2:])
            x = features[i] = blocks(features[i] + from_below, z)
        return features


class DynamicBlocks(nn.Module):
    """DMNet and DGNet in turn, at scale number `scale`."""

    def __init__(self, sizes: Sizes, scale: int, depth: int, prior_channels: int, residual: bool) -> None:
        super().__init__()
        channels, heads = sizes.channels[scale], sizes.heads[scale]
        self.attentions = nn.ModuleList(
            DynamicAttention(channels, prior_channels, heads, residual) for _ in range(depth)
        )
        self.gates = nn.ModuleList(
            DynamicGate(channels, prior_channels, sizes.gate_expansion, residual) for _ in range(depth)
        )

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)  # what mixes channels wants them last, as they are in memory
        for attention, gate in zip(self.attentions, self.gates, strict=True):
            x = gate(attention(x, z), z)
        return x.permute(0, 3, 1, 2)  # (B, C, H, W)
