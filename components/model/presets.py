"""Named sizes of the recogniser, and what a network costs."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

Three = tuple[int, int, int]  # one number per scale, from the finest to the coarsest


@dataclass(frozen=True)
class DLNetSizes:
    """The second branch. Own encoders have a stem and three scales as the first branch has them."""

    stem: tuple[int, ...]
    channels: Three  # of O1 .. O3
    convolutions: Three
    heads: Three  # of the cross-attention
    windows: Three  # their sides


@dataclass(frozen=True)
class Sizes:
    """What a preset fixes. The stem and each scale halve the side of what they are given, the stem once a channel."""

    stem: tuple[int, ...]  # channels after each convolution
    stem_convolutions: int  # residual blocks of two convolutions behind each of these
    channels: Three  # of F1 .. F3
    convolutions: Three  # residual blocks at each scale
    blocks: Three  # pairs of DMNet and DGNet at each scale, on the way down
    up_blocks: tuple[int, int]  # the same on the way up, at scales 1 and 2; none: there is no way up
    heads: Three  # of DMNet
    gate_expansion: int  # of DGNet
    dlnet: DLNetSizes
    token_channels: int
    fusion_heads: int
    fusion_depth: int
    fusion_expansion: int  # of the fusion's MLP
    pooled_path: bool  # the maps' means, through a norm and a linear layer, are added to what the fusion makes


PRESETS = {
    # 48 or 64 px on a CPU: few kernels, and little at the finest scale, where they take most of the time
    "tiny": Sizes(
        stem=(16,),
        stem_convolutions=0,
        channels=(32, 64, 80),
        convolutions=(1, 0, 0),
        blocks=(1, 1, 1),
        up_blocks=(0, 0),
        heads=(1, 2, 2),
        gate_expansion=1,
        dlnet=DLNetSizes(stem=(8,), channels=(16, 32, 48), convolutions=(0, 1, 0), heads=(1, 1, 1), windows=(4, 4, 4)),
        token_channels=80,
        fusion_heads=2,
        fusion_depth=1,
        fusion_expansion=2,
        pooled_path=False,
    ),
    # 48 px on a CPU that has an hour: most of its work in convolutions, to learn nearly as fast as a ResNet-18 of as
    # many parameters, and dynamic blocks at the two coarser scales alone (benchmarks/NOTES.md)
    "small": Sizes(
        stem=(32,),
        stem_convolutions=2,
        channels=(48, 64, 64),
        convolutions=(2, 1, 0),
        blocks=(0, 1, 1),
        up_blocks=(0, 0),
        heads=(1, 2, 2),
        gate_expansion=1,
        dlnet=DLNetSizes(stem=(8,), channels=(16, 32, 48), convolutions=(0, 1, 0), heads=(1, 1, 1), windows=(4, 4, 4)),
        token_channels=64,
        fusion_heads=2,
        fusion_depth=1,
        fusion_expansion=2,
        pooled_path=True,
    ),
    # 48 or 64 px on a GPU: small's layout, twice as wide, with dynamic blocks at all scales and a way up
    "base": Sizes(
        stem=(64,),
        stem_convolutions=2,
        channels=(96, 128, 128),
        convolutions=(2, 1, 0),
        blocks=(1, 1, 1),
        up_blocks=(1, 1),
        heads=(2, 4, 4),
        gate_expansion=1,
        dlnet=DLNetSizes(
            stem=(32,), channels=(32, 64, 128), convolutions=(1, 1, 1), heads=(1, 2, 4), windows=(4, 4, 4)
        ),
        token_channels=128,
        fusion_heads=4,
        fusion_depth=2,
        fusion_expansion=2,
        pooled_path=True,
    ),
    # the layout of [V]: 224 px, maps of 28, 14 and 7, each one window; tokens of 768 channels. 112 px work as well
    "paper": Sizes(
        stem=(32, 48),
        stem_convolutions=0,
        channels=(64, 128, 256),
        convolutions=(1, 1, 1),
        blocks=(2, 2, 2),
        up_blocks=(1, 1),
        heads=(2, 4, 8),
        gate_expansion=2,
        dlnet=DLNetSizes(
            stem=(32, 48), channels=(64, 128, 256), convolutions=(1, 1, 1), heads=(2, 4, 8), windows=(28, 14, 7)
        ),
        token_channels=768,
        fusion_heads=8,
        fusion_depth=2,
        fusion_expansion=4,
        pooled_path=False,
    ),
}


def cost(network: nn.Module, *inputs: Tensor) -> tuple[int, int]:
    """Parameters, frozen ones too, and floating-point operations (two a multiply-add) of one forward pass of `inputs`.

    Counted are convolutions and products of matrices. The network comes back in evaluation mode.
    """
    with FlopCounterMode(display=False) as counter:  # with gradients: its hooks ask for them
        network.eval()(*inputs)
    return sum(value.numel() for value in network.parameters()), counter.get_total_flops()
