"""What each stage minimises."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from components.learning import losses
from components.learning.batches import Batch
from components.lowlight.noise import keys_of
from components.model.diffusion import DiffusionConfig
from components.model.lldif import FacesConfig, LLDif, StageOne

FACES = FacesConfig(classes=("calm", "glad", "cross"), shape=(32, 32, 3))


def batch(count: int = 6) -> Batch:
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)
    labels = torch.arange(count) % 3
    return Batch(images, labels, torch.eye(3)[labels], keys_of([str(n) for n in range(count)], [0.0] * count, 0))


def normed(*shape: int, seed: int) -> torch.Tensor:
    return F.layer_norm(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), shape[-1:])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(0.01, 2))
def test_the_divergence_of_priors_is_zero_where_they_are_equal_and_positive_elsewhere(seed, apart):
    z = normed(4, 16, seed=seed)
    assert float(losses.prior_divergence(z, z)) == pytest.approx(0, abs=1e-6)
    other = F.layer_norm(z + apart * normed(4, 16, seed=seed + 1), (16,))
    assert float(losses.prior_divergence(z, other)) > 0


def test_the_divergence_is_the_sum_over_channels_and_the_mean_over_faces():
    z, inferred = normed(5, 16, seed=1).double(), normed(5, 16, seed=2).double()
    p, q = z.softmax(1), inferred.softmax(1)
    assert float(losses.prior_divergence(z, inferred)) == pytest.approx(float((p * (p / q).log()).sum(1).mean()))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_given_share_of_chains_starts_from_pure_noise(share):
    count, abar = 4000, 0.26
    keys = keys_of([str(n) for n in range(count)], [0.0] * count, 3)
    z = normed(count, 16, seed=3)
    start, noise = losses.chain_start(z, keys, abar, share), losses.chain_start(z, keys, abar, 1.0)
    noised = abar**0.5 * z + (1 - abar) ** 0.5 * noise
    pure = (start == noise).all(1)
    assert torch.allclose(start[~pure], noised[~pure])
    assert float(pure.float().mean()) == pytest.approx(share, abs=5 * (share * (1 - share) / count) ** 0.5)
    assert float(noise.mean()) == pytest.approx(0, abs=0.03)
    assert float(noise.std()) == pytest.approx(1, abs=0.03)


def test_a_chain_starts_from_the_same_noise_whatever_the_batch():
    keys, z = keys_of(["a", "b", "c"], [0.0] * 3, 0), normed(3, 16, seed=4)
    together = losses.chain_start(z, keys, 0.5, 0.5)
    assert torch.equal(losses.chain_start(z[1:2], keys[1:2], 0.5, 0.5), together[1:2])


def test_stage_one_adds_the_weighed_contrastive_loss_to_the_cross_entropy(small_model):
    network, sample = StageOne(small_model(), FACES).eval(), batch()
    logits, z = network(sample.images, sample.labels)
    recognise = F.cross_entropy(logits, sample.labels)
    contrast = F.cross_entropy(network.prior.similarity(z), sample.labels)
    for weight in (0.0, 0.5, 2.0):
        total, answers = losses.stage_one(network, sample, losses.StageOneLoss(contrastive_weight=weight))
        assert total.item() == pytest.approx((recognise + weight * contrast).item(), rel=1e-5)
        assert torch.allclose(answers, logits)


def test_stage_two_adds_the_weighed_losses_of_the_inferred_prior(small_model):
    network = LLDif(small_model(), DiffusionConfig(steps=4, predicts="z0", blocks=1, samples=1), FACES).eval()
    sample = batch()

    def total(kl: float, l1: float) -> float:
        config = losses.StageTwoLoss(kl_weight=kl, l1_weight=l1, pure_noise_share=1.0)
        return float(losses.stage_two(network, sample, config)[0].detach())

    z = network.prior(sample.images, sample.labels)
    start = losses.chain_start(z, sample.keys, network.denoiser.plan.abar[-1], 1.0)
    inferred = network.infer_prior(sample.images, start)
    kl, l1 = losses.prior_divergence(z, inferred).item(), (inferred - z).abs().mean().item()
    recognise = F.cross_entropy(network.llformer(sample.images, inferred), sample.labels).item()
    assert total(0, 0) == pytest.approx(recognise, rel=1e-5)
    assert total(1, 0) == pytest.approx(recognise + kl, rel=1e-5)
    assert total(1, 3) == pytest.approx(recognise + kl + 3 * l1, rel=1e-5)


def test_the_plain_loss_is_the_cross_entropy():
    sample, network = batch(), torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 3))
    as_floats = Batch(sample.images.float() / 255, sample.labels, sample.votes, sample.keys)
    total, logits = losses.plain(network, as_floats)
    assert total.item() == pytest.approx(F.cross_entropy(logits, sample.labels).item(), rel=1e-6)


def test_soft_votes_draw_the_answer_toward_what_people_said():
    """The best answer to divided votes is the division itself: there, not at the top vote, the gradient is nothing."""
    sample = batch(4)
    votes = torch.tensor([[0.6, 0.3, 0.1]]).expand(4, 3)
    divided = Batch(sample.images, sample.labels, votes, sample.keys)
    for answer, still in ((votes[0], True), (torch.tensor([0.98, 0.01, 0.01]), False)):
        logits = answer.log().clone().requires_grad_(True)
        total, _ = losses.plain(lambda images, logits=logits: logits.expand(len(images), 3), divided)
        total.backward()
        assert (logits.grad.abs().max() < 1e-6) == still
