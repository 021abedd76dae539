"""Everything about the machine that changes bytes."""

from typing import Literal

import torch
from pydantic import Field

from components.config import Config


class Compute(Config):
    seed: int = Field(ge=0, lt=2**32)
    threads: int = Field(ge=1)
    precision: Literal["auto", "float32", "bfloat16"]  # of training; auto: bfloat16 where the device computes in it


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def own_precision() -> str:
    """What "auto" means here: bfloat16 where the device multiplies in it itself, else float32.

    Where it does not, PyTorch emulates bfloat16: right, and ten times slower than float32 (benchmarks/NOTES.md).
    """
    if device().type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    able = torch.cpu.get_capabilities()
    native = any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))  # the last: ARM
    return "bfloat16" if native else "float32"


def meant(precision: str) -> str:
    """float32 or bfloat16, where a params file may say "auto"."""
    return own_precision() if precision == "auto" else precision


def autocast(compute: Compute) -> torch.autocast:
    """What the forward pass of a training runs under: bfloat16, or nothing changed."""
    return torch.autocast(device().type, torch.bfloat16, enabled=meant(compute.precision) == "bfloat16")


def kind() -> str:
    """Of device, as far as it decides what a training does."""
    return f"{device().type}, {own_precision()}"


def prepare(compute: Compute) -> None:
    """Same machine type, same bytes on CPU: threads are a parameter, kernels deterministic, initial weights seeded."""
    torch.set_num_threads(compute.threads)
    # the same as use_deterministic_algorithms, which also sets up the compiler we do not use: four seconds a process
    torch.set_deterministic_debug_mode("error" if device().type == "cpu" else "default")
    # deterministic mode fills whatever is allocated: a twentieth of a step, for memory that is written first anyhow
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.allow_tf32 = False  # float32 is to mean it: cuDNN would keep ten bits of a factor's 23
    torch.manual_seed(compute.seed)
