"""Optimisers: Muon on matrices, AdamW on everything else, one cosine for both."""

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from components.config import Config


class OptimConfig(Config):
    """Learning rates at their highest; both follow the same warm-up and cosine."""

    kind: Literal["adamw", "muon"]
    adamw_rate: float = Field(gt=0)
    muon_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    warmup_share: float = Field(ge=0, lt=1)  # of all steps


def optimizers(network: nn.Module, config: OptimConfig) -> list[Optimizer]:
    """One optimiser per kind of parameter. Biases, norms and embeddings are not decayed.

    Each of their groups keeps its `highest` rate, of which a schedule takes a share.
    """
    named = [(name, value) for name, value in network.named_parameters() if value.requires_grad]
    matrices = [value for name, value in named if is_matrix(name, value)]
    others = [(name, value) for name, value in named if not is_matrix(name, value)]
    if config.kind == "adamw":
        matrices, others = [], named
    decayed = [value for name, value in others if value.ndim > 1 and not is_embedding(name)]
    free = [value for name, value in others if value.ndim <= 1 or is_embedding(name)]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    adamw = AdamW([group for group in groups if group["params"]], lr=config.adamw_rate, betas=(0.9, 0.98), fused=True)
    found: list[Optimizer] = [adamw]
    if matrices:
        found.append(Muon(matrices, config.muon_rate, config.weight_decay))
    for group in itertools.chain.from_iterable(optimiser.param_groups for optimiser in found):
        group["highest"] = group["lr"]
    return found


def is_matrix(name: str, value: Tensor) -> bool:
    """Weights that mix channels: not the head, not embeddings, not depthwise filters, no single row."""
    mixes = value.ndim in (2, 4) and min(value.shape[:2]) > 1
    return mixes and "head" not in name and not is_embedding(name)


def is_embedding(name: str) -> bool:
    return "embedding" in name or "position" in name


def rate(step: int, steps: int, config: OptimConfig) -> float:
    """The share of the highest rate at `step` of `steps`: linear warm-up, then a cosine to zero."""
    warmup = max(1, round(config.warmup_share * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


class Muon(Optimizer):
    """Momentum, orthogonalised: each matrix moves by the nearest orthogonal matrix to its momentum (Jordan 2024)."""

    def __init__(self, params: Iterable[Tensor], lr: float, weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            moving = [value for value in group["params"] if value.grad is not None]  # the others' part waits
            for values in alike(moving):
                updates = orthogonalise(torch.stack([wide(self.ahead(value, group["momentum"])) for value in values]))
                for value, update in zip(values, updates, strict=True):
                    rows, columns = value.flatten(1).shape
                    value.mul_(1 - group["lr"] * group["weight_decay"])
                    update = update.mT if rows > columns else update
                    value.add_(update.reshape(value.shape), alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)

    def ahead(self, value: Tensor, share: float) -> Tensor:
        """Nesterov: the gradient moved towards the momentum, once the momentum has moved towards the gradient."""
        state = self.state[value]
        if not state:
            state["momentum"] = torch.zeros_like(value)
        assert value.grad is not None
        momentum = state["momentum"].lerp_(value.grad, 1 - share)
        return value.grad.lerp(momentum, share)


def alike(values: Iterable[Tensor]) -> list[list[Tensor]]:
    """Grouped by the shape of their wide form, so that one product serves a whole group."""
    groups: dict[torch.Size, list[Tensor]] = {}
    for value in values:
        groups.setdefault(wide(value).shape, []).append(value)
    return list(groups.values())


def wide(value: Tensor) -> Tensor:
    """As a matrix with no more rows than columns."""
    matrix = value.flatten(1)
    return matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix


def orthogonalise(x: Tensor) -> Tensor:
    """Five Newton-Schulz steps with Jordan's coefficients: singular values end between about .7 and 1.2.

    Of wide matrices (N, rows, columns), each by itself.
    """
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        polynomial = torch.baddbmm(square, square, square, beta=-4.7750, alpha=2.0315)
        x = torch.baddbmm(x, polynomial, x, beta=3.4445)
    return x
