"""LLDif whole: who sees the label, what is frozen, and that a face's answer is its own."""

import pytest
import torch

from components.learning import losses
from components.learning.batches import Batch
from components.learning.optim import OptimConfig, optimizers
from components.model.baselines import Plain
from components.model.diffusion import Denoiser, DiffusionConfig
from components.model.layers import Modulation
from components.model.light import standardise
from components.model.lldif import FacesConfig, LLDif, StageOne
from components.model.schedule import predicted_z0

SHAPES = [(48, 48, 1), (64, 64, 3)]
CLASSES = ("calm", "glad", "cross")
STAGE_TWO = losses.StageTwoLoss(kl_weight=1.0, l1_weight=0.1, pure_noise_share=0.5)


def diffusion(samples: int = 1, predicts: str = "z0", steps: int = 4) -> DiffusionConfig:
    return DiffusionConfig(steps=steps, predicts=predicts, blocks=1, samples=samples)


def faces(shape=(64, 64, 3)) -> FacesConfig:
    return FacesConfig(classes=CLASSES, shape=shape)


def images(count: int, shape=(64, 64, 3)) -> torch.Tensor:
    height, width, channels = shape
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8)


def batch(count: int = 6) -> Batch:
    return Batch(images(count), torch.arange(count) % 3, torch.eye(3)[torch.arange(count) % 3], torch.arange(count))


def awake(network: torch.nn.Module) -> torch.nn.Module:
    """With a recogniser that heeds the prior, as it does from its first step on."""
    for module in network.modules():
        if isinstance(module, Modulation):
            torch.nn.init.normal_(module.weights.weight, std=0.1)
    return network


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("label_input", [False, True])
def test_every_network_answers_for_grey_and_colour_faces(small_model, shape, label_input):
    model, x, labels = small_model(label_input), images(3, shape), torch.tensor([0, 1, 2])
    logits, z = StageOne(model, faces(shape))(x, labels)
    assert (logits.shape, z.shape) == ((3, 3), (3, 16))
    assert LLDif(model, diffusion(), faces(shape))(x).shape == (3, 3)
    assert Plain(model.llformer, 16, faces(shape))(x).shape == (3, 3)


@pytest.mark.parametrize("label_input", [False, True])
def test_a_wrong_label_changes_predictions_in_the_papers_form_alone(small_model, label_input):
    network, x = awake(StageOne(small_model(label_input), faces())).eval(), images(4)
    right, wrong = (network(x, torch.tensor(labels))[0] for labels in ([0, 1, 2, 0], [1, 2, 0, 1]))
    assert torch.equal(right, wrong) != label_input


@pytest.mark.parametrize("samples", [1, 3])
def test_a_faces_answer_does_not_depend_on_its_batch(small_model, samples):
    network, x = LLDif(small_model(), diffusion(samples), faces()).eval(), images(5)
    together = network(x)
    for number in range(5):
        assert torch.allclose(network(x[number : number + 1])[0], together[number], atol=1e-5)
    assert torch.allclose(network(x.flip(0)), together.flip(0), atol=1e-5)


def test_samples_average_their_probabilities(small_model):
    network, x = awake(LLDif(small_model(), diffusion(4), faces())).eval(), images(5)
    seen = standardise(x)
    priors = [network.infer_prior(seen, start.expand(5, -1)) for start in network.starts]
    one_by_one = [network.llformer(seen, z).softmax(1) for z in priors]
    assert torch.allclose(network(x).exp(), torch.stack(one_by_one).mean(0), atol=1e-6)
    assert torch.allclose(network(x).exp().sum(1), torch.ones(5), atol=1e-5)
    assert (one_by_one[0] - one_by_one[1]).abs().max() > 0


def test_the_starts_of_the_chains_belong_to_the_weights_and_to_no_generator(small_model):
    torch.manual_seed(1)
    one = LLDif(small_model(), diffusion(3), faces())
    torch.manual_seed(2)
    other = LLDif(small_model(), diffusion(3), faces())
    assert torch.equal(one.starts, other.starts)
    assert "starts" in one.state_dict()
    assert not any(name == "starts" for name, _ in one.named_parameters())


