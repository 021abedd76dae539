"""Building blocks: convolutional stages, the attention over channels of LRDif, a plain transformer block."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def downsample(channels_in: int, channels_out: int) -> nn.Sequential:
    """(B, C_in, H, W) to (B, C_out, H/2, W/2)."""
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around an identity (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))  # (B, C, H, W)


class Modulation(nn.Module):
    """F' = (W1 Z) * LN(F) + W2 Z (LRDif), broadcast over H x W; starts as the plain norm."""

    def __init__(self, channels: int, prior_channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels, affine=False)
        self.weights = nn.Linear(prior_channels, 2 * channels, bias=False)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        scale, shift = self.weights(z)[:, :, None, None].chunk(2, dim=1)
        return self.norm(x) * (1 + scale) + shift  # (B, C, H, W)


class DynamicAttention(nn.Module):
    """DMNet of LRDif: attention over channels, after modulation by Z.

    Q, K, V by 1x1 then 3x3 depthwise convolution; softmax(norm(K) norm(Q)^T / alpha) over channels; plus identity.
    """

    def __init__(self, channels: int, prior_channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.modulation = Modulation(channels, prior_channels)
        self.pointwise = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.depthwise = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=False)
        self.alpha = nn.Parameter(torch.ones(heads, 1, 1))
        self.project = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        queries_keys_values = self.depthwise(self.pointwise(self.modulation(x, z)))
        per_head = queries_keys_values.reshape(batch, 3, self.heads, channels // self.heads, height * width)
        q, k, v = per_head.unbind(1)  # each (B, heads, C/heads, HW)
        attention = (F.normalize(k, dim=-1) @ F.normalize(q, dim=-1).mT / self.alpha).softmax(dim=-1)
        mixed = (attention.mT @ v).reshape(batch, channels, height, width)
        return x + self.project(mixed)  # (B, C, H, W)


class DynamicGate(nn.Module):
    """DGNet of LRDif: GELU(dw3x3(1x1 F')) * dw3x3(1x1 F'), projected, plus identity."""

    def __init__(self, channels: int, prior_channels: int) -> None:
        super().__init__()
        self.modulation = Modulation(channels, prior_channels)
        self.pointwise = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.depthwise = nn.Conv2d(4 * channels, 4 * channels, 3, padding=1, groups=4 * channels, bias=False)
        self.project = nn.Conv2d(2 * channels, channels, 1, bias=False)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        gate, value = self.depthwise(self.pointwise(self.modulation(x, z))).chunk(2, dim=1)
        return x + self.project(F.gelu(gate) * value)  # (B, C, H, W)


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and MLP (Vaswani et al. 2017; Xiong et al. 2020)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = (
            self.queries_keys_values(self.attention_norm(x))
            .reshape(batch, tokens, 3, self.heads, width // self.heads)
            .permute(2, 0, 3, 1, 4)
        )  # each (B, heads, N, D/heads)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        x = x + self.project(attended)
        return x + self.mlp(x)  # (B, N, D)
