"""Named sizes of the recogniser, and what a network costs."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

Three = tuple[int, int, int]  # one number per scale, from the finest to the coarsest


@dataclass(frozen=True)
class Sizes:
    """What a preset fixes. Maps of the three scales have 1/4, 1/8 and 1/16 of the image's side, times 4 / `stride`."""

    stride: int  # from the image to the finest scale: 4 or 8
    stem_channels: int
    channels: Three  # of F1 .. F3
    convolutions: Three  # residual blocks of two convolutions at each scale
    blocks: Three  # pairs of DMNet and DGNet at each scale, on the way down
    up_blocks: tuple[int, int]  # the same on the way up, to scale 2 and to scale 1; none: there is no way up
    heads: Three  # of DMNet
    gate_expansion: int  # of DGNet
    token_channels: int
    fusion_heads: int
    fusion_depth: int
    fusion_expansion: int  # of the fusion's MLP


PRESETS = {
    # 48 or 64 px on a CPU: few kernels, and little at the finest scale, where they take most of the time
    "tiny": Sizes(4, 16, (32, 64, 80), (1, 0, 0), (1, 1, 1), (0, 0), (1, 2, 2), 1, 80, 2, 1, 2),
}


def cost(network: nn.Module, *inputs: torch.Tensor) -> tuple[int, int]:
    """Parameters, frozen ones too, and floating-point operations (two a multiply-add) of one forward pass of `inputs`.

    Counted are convolutions and products of matrices.
    """
    parameters = sum(value.numel() for value in network.parameters())
    was_training = network.training
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(*inputs)
    network.train(was_training)
    return parameters, counter.get_total_flops()
