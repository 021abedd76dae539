"""Weights in their authors' layout: every name, every shape, one line where something is wrong. A second in all."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from components.model.pretrained import Layout, load, official_name
from components.records import DataError

FLAT: Layout = {r"^first\.": "body.0.", r"^norm\.": "body.1."}
NESTED: Layout = {r"^first\.": "stage.first.", r"^norm\.": "stage.bn."}


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)


def official(layout: Layout) -> dict[str, Tensor]:
    """Random weights for Small, as a file in this layout holds them, and a head that Small does not have."""
    torch.manual_seed(1)
    weights = {official_name(name, layout): torch.randn(tensor.shape) for name, tensor in Small().state_dict().items()}
    return {name: weight for name, weight in weights.items() if "num_batches" not in name} | {"head": torch.ones(2)}


def written(path: Path, weights: dict[str, Tensor]) -> Path:
    save_file(weights, path)
    return path


@pytest.mark.parametrize("layout", [FLAT, NESTED])
def test_the_layout_is_found_and_every_weight_is_taken(tmp_path, layout):
    network, weights = Small(), official(layout)
    assert load(network, written(tmp_path / "w.safetensors", weights), (FLAT, NESTED)) == ("head",)
    for name, tensor in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, weights[official_name(name, layout)]), name


def test_weights_saved_from_several_devices_are_read_too(tmp_path):
    weights, network = {f"module.{name}": weight for name, weight in official(FLAT).items()}, Small()
    assert load(network, written(tmp_path / "w.safetensors", weights), (FLAT,)) == ("head",)
    assert torch.equal(network.first.weight, weights["module.body.0.weight"])


def test_a_counter_of_batches_is_taken_where_there_is_one(tmp_path):
    network = Small()
    weights = official(FLAT) | {"body.1.num_batches_tracked": torch.tensor(7)}
    assert load(network, written(tmp_path / "w.safetensors", weights), (FLAT,)) == ("head",)
    assert network.norm.num_batches_tracked == 7


def test_half_precision_becomes_the_networks_own(tmp_path):
    network, weights = Small(), {name: weight.half() for name, weight in official(FLAT).items()}
    load(network, written(tmp_path / "w.safetensors", weights), (FLAT,))
    assert network.first.weight.dtype == torch.float32
    assert torch.equal(network.first.weight, weights["body.0.weight"].float())


def wrong(weights: dict[str, Tensor], how: str) -> dict[str, Tensor]:
    if how == "renamed":
        return {name.replace("body.1.bias", "body.1.beta"): weight for name, weight in weights.items()}
    if how == "foreign":
        return {"conv.weight": torch.ones(1)}
    return weights | {"body.0.weight": torch.ones(4, 1, 1, 1)}


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("renamed", "no body.1.bias: Small needs it, of shape (4,)"),
        ("foreign", "no body.0.weight (nor 5 others): Small needs it, of shape (4, 3, 1, 1)"),
        ("misshaped", "body.0.weight has shape (4, 1, 1, 1): allowed is (4, 3, 1, 1)"),
    ],
)
def test_a_wrong_file_is_one_line_and_changes_nothing(tmp_path, how, line):
    network = Small()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    path = written(tmp_path / "w.safetensors", wrong(official(FLAT), how))
    with pytest.raises(DataError) as error:
        load(network, path, (FLAT, NESTED))
    assert str(error.value) == f"{path}: {line}"
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 a pickle in a zip", b"\x10\0\0\0\0\0\0\0{"])
def test_what_is_no_safetensors_file_is_one_line(tmp_path, content):
    path = tmp_path / "weights.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as error:
        load(Small(), path, (FLAT,))
    assert str(error.value).startswith(f"{path}: cannot be read (")
    assert str(error.value).endswith("allowed is a .safetensors file")
    assert "\n" not in str(error.value)
