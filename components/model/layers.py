"""Building blocks: convolutional stages, the attention over channels of LRDif, a plain transformer block."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.lowlight.noise import uniform

# the first of the streams of random numbers that drop paths use; their keys count draws and are no face's
DROP_PATH = 64


def parameters_of(network: nn.Module) -> int:
    """How many there are, frozen ones too."""
    return sum(value.numel() for value in network.parameters())


def convolution(before: int, after: int, stride: int, side: int = 3) -> list[nn.Module]:
    """(B, before, H, W) to (B, after, H / stride, W / stride), with a batch norm behind."""
    return [nn.Conv2d(before, after, side, stride, side // 2, bias=False), nn.BatchNorm2d(after)]


def downsample(channels_in: int, channels_out: int) -> nn.Sequential:
    """(B, C_in, H, W) to (B, C_out, H/2, W/2)."""
    return nn.Sequential(*convolution(channels_in, channels_out, 2), nn.ReLU(inplace=True))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around an identity (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *convolution(channels, channels, 1), nn.ReLU(inplace=True), *convolution(channels, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))  # (B, C, H, W)


def halving(channels_in: int, channels_out: int, blocks: int) -> nn.Sequential:
    """Half the side, then `blocks` residual blocks: (B, C_out, H/2, W/2)."""
    return nn.Sequential(downsample(channels_in, channels_out), *(ResidualBlock(channels_out) for _ in range(blocks)))


class Modulation(nn.Module):
    """F' = (W1 Z) * LN(F) + W2 Z [P, L], broadcast over H x W, by one linear map without bias [D].

    The norm has no weights of its own: W1 and W2 are what they would be. `residual`: F' = (1 + W1 Z) * LN(F) + W2 Z,
    which starts as the norm over channels, whatever Z is.
    """

    def __init__(self, channels: int, prior_channels: int, residual: bool) -> None:
        super().__init__()
        self.channels, self.offset = channels, float(residual)
        self.weights = nn.Linear(prior_channels, 2 * channels, bias=False)
        if residual:
            nn.init.zeros_(self.weights.weight)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        scale, shift = self.weights(z)[:, None, None, :].chunk(2, dim=-1)
        return torch.addcmul(shift, F.layer_norm(x, (self.channels,)), self.offset + scale)  # (B, H, W, C)


class DynamicAttention(nn.Module):
    """DMNet [L], DMTA in [D]: attention over channels, after modulation by Z.

    Q, K, V by 1x1 then 3x3 depthwise convolution; each channel of Q is answered with a mean of V's, weighted by
    softmax(norm(K) norm(Q)^T / alpha) over the channels of K; plus identity.
    """

    def __init__(self, channels: int, prior_channels: int, heads: int, residual: bool) -> None:
        super().__init__()
        self.heads = heads
        self.modulation = Modulation(channels, prior_channels, residual)
        self.pointwise = nn.Linear(channels, 3 * channels, bias=False)
        self.depthwise = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=False)
        self.alpha = nn.Parameter(torch.ones(heads, 1, 1))
        self.project = nn.Linear(channels, channels, bias=False)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        mixed = over_maps(self.depthwise, self.pointwise(self.modulation(x, z)))
        per_head = mixed.reshape(batch, height * width, 3, self.heads, channels // self.heads)
        q, k, v = per_head.permute(2, 0, 3, 1, 4)  # each (B, heads, HW, C/heads)
        # norms divide the products of channels rather than the maps: a small matrix instead of two large ones
        likeness = (q.mT @ k) * (inverse_norm(q)[..., :, None] / self.alpha) * inverse_norm(k)[..., None, :]
        attended = v @ likeness.softmax(dim=-1).mT
        return x + self.project(attended.transpose(1, 2).reshape(x.shape))  # (B, H, W, C)


class DynamicGate(nn.Module):
    """DGNet [L], DGFN in [D]: GELU(dw3x3(1x1 F')) * dw3x3(1x1 F'), projected, plus identity."""

    def __init__(self, channels: int, prior_channels: int, expansion: int, residual: bool) -> None:
        super().__init__()
        inside = expansion * channels
        self.modulation = Modulation(channels, prior_channels, residual)
        self.pointwise = nn.Linear(channels, 2 * inside, bias=False)
        self.depthwise = nn.Conv2d(2 * inside, 2 * inside, 3, padding=1, groups=2 * inside, bias=False)
        self.project = nn.Linear(inside, channels, bias=False)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        gate, value = over_maps(self.depthwise, self.pointwise(self.modulation(x, z))).chunk(2, dim=-1)
        return x + self.project(F.gelu(gate) * value)  # (B, H, W, C)


def over_maps(convolution: nn.Module, x: Tensor) -> Tensor:
    """A convolution of maps whose channels come last: (B, H, W, C) both ways, without a copy."""
    return convolution(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def inverse_norm(x: Tensor) -> Tensor:
    """1 / |x| over the positions of (..., N, D): (..., D)."""
    return (x.square().sum(dim=-2) + 1e-12).rsqrt()


class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016): in training, a residual branch is left out for a `share` of the faces.

    Who is left out follows from the number of the draw, which is kept with the weights: a training that was
    interrupted goes on as it would have.
    """

    draws: Tensor

    def __init__(self, share: float, stream: int) -> None:
        super().__init__()
        self.share, self.stream = share, DROP_PATH + stream
        self.register_buffer("draws", torch.zeros(1, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = uniform(self.draws << 32, self.stream, len(x))[0] >= self.share  # (B,)
        self.draws += 1
        return x * (kept / (1 - self.share)).to(x.dtype).view(-1, *[1] * (x.ndim - 1))


def drop_path(share: float, stream: int) -> nn.Module:
    """Each branch of a network has its own `stream`. Without a share there is nothing to keep with the weights."""
    return DropPath(share, stream) if share else nn.Identity()


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and MLP (Vaswani et al. 2017; Xiong et al. 2020)."""

    def __init__(self, channels: int, heads: int, expansion: int, drop: float, place: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(channels)
        self.queries_keys_values = nn.Linear(channels, 3 * channels)
        self.project = nn.Linear(channels, channels)
        self.mlp = mlp(channels, expansion)
        self.drops = nn.ModuleList(drop_path(drop, 2 * place + branch) for branch in range(2))

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, channels = x.shape
        q, k, v = (
            self.queries_keys_values(self.attention_norm(x))
            .reshape(batch, tokens, 3, self.heads, channels // self.heads)
            .permute(2, 0, 3, 1, 4)
        )  # each (B, heads, N, D/heads)
        x = x + self.drops[0](self.project(attend(q, k, v).transpose(1, 2).reshape(x.shape)))
        return x + self.drops[1](self.mlp(x))  # (B, N, D)


def mlp(channels: int, expansion: int) -> nn.Sequential:
    """MLP(LN(.)) of a transformer block."""
    inside = expansion * channels
    return nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, inside), nn.GELU(), nn.Linear(inside, channels))


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    """softmax(q k^T / sqrt(D) + bias) v over (..., N, D).

    Written out: for the few tokens of a face, torch's fused form takes four times as long on a CPU, and its gradient
    on a GPU depends on the order in which blocks finish.
    """
    return (q @ k.mT * q.shape[-1] ** -0.5 + bias).softmax(dim=-1) @ v
