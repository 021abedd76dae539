"""The light field: smooth, of mean one, of bounded contrast."""

import pytest
import torch

from components.lowlight.illumination import POOL_DRAWS, draw_pools, illumination

SIZE = torch.Size([64, 48])


def draws(count: int) -> torch.Tensor:
    return torch.rand(count, POOL_DRAWS, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("lobes", "contrast"), [(0, 3.0), (1, 2.0), (3, 5.0), (3, 1.0)])
def test_the_light_field_is_smooth_with_mean_one_and_bounded_contrast(lobes, contrast):
    field = illumination(draw_pools(draws(100), SIZE, lobes, contrast))
    assert field.shape == (100, 1, 64, 48)
    assert torch.allclose(field.mean((1, 2, 3)), torch.ones(100), atol=1e-5)
    assert (field.amax((1, 2, 3)) / field.amin((1, 2, 3))).max() <= contrast * (1 + 1e-5)
    assert field.diff(dim=2).abs().max() < 0.25
    if lobes == 0 or contrast == 1:
        assert torch.allclose(field, torch.ones_like(field), atol=1e-5)
    else:
        assert (field.std((1, 2, 3)) > 0.01).float().mean() > 0.3


def test_a_pool_is_brightest_at_its_place():
    one = torch.zeros(1, POOL_DRAWS)
    one[0, :6] = torch.tensor([0.5, 1.0, 0.25, 0.75, 0.0, 1.0])  # one pool of two, full contrast, at a quarter, narrow
    field = illumination(draw_pools(one, SIZE, 2, 3.0))[0, 0]
    row, column = divmod(int(field.argmax()), SIZE[1])
    assert abs(row - 0.75 * 63) <= 1
    assert abs(column - 0.25 * 47) <= 1
    assert float(field.max() / field.min()) == pytest.approx(3, rel=0.05)


def test_every_number_of_pools_up_to_the_most_is_as_likely():
    rows = draw_pools(draws(4000), SIZE, 3, 3.0).rows
    there = (rows.amax(2) > 0).sum(1).bincount(minlength=4)
    assert there.min() > 1000 - 5 * 750**0.5
    assert there.max() < 1000 + 5 * 750**0.5
