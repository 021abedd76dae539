"""LLformer: recognises an expression in a dark face, with the help of the prior Z.

The dynamic branch of LLDif [P, L]: blocks modulated by Z at three scales, then a fusion transformer over their tokens.
"""

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from components.config import Config
from components.model.layers import (
    DynamicAttention,
    DynamicGate,
    ResidualBlock,
    TransformerBlock,
    downsample,
)


class LLformerConfig(Config):
    """Sizes. `width` is that of the stem; the three scales have 2, 4 and 6 times as many channels."""

    width: int = Field(ge=8, multiple_of=8)
    heads: int = Field(ge=1)
    fusion_depth: int = Field(ge=1)

    @model_validator(mode="after")
    def _heads_divide_the_channels(self) -> "LLformerConfig":
        if 2 * self.width % self.heads:
            raise ValueError(f"heads must divide twice the width, {2 * self.width}")
        return self


class LLformer(nn.Module):
    """Images (B, C, H, W), as components.model.light gives them, and Z (B, C_z) to logits (B, K)."""

    def __init__(self, config: LLformerConfig, channels: int, prior_channels: int, classes: int) -> None:
        super().__init__()
        stem = config.width
        widths = [2 * stem, 4 * stem, 6 * stem]
        token = widths[-1]
        self.stem = nn.Sequential(downsample(channels, stem), ResidualBlock(stem))
        self.scales = nn.ModuleList(
            nn.Sequential(downsample(before, after), ResidualBlock(after))
            for before, after in zip([stem, *widths], widths, strict=False)
        )
        self.attentions = nn.ModuleList(DynamicAttention(width, prior_channels, config.heads) for width in widths)
        self.gates = nn.ModuleList(DynamicGate(width, prior_channels) for width in widths)
        self.tokens = nn.ModuleList(nn.Linear(width, token) for width in widths)
        self.scale_embedding = nn.Parameter(torch.zeros(len(widths), 1, token))
        self.fusion = nn.Sequential(*(TransformerBlock(token, config.heads) for _ in range(config.fusion_depth)))
        self.norm = nn.LayerNorm(token)
        self.head = nn.Linear(token, classes)

    def forward(self, seen: Tensor, z: Tensor) -> Tensor:
        return self.head(self.features(seen, z))  # (B, K)

    def features(self, seen: Tensor, z: Tensor) -> Tensor:
        tokens = self.fusion(self.to_tokens(self.scale_features(seen, z)))  # (B, N, D)
        return self.norm(tokens).mean(dim=1)  # (B, D)

    def scale_features(self, seen: Tensor, z: Tensor) -> list[Tensor]:
        x = self.stem(seen.contiguous(memory_format=torch.channels_last))
        features = []
        for scale, attention, gate in zip(self.scales, self.attentions, self.gates, strict=True):
            x = gate(attention(scale(x), z), z)
            features.append(x)
        return features

    def to_tokens(self, features: list[Tensor]) -> Tensor:
        grid = (features[-1].shape[-2], features[-1].shape[-1])
        scales = [
            linear(F.adaptive_avg_pool2d(x, grid).flatten(2).mT) + embedding
            for x, linear, embedding in zip(features, self.tokens, self.scale_embedding, strict=True)
        ]
        return torch.cat(scales, dim=1)  # (B, 3 * H/16 * W/16, D)
