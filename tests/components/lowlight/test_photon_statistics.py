"""The proof of low light: recorded electrons against the photon model, by hypothesis tests.

Mean is light W, variance is light W + read^2 + row^2 (+ step^2 / 12 of the ADC). Seeds are fixed. The tests over a grid
are together at level 1e-4, each at that over their number (Bonferroni). The same tests must reject a sensor that is a
little wrong.
"""

import numpy as np
import pytest
import torch
from scipy import stats

from components.lowlight.camera import Camera, record
from components.lowlight.noise import keys_of, poisson_quantile, uniform

FACES, SIDE, WELL = 64, 64, 2000.0
# (electrons of light, read noise, ADC bits): no light so weak that read noise would be clipped at black
SIGNALS = [
    (0.5, 0.0, 16),
    (3.0, 0.0, 16),
    (5.0, 0.0, 16),
    (9.0, 0.5, 16),
    (40.0, 3.0, 16),
    (150.0, 3.0, 16),
    (150.0, 3.0, 8),
    (150.0, 10.0, 16),
    (600.0, 3.0, 10),
    (1500.0, 10.0, 16),
]
ROWS = [(150.0, 3.0, 0.5), (150.0, 3.0, 2.0), (150.0, 0.0, 5.0), (1500.0, 3.0, 5.0)]
POISSON_MEANS = [0.05, 0.5, 2.0, 3.9, 4.1, 7.9, 8.1, 20.0, 100.0, 1500.0]
LEVEL = 1e-4


def keys(seed: int, count: int) -> torch.Tensor:
    return keys_of([f"{seed}-{number}" for number in range(count)], [0.05] * count, 0)


def recorded(camera: Camera, electrons: float, read: float, row: float, bits: int, seed: int) -> np.ndarray:
    """What a sensor that looks at a white wall records, in electrons: (faces, rows, columns)."""
    sensor = {"full_well_electrons": WELL, "read_noise_electrons": read, "row_noise_electrons": row, "adc_bits": bits}
    wall = torch.full((FACES, 1, SIDE, SIDE), electrons / WELL)
    numbers = record(wall, keys(seed, FACES), camera.model_copy(update=sensor))
    return numbers[:, 0].double().numpy() * WELL / (2**bits - 1)


def two_sided(z: float) -> float:
    return float(2 * stats.norm.sf(abs(z)))


def mean_pvalue(sample: np.ndarray, electrons: float, read: float, bits: int) -> float:
    """z-test of independent pixels' mean."""
    return two_sided((sample.mean() - electrons) / (variance(electrons, read, bits) / sample.size) ** 0.5)


def variance_pvalue(sample: np.ndarray, electrons: float, read: float, bits: int) -> float:
    """z-test of the sample variance, whose own variance is fourth cumulant / n + 2 variance^2 / (n - 1).

    Of the sum of independent parts the fourth cumulant is the sum of theirs: a Poisson number's is its mean, a normal
    number's 0, and that of rounding to steps d is - d^4 / 120.
    """
    step = WELL / (2**bits - 1)
    expected, count = variance(electrons, read, bits), sample.size
    spread = (electrons - step**4 / 120) / count + 2 * expected**2 / (count - 1)
    return two_sided((sample.var(ddof=1) - expected) / spread**0.5)


def variance(electrons: float, read: float, bits: int) -> float:
    step = WELL / (2**bits - 1)
    # photons that are counted without read noise fall on whole electrons, which a step much below one keeps
    rounding = step**2 / 12 if read or step > 1 else 0
    return electrons + read**2 + rounding


def row_pvalue(sample: np.ndarray, row: float) -> float:
    """t-test that two pixels of a row have covariance row^2: over the rows, the mean product of their pairs."""
    off = (sample - sample.mean()).reshape(-1, SIDE)
    pairs = (off.sum(1) ** 2 - (off**2).sum(1)) / (SIDE * (SIDE - 1))
    return float(stats.ttest_1samp(pairs, row**2).pvalue)


def neighbours_pvalue(sample: np.ndarray) -> float:
    """t-test that neighbouring rows have covariance 0."""
    means = (sample - sample.mean()).mean(2)
    return float(stats.ttest_1samp((means[:, 0::2] * means[:, 1::2]).ravel(), 0).pvalue)


def poisson_pvalue(counts: np.ndarray, mean: float) -> float:
    """Chi-square goodness of fit, over counts that five or more are expected of, and the two tails."""
    likely = np.arange(stats.poisson.ppf(1e-9, mean), stats.poisson.ppf(1 - 1e-9, mean) + 1)
    likely = likely[counts.size * stats.poisson.pmf(likely, mean) >= 5]
    edges = np.concatenate([[-np.inf], likely[:-1] + 0.5, [np.inf]])
    expected = counts.size * np.diff(stats.poisson.cdf(edges, mean))
    return float(stats.chisquare(np.histogram(counts, edges)[0], expected).pvalue)


def independence_pvalue(one: np.ndarray, other: np.ndarray) -> float:
    """Chi-square test that pairs of numbers fall uniformly on the 16x16 cells of the unit square."""
    return float(stats.chisquare(np.histogram2d(one, other, bins=16, range=[[0, 1], [0, 1]])[0].ravel()).pvalue)