@pytest.mark.parametrize("label_input", [False, True])
def test_stage_two_starts_from_the_weights_of_stage_one(small_model, label_input):
    stage_one = StageOne(small_model(label_input), faces())
    network = LLDif(small_model(label_input), diffusion(), faces())
    network.start_from(stage_one)
    for part in ("prior", "llformer"):
        ours, theirs = network.get_submodule(part).state_dict(), stage_one.get_submodule(part).state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    first = network.condition.body[0].weight
    if label_input:  # PNET_2 lacks the label part, so its shape is another
        assert first.shape[1] * 2 == stage_one.prior.network.body[0].weight.shape[1]
    else:
        assert torch.equal(first, stage_one.prior.network.body[0].weight)
    with torch.no_grad():
        first += 1
    assert not torch.equal(first, stage_one.prior.network.body[0].weight)


def test_a_step_of_stage_two_leaves_the_prior_as_it_was_and_moves_the_rest(small_model):
    network = LLDif(small_model(), diffusion(), faces()).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    config = OptimConfig(kind="muon", adamw_rate=0.01, muon_rate=0.02, weight_decay=0.1, warmup_share=0.0)
    losses.stage_two(network, batch(), STAGE_TWO)[0].backward()
    for optimiser in optimizers(network, config):
        optimiser.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert not {name for name in changed if name.startswith("prior.")}
    for part in ("condition.body.0.weight", "denoiser.enter.0.weight", "denoiser.leave.weight", "llformer.head.weight"):
        assert part in changed
    assert any("running_mean" in name for name in changed)  # the recogniser's own statistics do move
    assert not network.prior.training


@pytest.mark.parametrize("predicts", ["z0", "noise"])
def test_the_prior_loss_reaches_the_condition_and_the_denoiser_but_no_frozen_weight(small_model, predicts):
    network = LLDif(small_model(), diffusion(predicts=predicts), faces()).train()
    sample = batch()
    seen = standardise(sample.images)
    z = network.prior(seen, sample.labels)
    inferred = network.infer_prior(seen, torch.randn(6, 16))
    losses.prior_divergence(z.detach(), inferred).backward()
    for part in (network.condition, network.denoiser):
        assert all(parameter.grad.abs().max() > 0 for parameter in part.parameters())
    assert all(parameter.grad is None for parameter in network.prior.parameters())


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
@pytest.mark.parametrize("predicts", ["z0", "noise"])
def test_the_denoiser_hears_time_start_and_condition(predicts, steps):
    denoiser = Denoiser(16, diffusion(predicts=predicts, steps=steps))
    start, condition = torch.randn(2, 3, 16)
    inferred = denoiser(start, condition)
    assert inferred.shape == (3, 16)
    assert not torch.allclose(denoiser(start + 1, condition), inferred)
    assert not torch.allclose(denoiser(start, condition + 1), inferred)
    if steps > 1:
        assert not torch.allclose(denoiser.z0(start, 0, condition), denoiser.z0(start, steps - 1, condition))


def test_what_the_denoiser_predicts_is_taken_for_the_prior_or_for_the_noise():
    plain, noise = (Denoiser(16, diffusion(predicts=predicts)) for predicts in ("z0", "noise"))
    noise.load_state_dict(plain.state_dict())
    z, condition = torch.randn(2, 3, 16)
    for t, abar in enumerate(plain.plan.abar):
        predicted = plain.z0(z, t, condition)
        assert torch.allclose(noise.z0(z, t, condition), predicted_z0(z, predicted, abar))


def test_the_plain_recogniser_has_one_learned_constant_in_place_of_the_prior(small_model):
    network, x = Plain(small_model().llformer, 16, faces()), images(3)
    assert torch.allclose(network.eval()(x), network.llformer(standardise(x), network.z.expand(3, -1)))
    assert network.z.requires_grad
