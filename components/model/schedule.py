"""The diffusion schedule of DiffIR [D] and its sampler, as functions of numbers and tensors."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Schedule:
    """beta_t, abar_t, the posterior's weights and its deviation, each a tuple of T numbers, t = 1 .. T."""

    beta: tuple[float, ...]
    abar: tuple[float, ...]
    weight_z0: tuple[float, ...]
    weight_zt: tuple[float, ...]
    deviation: tuple[float, ...]  # 0 at t = 1

    @property
    def steps(self) -> int:
        return len(self.beta)


def schedule(steps: int, low: float, high: float) -> Schedule:
    """beta = linspace(sqrt low, sqrt high, T)^2; with .1 and .99 [D], at T = 4 abar ends at .0026, near pure noise.

    A single step has the last beta, not the first, which would leave .9 of the true Z in what chains start from.
    """
    beta = torch.linspace(high**0.5, low**0.5, steps, dtype=torch.float64).flip(0) ** 2
    abar = torch.cumprod(1 - beta, dim=0)
    before = torch.cat([torch.ones(1, dtype=torch.float64), abar[:-1]])
    weight_z0 = before.sqrt() * beta / (1 - abar)
    weight_zt = (1 - beta).sqrt() * (1 - before) / (1 - abar)
    deviation = (beta * (1 - before) / (1 - abar)).sqrt()
    return Schedule(*(tuple(values.tolist()) for values in (beta, abar, weight_z0, weight_zt, deviation)))


def predicted_z0(z_t: Tensor, noise: Tensor, abar: float) -> Tensor:
    """The Z_0 that a predicted noise implies: the text of [L] writes the reverse step in this form."""
    return (z_t - (1 - abar) ** 0.5 * noise) / abar**0.5


def sample(denoise: Callable[[Tensor, int], Tensor], z: Tensor, plan: Schedule, noise: Tensor | None = None) -> Tensor:
    """Unroll all T reverse steps from Z_T (B, C): the posterior's mean at each [D].

    With standard normal `noise` (T, B, C) each step is a draw from the posterior (Ho et al. 2020), the last its mean.
    `denoise(z_t, t)` predicts Z_0. Gradients pass through every step.
    """
    for t in reversed(range(plan.steps)):
        z = plan.weight_z0[t] * denoise(z, t) + plan.weight_zt[t] * z
        if noise is not None:
            z = z + plan.deviation[t] * noise[t]
    return z  # (B, C)
