"""MobileFaceNet (Chen et al. 2018), the landmark branch's backbone.

As POSTER++ (Mao et al. 2023) takes its maps from it: the variant that cunjian/pytorch_face_landmark trained on 68
landmarks. POSTER++ shows it RGB faces of 112x112, standardised with ImageNet's mean and deviation.
"""

from collections import OrderedDict

from torch import Tensor, nn

from components.model.pretrained import Layout


def convolve(channels_in: int, channels_out: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution that keeps the size (but for its stride), its norm and its PReLU."""
    convolution = nn.Conv2d(channels_in, channels_out, size, stride, size // 2, groups=groups, bias=False)
    activation = nn.PReLU(channels_out)
    return nn.Sequential(OrderedDict(convolution=convolution, norm=nn.BatchNorm2d(channels_out), activation=activation))


class InvertedResidual(nn.Module):
    """Expand, filter each channel alone, project linearly (Sandler et al. 2018); an identity around it at stride 1."""

    def __init__(self, channels_in: int, channels_out: int, expanded: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.expand = convolve(channels_in, expanded, 1)
        self.depthwise = convolve(expanded, expanded, 3, stride, groups=expanded)
        convolution = nn.Conv2d(expanded, channels_out, 1, bias=False)
        self.project = nn.Sequential(OrderedDict(convolution=convolution, norm=nn.BatchNorm2d(channels_out)))

    def forward(self, x: Tensor) -> Tensor:
        projected = self.project(self.depthwise(self.expand(x)))
        return x + projected if self.stride == 1 else projected  # (B, C_out, H/stride, W/stride)


class MobileFaceNet(nn.Module):
    """Faces (B, 3, H, W), made for 112x112, to (B, 64, H/4, W/4), (B, 128, H/8, W/8) and (B, 512, H/16, W/16)."""

    channels = (64, 128, 512)

    def __init__(self) -> None:
        super().__init__()
        self.stem = convolve(3, 64, 3, stride=2)
        self.stem_depthwise = convolve(64, 64, 3, groups=64)
        self.to_quarter = InvertedResidual(64, 64, 128, stride=2)
        self.quarter = nn.Sequential(*(InvertedResidual(64, 64, 128) for _ in range(4)))
        self.to_eighth = InvertedResidual(64, 128, 256, stride=2)
        self.eighth = nn.Sequential(*(InvertedResidual(128, 128, 256) for _ in range(6)))
        self.to_sixteenth = InvertedResidual(128, 128, 512, stride=2)
        self.sixteenth = nn.Sequential(*(InvertedResidual(128, 128, 256) for _ in range(2)))
        self.widen = convolve(128, 512, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        quarter = self.quarter(self.to_quarter(self.stem_depthwise(self.stem(x))))  # (B, 64, H/4, W/4)
        eighth = self.eighth(self.to_eighth(quarter))  # (B, 128, H/8, W/8)
        return quarter, eighth, self.widen(self.sixteenth(self.to_sixteenth(eighth)))  # (B, 512, H/16, W/16)


LAYOUT: Layout = {
    r"^stem\.": "conv1.",
    r"^stem_depthwise\.": "conv2_dw.",
    r"^to_quarter\.": "conv_23.",
    r"^quarter\.": "conv_3.model.",
    r"^to_eighth\.": "conv_34.",
    r"^eighth\.": "conv_4.model.",
    r"^to_sixteenth\.": "conv_45.",
    r"^sixteenth\.": "conv_5.model.",
    r"^widen\.": "conv_6_sep.",
    r"\.expand\.": ".conv.",
    r"\.depthwise\.": ".conv_dw.",
    r"\.convolution\.": ".conv.",
    r"\.norm\.": ".bn.",
    r"\.activation\.": ".prelu.",
}
LAYOUTS = (LAYOUT,)
