"""Weights from elsewhere are the very file that the params name."""

import hashlib

import pytest
import torch
from safetensors.torch import save_file

from components.model import mobilefacenet
from components.model.llformer import LLformer, LLformerConfig
from components.model.mobilefacenet import MobileFaceNet
from components.model.pretrained import official_name
from components.model.weights import WeightsConfig, WeightsFile, fill
from components.records import DataError


@pytest.fixture
def file(tmp_path):
    """MobileFaceNet with every weight drawn anew, in its authors' names; and its digest."""
    torch.manual_seed(5)
    tensors = {name: torch.rand_like(value.float()) for name, value in MobileFaceNet().state_dict().items()}
    layout = mobilefacenet.LAYOUTS[0]
    save_file({official_name(name, layout): value for name, value in tensors.items()}, tmp_path / "w.safetensors")
    digest = hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    return WeightsFile(path=str(tmp_path / "w.safetensors"), sha256=digest), tensors


def test_a_pretrained_branch_is_filled_from_its_file_wherever_it_stands(file):
    given, tensors = file
    config = LLformerConfig(
        preset="tiny", modulation="residual", landmarks="mobilefacenet", images="own", drop_path=0.0
    )
    network = LLformer(config, 1, 16, 3, image_channels=1, frozen_landmarks=True)
    fill(network, WeightsConfig(ir50=None, mobilefacenet=given))
    inside = next(module for module in network.modules() if isinstance(module, MobileFaceNet)).state_dict()
    floats = [name for name in tensors if inside[name].is_floating_point()]
    assert len(floats) > 100
    assert all(torch.equal(inside[name], tensors[name]) for name in floats)


def test_without_a_file_nothing_changes():
    network = MobileFaceNet()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fill(network, WeightsConfig(ir50=None, mobilefacenet=None))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_another_file_than_the_params_name_is_one_line(file, tmp_path):
    other = file[0].model_copy(update={"sha256": "0" * 64})
    with pytest.raises(DataError, match=r"^[^\n]*w.safetensors: sha256 [0-9a-f]{64}: allowed is 0{64}[^\n]*$"):
        fill(MobileFaceNet(), WeightsConfig(ir50=None, mobilefacenet=other))
    gone = file[0].model_copy(update={"path": str(tmp_path / "none")})
    with pytest.raises(DataError, match=r"^[^\n]*none: no such file: allowed is that of model.weights.mobilefacenet"):
        fill(MobileFaceNet(), WeightsConfig(ir50=None, mobilefacenet=gone))
