"""Weights from elsewhere: which file a pretrained branch is filled from, and that it is that very file."""

from pathlib import Path

from pydantic import Field
from torch import nn

from components.config import Config
from components.model import ir50, mobilefacenet, pretrained
from components.records import DataError, file_sha256

BRANCHES = {
    "ir50": (ir50.IR50, ir50.LAYOUTS),
    "mobilefacenet": (mobilefacenet.MobileFaceNet, mobilefacenet.LAYOUTS),
}


class WeightsFile(Config):
    """A safetensors file in its authors' layout; the digest makes it part of the params, and so of the fingerprint."""

    path: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class WeightsConfig(Config):
    """One file for each pretrained branch; none leaves the branch as it was drawn."""

    ir50: WeightsFile | None
    mobilefacenet: WeightsFile | None


def fill(network: nn.Module, config: WeightsConfig) -> None:
    """Load every IR50 and MobileFaceNet within `network` from its file. Raises DataError where it is another file."""
    for name, (kind, layouts) in BRANCHES.items():
        file: WeightsFile | None = getattr(config, name)
        for module in network.modules():
            if file and isinstance(module, kind):
                pretrained.load(module, verified(file, name), layouts)


def verified(file: WeightsFile, name: str) -> Path:
    path = Path(file.path)
    if not path.is_file():
        raise DataError(f"{path}: no such file: allowed is that of model.weights.{name}, sha256 {file.sha256}")
    if (found := file_sha256(path)) != file.sha256:
        raise DataError(f"{path}: sha256 {found}: allowed is {file.sha256}, as model.weights.{name} says")
    return path
