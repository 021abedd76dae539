"""Counter-based randomness: uniform, independent, and a function of nothing but key, stream and position."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from components.learning import batches, losses
from components.lowlight import camera, gamma
from components.lowlight.noise import keys_of, normal, normal_quantile, poisson_quantile, uniform, uniforms
from components.model import diffusion

SEEDS = [1, 20261122]
# numbered by hand, under keys of faces; drop paths have keys of their own
STREAMS = [
    *(camera.PHOTONS, camera.READ, camera.ROW, camera.POOLS, camera.COLOUR_MATRIX, camera.WHITE_BALANCE),
    *(camera.WHITE_BALANCE_ERROR, camera.JPEG_QUALITY, gamma.CURVE, gamma.NOISE),
    *(losses.CHAIN_START, losses.CHAIN_KIND, losses.CHAIN_STEP, losses.LABEL_TOLD, losses.PRIOR_WITHHELD),
    *(losses.PRIOR_NOISE, losses.SHOWN_CLEAN),
    *(batches.FLIP, batches.SHIFT, batches.EXPOSURE, batches.CLEAN_SHARE, batches.DARKER, diffusion.REVERSE_NOISE),
]


def test_no_two_purposes_share_a_stream():
    assert len(set(STREAMS)) == len(STREAMS)


def some_keys(seed: int, count: int = 200) -> torch.Tensor:
    return keys_of([f"{seed}-{number}" for number in range(count)], [0.05] * count, 0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stream", STREAMS)
def test_numbers_are_uniform_between_zero_and_one(seed, stream):
    numbers = uniform(some_keys(seed), stream, 500).flatten().double().numpy()
    assert numbers.min() > 0
    assert numbers.max() < 1
    assert stats.kstest(numbers, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_of_one_position_are_uniform_over_keys(seed):
    """As the draws that decide about a whole face are: its exposure, its flip."""
    for position in (0, 1, 13):
        numbers = uniform(some_keys(seed, 4000), 34, 14)[:, position].double().numpy()
        assert stats.kstest(numbers, "uniform").pvalue > 1e-4


def test_no_number_reaches_one_so_no_normal_is_infinite():
    """This key's number at 919 has 24 bits all ones, as one in 16 million has."""
    key = torch.tensor([-385728567185235165])
    assert float(uniform(key, 16, 4096).max()) < 1
    assert torch.isfinite(normal(key, 16, 4096)).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_normal_numbers_are_normal(seed):
    numbers = normal(some_keys(seed), 1, 500).flatten().double().numpy()
    assert stats.kstest(numbers, "norm").pvalue > 1e-4


def test_the_normal_quantile_is_that_of_scipy():
    shares = torch.linspace(1e-6, 1 - 1e-6, 999, dtype=torch.float64)
    assert normal_quantile(shares).numpy() == pytest.approx(stats.norm.ppf(shares.numpy()), abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_streams_of_a_key_are_uncorrelated(seed):
    drawn = np.stack([uniform(some_keys(seed, 50), stream, 400).flatten().numpy() for stream in STREAMS])
    others = np.corrcoef(drawn)[~np.eye(len(STREAMS), dtype=bool)]
    assert np.abs(others).max() < 5 / drawn.shape[1] ** 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_keys_are_uncorrelated_even_where_they_differ_by_one_bit(seed):
    base = some_keys(seed, 1)
    bits = torch.tensor([1 << bit for bit in range(63)])
    drawn = uniform(torch.cat([base, base ^ bits]), 0, 4000).numpy()
    others = np.corrcoef(drawn)[0, 1:]
    assert np.abs(others).max() < 5 / 4000**0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_neighbouring_positions_are_uncorrelated(seed):
    drawn = uniform(some_keys(seed, 100), 0, 1000).numpy()
    for lag in (1, 2, 8, 64):
        correlation = np.corrcoef(drawn[:, :-lag].ravel(), drawn[:, lag:].ravel())[0, 1]
        assert abs(correlation) < 5 / drawn.size**0.5


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6), st.sampled_from(STREAMS), st.integers(1, 50))
def test_a_number_depends_neither_on_the_batch_nor_on_how_many_are_drawn(keys, stream, count):
    together = uniform(torch.tensor(keys), stream, count + 7)
    for row, key in zip(together, keys, strict=True):
        assert torch.equal(uniform(torch.tensor([key]), stream, count)[0], row[:count])


