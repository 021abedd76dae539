"""LLformer: recognises an expression in a dark face, with the help of the prior Z.

The dynamic branch of LLDif [P, L], U-Net-like, its blocks modulated by Z at three scales, and a fusion transformer over
the tokens of all scales [L, V].
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from components.config import Config
from components.model.layers import DynamicAttention, DynamicGate, ResidualBlock, TransformerBlock, downsample
from components.model.presets import PRESETS, Sizes


class LLformerConfig(Config):
    """The recogniser: its sizes by name, and its branches."""

    preset: Literal["tiny"]
    landmarks: Literal["none"]
    images: Literal["own"]
    drop_path: float = Field(ge=0, lt=1)  # in the last block; growing linearly from the first


class LLformer(nn.Module):
    """What is seen of faces (B, C, H, W), as components.model.light gives it, and Z (B, C_z) to logits (B, K)."""

    def __init__(self, config: LLformerConfig, channels: int, prior_channels: int, classes: int) -> None:
        super().__init__()
        sizes = PRESETS[config.preset]
        self.width = sizes.token_channels  # D
        self.dynamic = DynamicBranch(sizes, channels, prior_channels)
        self.tokens = nn.ModuleList(nn.Linear(width, self.width) for width in sizes.channels)
        self.scale_embedding = nn.Parameter(torch.zeros(3, 1, self.width))
        shares = [config.drop_path * (block + 1) / sizes.fusion_depth for block in range(sizes.fusion_depth)]
        self.fusion = nn.Sequential(
            *(
                TransformerBlock(self.width, sizes.fusion_heads, sizes.fusion_expansion, share, stream)
                for stream, share in enumerate(shares)
            )
        )
        self.norm = nn.LayerNorm(self.width)
        self.head = nn.Linear(self.width, classes)

    def forward(self, seen: Tensor, z: Tensor) -> Tensor:
        return self.head(self.features(seen, z))  # (B, K)

    def features(self, seen: Tensor, z: Tensor) -> Tensor:
        tokens = self.fusion(self.to_tokens(self.scale_features(seen, z)))  # (B, N, D)
        return self.norm(tokens).mean(dim=1)  # (B, D)

    def scale_features(self, seen: Tensor, z: Tensor) -> list[Tensor]:
        """F1 .. F3, each (B, C_i, H_i, W_i)."""
        return self.dynamic(seen, z)

    def to_tokens(self, features: list[Tensor]) -> Tensor:
        """All scales on the grid of the coarsest."""
        height, width = features[-1].shape[-2:]
        scales = [
            linear(F.adaptive_avg_pool2d(x, (height, width)).flatten(2).mT) + embedding
            for x, linear, embedding in zip(features, self.tokens, self.scale_embedding, strict=True)
        ]
        return torch.cat(scales, dim=1)  # (B, 3 * H_3 * W_3, D)


class DynamicBranch(nn.Module):
    """(B, C, H, W) and Z (B, C_z) to F1 .. F3: down in convolutions and blocks that Z modulates."""

    def __init__(self, sizes: Sizes, channels: int, prior_channels: int) -> None:
        super().__init__()
        before = [sizes.stem_channels, *sizes.channels]
        self.stem = downsample(channels, sizes.stem_channels)
        self.down = nn.ModuleList(
            nn.Sequential(downsample(before[i], width), *(ResidualBlock(width) for _ in range(sizes.convolutions[i])))
            for i, width in enumerate(sizes.channels)
        )
        self.blocks = nn.ModuleList(
            DynamicBlocks(width, prior_channels, heads, sizes.gate_expansion, depth)
            for width, heads, depth in zip(sizes.channels, sizes.heads, sizes.blocks, strict=True)
        )

    def forward(self, seen: Tensor, z: Tensor) -> list[Tensor]:
        x = self.stem(seen.contiguous(memory_format=torch.channels_last))
        features = []
        for down, blocks in zip(self.down, self.blocks, strict=True):
            x = blocks(down(x), z)
            features.append(x)
        return features


class DynamicBlocks(nn.Module):
    """DMNet and DGNet in turn, at one scale."""

    def __init__(self, channels: int, prior_channels: int, heads: int, expansion: int, depth: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList(DynamicAttention(channels, prior_channels, heads) for _ in range(depth))
        self.gates = nn.ModuleList(DynamicGate(channels, prior_channels, expansion) for _ in range(depth))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)  # what mixes channels wants them last, as they are in memory
        for attention, gate in zip(self.attentions, self.gates, strict=True):
            x = gate(attention(x, z), z)
        return x.permute(0, 3, 1, 2)  # (B, C, H, W)
