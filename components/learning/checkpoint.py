"""Weights and checkpoints: safetensors, with everything that is not a tensor as sorted JSON under one metadata key."""

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from components.atomic import replacing
from components.records import DataError

KEY = "lldif"


def write(path: Path, tensors: dict[str, Tensor], notes: dict[str, Any]) -> None:
    """The same tensors and notes give the same bytes."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps({"notes": notes, "sha256": digest(plain, notes)}, sort_keys=True)
    with replacing(path) as temporary:
        temporary.write_bytes(save(plain, metadata={KEY: text}))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and notes. Raises DataError where the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
            written = json.loads(file.metadata()[KEY])
        notes, recorded = written["notes"], written["sha256"]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a readable weights file ({error}); make it again") from None
    if digest(tensors, notes) != recorded:
        raise DataError(f"{path}: not a readable weights file (its checksum is wrong); make it again")
    return tensors, notes


def digest(tensors: dict[str, Tensor], notes: dict[str, Any]) -> str:
    """Of every name, shape, value and note: safetensors itself would read a flipped bit as another weight."""
    whole = hashlib.sha256(json.dumps(notes, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        whole.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()


def capture(network: nn.Module, optimizers: list[Optimizer]) -> dict[str, Tensor]:
    """Everything that moves in training, by name: network.*, optimizer.<which>.<parameter>.<quantity>."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for which, optimizer in enumerate(optimizers):
        for parameter, quantities in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{which}.{parameter}.{name}": value for name, value in quantities.items()}
    return tensors


def restore(tensors: dict[str, Tensor], network: nn.Module, optimizers: list[Optimizer]) -> None:
    """The inverse of `capture`, into a network and optimisers of the same shape."""
    network.load_state_dict({k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")})
    for which, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith(f"optimizer.{which}."):
                parameter, quantity = name.split(".")[2:]
                state.setdefault(int(parameter), {})[quantity] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        # a file knows one order in memory; AdamW's fused kernel goes through a weight and its moments side by side
        for parameter in itertools.chain.from_iterable(group["params"] for group in optimizer.param_groups):
            quantities = optimizer.state.get(parameter, {})
            for name, value in quantities.items():
                if value.shape == parameter.shape:
                    quantities[name] = torch.empty_like(parameter).copy_(value)
