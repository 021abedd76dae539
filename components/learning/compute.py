"""Everything about the machine that changes bytes."""

from typing import Literal

import torch
from pydantic import Field

from components.config import Config


class Compute(Config):
    seed: int = Field(ge=0, lt=2**32)
    threads: int = Field(ge=1)
    precision: Literal["float32", "bfloat16"]


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def prepare(compute: Compute) -> None:
    """Same machine type, same bytes on CPU: threads are a parameter, kernels deterministic, initial weights seeded."""
    torch.set_num_threads(compute.threads)
    torch.use_deterministic_algorithms(device().type == "cpu")
    # deterministic mode fills whatever is allocated: a twentieth of a step, for memory that is written first anyhow
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.manual_seed(compute.seed)
