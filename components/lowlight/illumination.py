"""Uneven light: up to three soft pools over an even ground."""

from typing import NamedTuple

import torch
from torch import Tensor

MOST_LOBES = 3
POOL_DRAWS = 2 + 4 * MOST_LOBES  # uniform numbers that describe the light of one photograph


class Pools(NamedTuple):
    """Pools of light, each the product of a bell over the rows and one over the columns."""

    rows: Tensor  # (B, lobes, H), 0 for a pool that is not there
    columns: Tensor  # (B, lobes, W)
    contrast: Tensor  # (B,) brightest point of the field over its ground


def draw_pools(draws: Tensor, size: torch.Size, lobes: int, contrast_cap: float) -> Pools:
    """0 to `lobes` pools, and a contrast from 1 to `contrast_cap`, from uniform numbers (B, POOL_DRAWS)."""
    number = (draws[:, :1] * (lobes + 1)).floor()
    contrast = 1 + draws[:, 1] * (contrast_cap - 1)
    places = draws[:, 2 : 2 + 4 * lobes].view(len(draws), lobes, 4, 1)
    x, y, spread, strength = places.unbind(2)  # each (B, lobes, 1)
    narrowness = -0.5 / (0.4 + 0.6 * spread) ** 2
    down, across = (torch.linspace(-1, 1, length, device=draws.device) for length in size)
    is_there = (torch.arange(lobes, device=draws.device) < number)[:, :, None]
    rows = torch.exp((down - (2 * y - 1)) ** 2 * narrowness) * ((0.5 + strength / 2) * is_there)
    columns = torch.exp((across - (2 * x - 1)) ** 2 * narrowness)
    return Pools(rows, columns, contrast)


def illumination(pools: Pools) -> Tensor:
    """(B, 1, H, W) smooth field with mean about 1."""
    batch, lobes, height = pools.rows.shape
    light = pools.rows.new_zeros(batch, height, pools.columns.shape[2])
    # in float64, so that the mean does not depend on how a device splits a sum
    row_means, column_means = (bells.mean(2, dtype=torch.float64) for bells in (pools.rows, pools.columns))
    mean = row_means.new_zeros(batch)
    for lobe in range(lobes):
        light += pools.rows[:, lobe, :, None] * pools.columns[:, lobe, None, :]
        mean += row_means[:, lobe] * column_means[:, lobe]
    scale = (pools.contrast - 1) / light.amax(dim=(1, 2)).clamp(min=1e-6)
    ground = 1 / (1 + scale * mean)
    return light.mul_((scale * ground).float()[:, None, None]).add_(ground.float()[:, None, None])[:, None]
