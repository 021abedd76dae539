"""IR-50, the image branch's backbone: the residual network of ArcFace (Deng et al. 2019), pretrained on identities.

As in POSTER++ (Mao et al. 2023), which keeps three of its four stages. Faces come in RGB, with values in [-1, 1], as
face.evoLVe's weights saw them.
"""

from collections import OrderedDict

from torch import Tensor, nn

from components.model.pretrained import Layout

BLOCKS = (3, 4, 14)  # of each stage


class ImprovedResidualBlock(nn.Module):
    """Norm, convolution, PReLU, strided convolution, norm; around a shortcut that only ever subsamples or projects."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.input_norm = nn.BatchNorm2d(channels_in)
        self.first_convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.activation = nn.PReLU(channels_out)
        self.second_convolution = nn.Conv2d(channels_out, channels_out, 3, stride=stride, padding=1, bias=False)
        self.output_norm = nn.BatchNorm2d(channels_out)
        self.projects = channels_in != channels_out
        if self.projects:
            self.shortcut_convolution = nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False)
            self.shortcut_norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        if self.projects:
            shortcut = self.shortcut_norm(self.shortcut_convolution(x))
        else:
            shortcut = x[:, :, :: self.stride, :: self.stride]
        x = self.activation(self.first_convolution(self.input_norm(x)))
        return shortcut + self.output_norm(self.second_convolution(x))  # (B, C_out, H/stride, W/stride)


class IR50(nn.Module):
    """Faces (B, 3, H, W), made for 112x112, to (B, 64, H/2, W/2), (B, 128, H/4, W/4) and (B, 256, H/8, W/8)."""

    channels = (64, 128, 256)

    def __init__(self) -> None:
        super().__init__()
        convolution = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.stem = nn.Sequential(
            OrderedDict(convolution=convolution, norm=nn.BatchNorm2d(64), activation=nn.PReLU(64))
        )
        self.stages = nn.ModuleList()
        for channels_in, channels_out, count in zip((64, 64, 128), self.channels, BLOCKS, strict=True):
            first = ImprovedResidualBlock(channels_in, channels_out, stride=2)
            rest = [ImprovedResidualBlock(channels_out, channels_out, stride=1) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(first, *rest))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first = self.stages[0](self.stem(x))  # (B, 64, H/2, W/2)
        second = self.stages[1](first)  # (B, 128, H/4, W/4)
        return first, second, self.stages[2](second)  # (B, 256, H/8, W/8)


INSIDE: Layout = {
    r"^stem\.convolution\.": "input_layer.0.",
    r"^stem\.norm\.": "input_layer.1.",
    r"^stem\.activation\.": "input_layer.2.",
    r"\.input_norm\.": ".res_layer.0.",
    r"\.first_convolution\.": ".res_layer.1.",
    r"\.activation\.": ".res_layer.2.",
    r"\.second_convolution\.": ".res_layer.3.",
    r"\.output_norm\.": ".res_layer.4.",
    r"\.shortcut_convolution\.": ".shortcut_layer.0.",
    r"\.shortcut_norm\.": ".shortcut_layer.1.",
}
POSTER: Layout = {rf"^stages\.{stage}\.": f"body{stage + 1}." for stage in range(3)} | INSIDE
PLACES = [(stage, block) for stage, count in enumerate(BLOCKS) for block in range(count)]
EVOLVE: Layout = {rf"^stages\.{s}\.{b}\.": f"body.{number}." for number, (s, b) in enumerate(PLACES)} | INSIDE
LAYOUTS = (
    POSTER,
    EVOLVE,
)  # the same blocks, numbered by stage or through all stages (face.evoLVe, InsightFace_Pytorch)
