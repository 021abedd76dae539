"""IR-50 against its published layout and an evaluation of its own, from the official names. Three seconds in all."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from components.model.ir50 import IR50, LAYOUTS
from components.model.pretrained import load
from components.records import DataError

STAGES = [(64, 64, 3), (64, 128, 4), (128, 256, 14), (256, 512, 3)]  # channels in, channels out, blocks


def norm_shapes(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def official_shapes(flat: bool) -> dict[str, tuple[int, ...]]:
    """Of a whole IR_50 in face.evoLVe's layout (`flat`, four stages), or of POSTER++'s three stages."""
    shapes = {"input_layer.0.weight": (64, 3, 3, 3), "input_layer.2.weight": (64,)} | norm_shapes("input_layer.1", 64)
    number = 0
    for stage, (channels_in, channels, count) in enumerate(STAGES if flat else STAGES[:3], start=1):
        for block in range(count):
            prefix = f"body.{number}" if flat else f"body{stage}.{block}"
            start = channels if block else channels_in
            shapes |= norm_shapes(f"{prefix}.res_layer.0", start) | norm_shapes(f"{prefix}.res_layer.4", channels)
            shapes[f"{prefix}.res_layer.1.weight"] = (channels, start, 3, 3)
            shapes[f"{prefix}.res_layer.2.weight"] = (channels,)
            shapes[f"{prefix}.res_layer.3.weight"] = (channels, channels, 3, 3)
            if start != channels:
                shapes[f"{prefix}.shortcut_layer.0.weight"] = (channels, start, 1, 1)
                shapes |= norm_shapes(f"{prefix}.shortcut_layer.1", channels)
            number += 1
    shapes |= norm_shapes("output_layer.0", 512) | norm_shapes("output_layer.4", 512)
    return shapes | {"output_layer.3.weight": (512, 512), "output_layer.3.bias": (512,)}  # far smaller than in earnest


def official(flat: bool) -> dict[str, Tensor]:
    """Random weights that keep a map's size about as it is, so that every layer is heard in the last."""
    made = {}
    for name, shape in official_shapes(flat).items():
        spread = 1 / torch.Size(shape[1:]).numel() ** 0.5 if len(shape) > 1 else 0.3
        made[name] = torch.randn(shape) * spread
        if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
            made[name] = made[name].abs() + 0.5
    return made


def norm(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    mean, variance, weight, bias = (
        weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x, mean, variance, weight, bias)


def expected(weights: dict[str, Tensor], x: Tensor, flat: bool) -> list[Tensor]:
    """The published network, from the official names alone."""
    x = F.prelu(
        norm(weights, "input_layer.1", F.conv2d(x, weights["input_layer.0.weight"], padding=1)),
        weights["input_layer.2.weight"],
    )
    maps, number = [], 0
    for stage, (_, _, count) in enumerate(STAGES[:3], start=1):
        for block in range(count):
            prefix, stride = f"body.{number}" if flat else f"body{stage}.{block}", 1 if block else 2
            inner = F.conv2d(
                norm(weights, f"{prefix}.res_layer.0", x), weights[f"{prefix}.res_layer.1.weight"], padding=1
            )
            inner = F.prelu(inner, weights[f"{prefix}.res_layer.2.weight"])
            inner = F.conv2d(inner, weights[f"{prefix}.res_layer.3.weight"], stride=stride, padding=1)
            projection = weights.get(f"{prefix}.shortcut_layer.0.weight")
            if projection is None:
                x = F.max_pool2d(x, 1, stride)
            else:
                x = norm(weights, f"{prefix}.shortcut_layer.1", F.conv2d(x, projection, stride=stride))
            x = x + norm(weights, f"{prefix}.res_layer.4", inner)
            number += 1
        maps.append(x)
    return maps


@pytest.mark.parametrize("flat", [False, True])
@torch.no_grad()
def test_official_weights_give_the_published_networks_maps(tmp_path, flat):
    weights, network, x = official(flat), IR50(), torch.rand(2, 3, 36, 36) * 2 - 1
    save_file(weights, tmp_path / "ir50.safetensors")
    unused = load(network, tmp_path / "ir50.safetensors", LAYOUTS)
    for ours, theirs in zip(network.eval()(x), expected(weights, x, flat), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * theirs.abs().max())
    allowed = ("output_layer.", "body.21.", "body.22.", "body.23.") if flat else ("output_layer.",)
    assert {name for name in weights if name.startswith(allowed)} == set(unused)


@torch.no_grad()
def test_the_maps_are_those_that_the_recogniser_expects():
    network = IR50().eval()
    assert [tuple(x.shape) for x in network(torch.zeros(1, 3, 112, 112))] == [
        (1, 64, 56, 56),
        (1, 128, 28, 28),
        (1, 256, 14, 14),
    ]
    assert network.channels == (64, 128, 256)


def test_it_has_as_many_parameters_as_the_published_three_stages():
    shapes = {k: v for k, v in official_shapes(False).items() if "running" not in k and "output_layer" not in k}
    published = sum(torch.Size(shape).numel() for shape in shapes.values())
    assert sum(value.numel() for value in IR50().parameters()) == published == 17_611_968


def test_a_missing_block_is_named_as_its_authors_name_it(tmp_path):
    weights = official(False)
    del weights["body3.13.res_layer.3.weight"]
    save_file(weights, tmp_path / "ir50.safetensors")
    with pytest.raises(DataError, match=r"no body3\.13\.res_layer\.3\.weight: IR50 needs it, of shape \(256, 256, 3"):
        load(IR50(), tmp_path / "ir50.safetensors", LAYOUTS)


def test_the_gradient_reaches_every_parameter():
    network = IR50()
    sum(x.square().mean() for x in network(torch.rand(2, 3, 32, 32))).backward()
    assert not [name for name, value in network.named_parameters() if not value.grad.any()]
