"""The diffusion schedule of DiffIR and its sampler."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.model.schedule import Schedule, predicted_z0, sample
from components.model.schedule import schedule as schedule_of

steps = st.integers(1, 64)


def schedule(count: int, low: float = 0.1, high: float = 0.99) -> Schedule:
    """With the ends of the papers' ancestor."""
    return schedule_of(count, low, high)


def test_four_steps_have_the_numbers_of_the_papers_ancestor():
    plan = schedule(4)
    assert plan.beta == pytest.approx([0.1000, 0.2943, 0.5910, 0.9900], abs=5e-5)
    assert plan.abar == pytest.approx([0.9000, 0.6351, 0.2598, 0.0026], abs=5e-5)
    assert plan.weight_z0 == pytest.approx([1.000, 0.765, 0.636, 0.506], abs=5e-4)
    assert plan.weight_zt == pytest.approx([0, 0.230, 0.315, 0.074], abs=5e-4)
    assert plan.steps == 4


@settings(deadline=None, max_examples=30)
@given(steps, st.floats(1e-4, 0.2), st.floats(0.3, 0.999))
def test_a_schedule_only_adds_noise(count, low, high):
    plan = schedule(count, low, high)
    assert (
        len(plan.beta) == len(plan.abar) == len(plan.weight_z0) == len(plan.weight_zt) == len(plan.deviation) == count
    )
    assert all(0 < beta < 1 for beta in plan.beta)
    assert list(plan.abar) == sorted(plan.abar, reverse=True)
    assert (plan.weight_z0[0], plan.weight_zt[0], plan.deviation[0]) == (pytest.approx(1), 0, 0)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 64), st.data())
def test_the_posterior_is_that_of_two_gaussians(count, data):
    """Bayes: z_{t-1} is N(sqrt(abar') z_0, 1 - abar') and z_t is N(sqrt(1 - beta) z_{t-1}, beta)."""
    plan = schedule(count)
    t = data.draw(st.integers(1, count - 1))
    z0, zt, before, beta = 0.7, -1.3, plan.abar[t - 1], plan.beta[t]
    precision = 1 / (1 - before) + (1 - beta) / beta
    mean = (before**0.5 * z0 / (1 - before) + (1 - beta) ** 0.5 * zt / beta) / precision
    assert plan.weight_z0[t] * z0 + plan.weight_zt[t] * zt == pytest.approx(mean, rel=1e-6)
    assert plan.deviation[t] ** 2 == pytest.approx(1 / precision, rel=1e-6)


@pytest.mark.parametrize(
    ("count", "low", "deviation", "of_draws", "of_means"),
    [
        (4, 0.1, 1, 0.672, 0.051),
        (8, 0.1, 1, 0.779, 0.011),
        (64, 0.1, 1, 0.866, 0),
        (8, 0.1, 0.1, 0.281, 0.001),
        (8, 0.01, 0.1, 0.579, 0.002),
    ],
)
def test_chains_of_draws_keep_most_of_the_spread_that_the_denoiser_knows_and_chains_of_means_lose_it(
    count, low, deviation, of_draws, of_means
):
    """The best denoiser of Z ~ N(c, s^2) is linear, by Bayes, and so is a step: the share of s left is known."""
    plan, centre, generator = schedule(count, low), 1.5, torch.Generator().manual_seed(1)
    start, noise = torch.randn(20000, 1, generator=generator), torch.randn(count, 20000, 1, generator=generator)

    def best(z: torch.Tensor, t: int) -> torch.Tensor:
        gain = plan.abar[t] ** 0.5 * deviation**2 / (plan.abar[t] * deviation**2 + 1 - plan.abar[t])
        return centre + gain * (z - plan.abar[t] ** 0.5 * centre)

    draws, means = sample(best, start, plan, noise), sample(best, start, plan)
    assert draws.std().item() == pytest.approx(of_draws * deviation, rel=0.02)
    assert means.std().item() == pytest.approx(of_means * deviation, rel=0.02, abs=1e-3)
    assert draws.mean().item() == pytest.approx(centre, abs=0.1)


@settings(deadline=None, max_examples=30)
@given(steps, st.integers(0, 1000))
def test_a_perfect_denoiser_gives_the_prior_back_from_any_start(count, seed):
    generator = torch.Generator().manual_seed(seed)
    z0, start = torch.randn(2, 3, 16, generator=generator)
    assert torch.allclose(sample(lambda z, t: z0, start, schedule(count)), z0, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(steps, st.integers(0, 1000))
def test_noise_form_and_z0_form_walk_the_same_chain(count, seed):
    """The noise that a Z_0 implies implies that Z_0 again, at every step."""
    generator = torch.Generator().manual_seed(seed)
    weights, start = torch.randn(16, 16, generator=generator) / 4, torch.randn(3, 16, generator=generator)
    weights, start, plan = weights.double(), start.double(), schedule(count)

    def z0_form(z, t):
        return torch.tanh(z @ weights + t)

    def noise_form(z, t):
        noise = (z - plan.abar[t] ** 0.5 * z0_form(z, t)) / (1 - plan.abar[t]) ** 0.5
        return predicted_z0(z, noise, plan.abar[t])

    assert torch.allclose(sample(z0_form, start, plan), sample(noise_form, start, plan), atol=1e-9)


def test_the_true_noise_implies_the_true_prior():
    z0, noise = torch.randn(2, 4, 16, dtype=torch.float64)
    for abar in schedule(4).abar:
        z_t = abar**0.5 * z0 + (1 - abar) ** 0.5 * noise
        assert torch.allclose(predicted_z0(z_t, noise, abar), z0, atol=1e-9)


def test_steps_are_walked_from_the_last_to_the_first():
    walked = []
    sample(lambda z, t: walked.append(t) or z, torch.zeros(1, 2), schedule(5))
    assert walked == [4, 3, 2, 1, 0]


def test_gradients_pass_through_every_step():
    weights = torch.ones(4, requires_grad=True)
    sample(lambda z, t: weights[t] * z, torch.ones(1, 2), schedule(4)).sum().backward()
    assert (weights.grad > 0).all()
