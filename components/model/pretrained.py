"""Pretrained weights from a file in their authors' layout, into a network of ours.

A layout is data: regular expressions that turn a name of ours into the official one. Files are .safetensors. A .pth is
a pickle, which can run anything when it is read, and is never opened here: convert it once, where that may happen,
with safetensors' own tool (convert.py of its repository), or by its `save_file(state_dict, path)` for torch.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import nn

from components.records import DataError

Layout = dict[str, str]  # pattern in a name of ours -> what stands there in the official name, applied in order

PARALLEL = "module."  # torch's DataParallel puts it before every name
COUNTER = "num_batches_tracked"  # of a batch norm: unused with a momentum, and unknown to torch before 0.4.1


def load(network: nn.Module, path: Path, layouts: Sequence[Layout]) -> tuple[str, ...]:
    """Fill all of `network` from the file, by the layout that knows most of its names.

    Returns the official names that the network has no place for: a landmark head, later stages. Raises DataError, and
    leaves the network as it was, where the file cannot be read, or a tensor is missing or has another shape.
    """
    state = network.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            there = {name.removeprefix(PARALLEL): name for name in file.keys()}  # noqa: SIM118 (it is no mapping)
            named = [{ours: official_name(ours, layout) for ours in state} for layout in layouts]
            names = max(named, key=lambda names: len(there.keys() & names.values()))
            missing = [ours for ours in state if names[ours] not in there and not ours.endswith(COUNTER)]
            if missing:
                others = f" (nor {len(missing) - 1} others)" if len(missing) > 1 else ""
                need = f"{type(network).__name__} needs it, of shape {tuple(state[missing[0]].shape)}"
                raise DataError(f"{path}: no {names[missing[0]]}{others}: {need}")
            found = {ours: there[official] for ours, official in names.items() if official in there}
            for ours, name in found.items():
                shape, allowed = tuple(file.get_slice(name).get_shape()), tuple(state[ours].shape)
                if shape != allowed:
                    raise DataError(f"{path}: {name} has shape {shape}: allowed is {allowed}")
            tensors = {ours: file.get_tensor(name) for ours, name in found.items()}
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read ({reason}): allowed is a .safetensors file") from None
    network.load_state_dict(tensors, strict=False)  # a counter may be missing
    return tuple(sorted(there.keys() - names.values()))


def official_name(name: str, layout: Layout) -> str:
    """What the authors of the weights call the tensor that is `name` here."""
    for pattern, replacement in layout.items():
        name = re.sub(pattern, replacement, name)
    return name