def test_keys_depend_on_face_exposure_and_draw():
    ids, exposures, draws = ["a", "b", "ab"], [0.2, 0.05, 1.0], [0, 1, 2]
    keys = [keys_of([i], [e], d).item() for i in ids for e in exposures for d in draws]
    assert len(set(keys)) == 27
    assert keys_of(["a", "b"], [0.2, 0.05], 1).tolist() == [
        keys_of(["a"], [0.2], 1).item(),
        keys_of(["b"], [0.05], 1).item(),
    ]
    assert keys_of([], [], 0).dtype == torch.int64


def test_keys_are_the_same_in_every_process_and_version():
    """A change of these numbers changes every dark table there is."""
    assert keys_of(["face"], [0.05], 0).tolist() == [-5459079756086604235]
    assert (uniform(keys_of(["face"], [0.05], 0), 1, 3) * 2**16).int().tolist() == [[58262, 41752, 52322]]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(STREAMS), min_size=1, max_size=5), st.integers(1, 50))
def test_streams_drawn_together_are_those_drawn_alone(streams, count):
    together = uniforms(some_keys(1, 4), tuple(streams), count)
    for numbers, stream in zip(together, streams, strict=True):
        assert torch.equal(numbers, uniform(some_keys(1, 4), stream, count))


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 4), st.integers(0, 2**32))
def test_few_photons_are_counted_exactly(mean, seed):
    """Up to the rounding of float32: the count lies between the quantiles just below and just above the share."""
    generator = torch.Generator().manual_seed(seed)
    shares = (torch.randint(0, 2**24 - 64, (500,), generator=generator).float() + 0.5) * 2.0**-24
    mean32 = torch.full_like(shares, mean)
    drawn, exact, around = poisson_quantile(mean32, shares).numpy(), shares.double().numpy(), 1e-6
    assert np.all(drawn >= stats.poisson.ppf(np.clip(exact - around, 1e-300, 1), float(mean32[0])))
    assert np.all(drawn <= stats.poisson.ppf(np.clip(exact + around, 0, 1 - 1e-12), float(mean32[0])))
    assert np.mean(drawn != stats.poisson.ppf(exact, float(mean32[0]))) < 0.01


def test_the_greatest_share_is_counted_to_its_end():
    """The summation has a last term: at mean 4, where most are needed, it is beyond the greatest share's count."""
    greatest = torch.tensor([1 - 2.0**-24])
    assert poisson_quantile(torch.tensor([4.0]), greatest).item() == stats.poisson.ppf(1 - 2.0**-24, 4) == 18


@pytest.mark.parametrize("mean", [4.01, 4.5, 6, 8.5, 10, 15, 30, 100, 500, 2000])
def test_many_photons_are_off_by_one_at_most_in_less_than_one_case_of_five_hundred(mean):
    shares = uniform(some_keys(5), 0, 500).flatten()
    drawn = poisson_quantile(torch.full_like(shares, mean), shares).double().numpy()
    wrong = np.abs(drawn - stats.poisson.ppf(shares.double().numpy(), mean))
    assert wrong.max() <= 1
    assert np.mean(wrong > 0) < 0.002


@pytest.mark.parametrize("mean", [0.02, 0.3, 2, 4, 4.1, 40, 700])
def test_counts_have_mean_and_variance_of_a_poisson_number(mean):
    shares = uniform(some_keys(6), 0, 500).flatten().clamp(max=1 - 2.0**-23)
    drawn = poisson_quantile(torch.full_like(shares, mean), shares).double().numpy()
    count = drawn.size
    assert drawn.mean() == pytest.approx(mean, abs=5 * (mean / count) ** 0.5 + 2e-3)
    # variance of a Poisson sample's variance: (mean + 2 mean^2) / n
    assert drawn.var() == pytest.approx(mean, abs=6 * ((mean + 2 * mean**2) / count) ** 0.5 + 2e-3)


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 3000), st.floats(1e-6, 1 - 1e-6), st.floats(1e-6, 1 - 1e-6))
def test_a_greater_share_never_gives_fewer_photons(mean, one, other):
    low, high = poisson_quantile(torch.tensor([mean, mean]), torch.tensor(sorted([one, other]))).tolist()
    assert 0 <= low <= high


def test_no_light_gives_no_photons():
    shares = uniform(some_keys(7), 0, 100).clamp(max=1 - 2.0**-23)
    assert not poisson_quantile(torch.zeros_like(shares), shares).any()
