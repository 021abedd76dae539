"""MobileFaceNet against its published layout and an evaluation of its own, from the official names. A second in all."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from components.model.mobilefacenet import LAYOUTS, MobileFaceNet
from components.model.pretrained import load
from components.records import DataError

# name, channels in, channels out, channels inside, stride, blocks in a row (0: one block that stands alone)
UNITS = [
    ("conv_23", 64, 64, 128, 2, 0),
    ("conv_3", 64, 64, 128, 1, 4),
    ("conv_34", 64, 128, 256, 2, 0),
    ("conv_4", 128, 128, 256, 1, 6),
    ("conv_45", 128, 128, 512, 2, 0),
    ("conv_5", 128, 128, 256, 1, 2),
]


def convolution_shapes(name: str, filters: tuple[int, ...], activation: bool = True) -> dict[str, tuple[int, ...]]:
    shapes = {f"{name}.conv.weight": filters}
    shapes |= {f"{name}.bn.{part}": filters[:1] for part in ("weight", "bias", "running_mean", "running_var")}
    return shapes | ({f"{name}.prelu.weight": filters[:1]} if activation else {})


def blocks(name: str, count: int) -> list[str]:
    return [f"{name}.model.{number}" for number in range(count)] or [name]


def official_shapes() -> dict[str, tuple[int, ...]]:
    shapes = convolution_shapes("conv1", (64, 3, 3, 3)) | convolution_shapes("conv2_dw", (64, 1, 3, 3))
    for name, channels_in, channels_out, inside, _, count in UNITS:
        for block in blocks(name, count):
            shapes |= convolution_shapes(f"{block}.conv", (inside, channels_in, 1, 1))
            shapes |= convolution_shapes(f"{block}.conv_dw", (inside, 1, 3, 3))
            shapes |= convolution_shapes(f"{block}.project", (channels_out, inside, 1, 1), activation=False)
    shapes |= convolution_shapes("conv_6_sep", (512, 128, 1, 1))
    shapes |= convolution_shapes("output_layer.conv_6_dw", (512, 1, 7, 7), activation=False)
    shapes |= {f"output_layer.bn.{part}": (136,) for part in ("weight", "bias", "running_mean", "running_var")}
    return shapes | {"output_layer.linear.weight": (136, 512)}


def official() -> dict[str, Tensor]:
    """Random weights that keep a map's size about as it is, so that every layer is heard in the last."""
    made = {}
    for name, shape in official_shapes().items():
        spread = 1 / torch.Size(shape[1:]).numel() ** 0.5 if len(shape) > 1 else 0.3
        made[name] = torch.randn(shape) * spread
        if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
            made[name] = made[name].abs() + 0.5
    return made


def convolve(weights: dict[str, Tensor], name: str, x: Tensor, stride: int = 1) -> Tensor:
    filters = weights[f"{name}.conv.weight"]
    groups = x.shape[1] // filters.shape[1]
    x = F.conv2d(x, filters, stride=stride, padding=filters.shape[-1] // 2, groups=groups)
    parts = ("running_mean", "running_var", "weight", "bias")
    x = F.batch_norm(x, *(weights[f"{name}.bn.{part}"] for part in parts))
    return F.prelu(x, weights[f"{name}.prelu.weight"]) if f"{name}.prelu.weight" in weights else x


def expected(weights: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """The published network, from the official names alone."""
    x = convolve(weights, "conv2_dw", convolve(weights, "conv1", x, stride=2))
    maps = {}
    for name, _, _, _, stride, count in UNITS:
        for block in blocks(name, count):
            inside = convolve(weights, f"{block}.conv_dw", convolve(weights, f"{block}.conv", x), stride)
            projected = convolve(weights, f"{block}.project", inside)
            x = x + projected if count else projected
        maps[name] = x
    return [maps["conv_3"], maps["conv_4"], convolve(weights, "conv_6_sep", x)]


@torch.no_grad()
def test_official_weights_give_the_published_networks_maps(tmp_path):
    weights, network, x = official(), MobileFaceNet(), torch.randn(2, 3, 48, 48)
    save_file(weights, tmp_path / "landmarks.safetensors")
    unused = load(network, tmp_path / "landmarks.safetensors", LAYOUTS)
    for ours, theirs in zip(network.eval()(x), expected(weights, x), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * theirs.abs().max())
    assert {name for name in weights if name.startswith("output_layer.")} == set(unused)


@torch.no_grad()
def test_the_maps_are_those_that_the_recogniser_expects():
    network = MobileFaceNet().eval()
    assert [tuple(x.shape) for x in network(torch.zeros(1, 3, 112, 112))] == [
        (1, 64, 28, 28),
        (1, 128, 14, 14),
        (1, 512, 7, 7),
    ]
    assert network.channels == (64, 128, 512)


def test_it_has_as_many_parameters_as_the_published_network_without_its_head():
    shapes = {k: v for k, v in official_shapes().items() if "running" not in k and "output_layer" not in k}
    published = sum(torch.Size(shape).numel() for shape in shapes.values())
    assert sum(value.numel() for value in MobileFaceNet().parameters()) == published == 911_232


def test_a_misshaped_weight_is_named_as_its_authors_name_it(tmp_path):
    weights = official() | {"conv_4.model.5.project.conv.weight": torch.zeros(128, 128, 1, 1)}
    save_file(weights, tmp_path / "landmarks.safetensors")
    line = r"conv_4\.model\.5\.project\.conv\.weight has shape \(128, 128, 1, 1\): allowed is \(128, 256, 1, 1\)"
    with pytest.raises(DataError, match=line):
        load(MobileFaceNet(), tmp_path / "landmarks.safetensors", LAYOUTS)


def test_the_gradient_reaches_every_parameter():
    network = MobileFaceNet()
    sum(x.square().mean() for x in network(torch.rand(2, 3, 32, 32))).backward()
    assert not [name for name, value in network.named_parameters() if not value.grad.any()]