@pytest.mark.parametrize(("electrons", "read", "bits"), SIGNALS)
def test_mean_and_variance_are_those_of_the_photon_model(camera, electrons, read, bits):
    sample = recorded(camera, electrons, read, 0.0, bits, seed=1)
    assert mean_pvalue(sample, electrons, read, bits) > LEVEL / len(SIGNALS)
    assert variance_pvalue(sample, electrons, read, bits) > LEVEL / len(SIGNALS)


@pytest.mark.parametrize(("electrons", "read", "row"), ROWS)
def test_row_noise_is_shared_by_a_row_and_by_nothing_else(camera, electrons, read, row):
    """And a pixel's whole variance has it beside the other parts: within rows there are the others alone."""
    sample = recorded(camera, electrons, read, row, 16, seed=2)
    assert row_pvalue(sample, row) > LEVEL / len(ROWS)
    assert neighbours_pvalue(sample) > LEVEL / len(ROWS)
    within = sample - sample.mean(2, keepdims=True)
    pixel, free = variance(electrons, read, 16), FACES * SIDE * (SIDE - 1)
    spread = electrons / free + 2 * pixel**2 / free
    assert two_sided(((within**2).sum() / free - pixel) / spread**0.5) > LEVEL / len(ROWS)


@pytest.mark.parametrize("mean", POISSON_MEANS)
def test_photon_counts_are_poisson_numbers(mean):
    shares = uniform(keys(3, 50), 0, 4000)
    counts = poisson_quantile(torch.full_like(shares, mean), shares).flatten().double().numpy()
    assert poisson_pvalue(counts, mean) > LEVEL / len(POISSON_MEANS)


def test_numbers_are_independent_between_streams_keys_and_positions():
    """Every pair of the camera's streams; keys that differ in any bit; positions at lags that image sizes have."""
    base, count = keys(4, 1), 40_000
    bits = torch.tensor([1 << bit for bit in range(63)])
    first = uniform(base, 0, count)[0].double().numpy()
    streams = [uniform(base, stream, count)[0].double().numpy() for stream in range(8)]
    pairs = [(one, other) for number, one in enumerate(streams) for other in streams[:number]]
    pairs += [(first, other) for other in uniform(base ^ bits, 0, count).double().numpy()]
    pairs += [(first[:-lag], first[lag:]) for lag in (1, 2, 3, 8, 48, 64, 128, 2304, 4096)]
    assert min(independence_pvalue(*pair) for pair in pairs) > LEVEL / len(pairs)


# so that each of the above could fail: sensors that are a little wrong, and are found out


@pytest.mark.parametrize("wrong", [0.9, 1.1])
def test_read_noise_that_is_off_by_a_tenth_is_found_out(camera, wrong):
    found = [
        variance_pvalue(recorded(camera, electrons, wrong * read, 0.0, bits, seed=5), electrons, read, bits)
        for electrons, read, bits in SIGNALS
    ]
    assert min(found) < LEVEL / len(SIGNALS)


@pytest.mark.parametrize("wrong", [0.99, 1.01])
def test_light_that_is_off_by_a_hundredth_is_found_out(camera, wrong):
    sample = recorded(camera, wrong * 150, 3.0, 0.0, 16, seed=6)
    assert mean_pvalue(sample, 150.0, 3.0, 16) < LEVEL / len(SIGNALS)


def test_an_adc_without_rounding_noise_is_found_out(camera):
    sample = recorded(camera, 150.0, 3.0, 0.0, 16, seed=7)
    assert variance_pvalue(sample, 150.0, 3.0, 8) < LEVEL / len(SIGNALS)


@pytest.mark.parametrize("wrong", [0.9, 1.1])
def test_row_noise_that_is_off_by_a_tenth_is_found_out(camera, wrong):
    assert row_pvalue(recorded(camera, 150.0, 0.0, 5.0 * wrong, 16, seed=8), 5.0) < LEVEL / len(ROWS)


def test_noise_that_two_rows_share_is_found_out(camera):
    sample = recorded(camera, 150.0, 3.0, 2.0, 16, seed=9)
    sample[:, 1::2] += sample[:, 0::2].mean(2, keepdims=True) - sample[:, 1::2].mean(2, keepdims=True)
    assert neighbours_pvalue(sample) < LEVEL / len(ROWS)


@pytest.mark.parametrize("mean", POISSON_MEANS)
def test_photons_whose_mean_is_off_or_that_are_normal_are_found_out(mean):
    shares = uniform(keys(10, 50), 0, 4000)
    off = poisson_quantile(torch.full_like(shares, mean + 0.05 * mean**0.5), shares).flatten().double().numpy()
    assert poisson_pvalue(off, mean) < LEVEL / len(POISSON_MEANS)
    if mean <= 100:
        normal = np.round(np.clip(stats.norm.ppf(shares.flatten().double().numpy(), mean, mean**0.5), 0, None))
        assert poisson_pvalue(normal, mean) < LEVEL / len(POISSON_MEANS)


def test_numbers_that_share_an_eighth_of_their_bits_are_found_out():
    one, other = (uniform(keys(11, 1), stream, 40_000)[0].double().numpy() for stream in (0, 1))
    mixed = np.where(np.arange(40_000) % 8, other, one)
    assert independence_pvalue(one, mixed) < LEVEL / 100
