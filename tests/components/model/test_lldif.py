"""LLDif whole: who sees the label, what is frozen, and that a face's answer is its own."""

import inspect

import pytest
import torch
from torch import nn

from components.learning import losses
from components.learning.batches import Batch
from components.learning.optim import OptimConfig, optimizers
from components.model.baselines import Plain
from components.model.diffusion import Denoiser
from components.model.encoders import TextEncoder
from components.model.light import LightConfig, Seen
from components.model.lldif import STORED_STARTS, FacesConfig, LLDif, StageOne
from components.model.prior import Prior
from components.model.schedule import predicted_z0

SHAPES = [(48, 48, 1), (64, 64, 3)]
CLASSES = ("calm", "glad", "cross")
EVERY_PART = {"light": LightConfig(form="anscombe", blurs=True, read_noise=0.0), "exposure_condition": True}


def faces(shape=(64, 64, 3)) -> FacesConfig:
    return FacesConfig(classes=CLASSES, shape=shape)


def images(count: int, shape=(64, 64, 3)) -> torch.Tensor:
    height, width, channels = shape
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8)


def batch(count: int = 6) -> Batch:
    labels, keys = torch.arange(count) % 3, torch.arange(count)
    return Batch(images(count), images(count), labels, torch.eye(3)[labels], keys, images(count))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("label_input", [False, True])
@pytest.mark.parametrize("parts", [{}, EVERY_PART])
def test_every_network_answers_for_grey_and_colour_faces(small_model, diffusion, shape, label_input, parts):
    model, x, labels = small_model(label_input, **parts), images(3, shape), torch.tensor([0, 1, 2])
    stage_one = StageOne(model, faces(shape))
    seen = stage_one.see(x)
    assert stage_one(x, labels).shape == (3, 3)
    assert stage_one.true_prior(seen, seen, labels).shape == (3, 16)
    assert LLDif(model, diffusion(), faces(shape))(x).shape == (3, 3)
    assert Plain(model, faces(shape))(x).shape == (3, 3)


@pytest.mark.parametrize("label_input", [False, True])
def test_a_wrong_label_changes_predictions_in_the_papers_form_alone(small_model, label_input, awake):
    network, x = awake(StageOne(small_model(label_input), faces())).eval(), images(4)
    right, wrong = (network(x, torch.tensor(labels)) for labels in ([0, 1, 2, 0], [1, 2, 0, 1]))
    assert torch.equal(right, wrong) != label_input


def test_a_label_that_is_not_told_changes_nothing(small_model):
    network, x = StageOne(small_model(label_input=True), faces()).eval(), images(4)
    seen, told = network.see(x), torch.tensor([True, False, True, False])
    one, other = (network.true_prior(seen, seen, torch.tensor(labels), told) for labels in ([0, 0, 0, 0], [1, 1, 1, 1]))
    assert ((one - other).abs().amax(1) > 1e-4).tolist() == told.tolist()


def test_no_label_and_no_encoder_of_one_is_part_of_what_answers(small_model, diffusion):
    """There is nothing that a face's label could enter by: the prompts are those of all classes, for every face."""
    network = LLDif(small_model(label_input=True), diffusion(voice=0.5), faces())
    assert set(inspect.signature(network.forward).parameters) == {"images"}
    assert {name for name, _ in network.named_children()} == {"llformer", "image_encoder", "condition", "denoiser"}
    own = (
        {name for name, _ in network.named_parameters(recurse=False)},
        {name for name, _ in network.named_buffers(recurse=False)},
    )
    assert own == (set(), {"starts", "prompts"})
    assert not any(isinstance(part, (Prior, TextEncoder, nn.Embedding)) for part in network.modules())


@pytest.mark.parametrize("voice", [0.0, 0.25])
def test_z_hat_answers_for_its_share_by_its_similarity_to_stage_ones_prompts(small_model, diffusion, voice, awake):
    stage_one = StageOne(small_model(), faces())
    network = awake(LLDif(small_model(), diffusion(voice=voice), faces())).eval()
    network.start_from(stage_one, warm=True, frozen_encoder=False)
    seen = network.see(x := images(5))
    z = network.infer_prior(network.condition_of(seen), 0)
    recognised, own = network.recognise(seen, z).logits.softmax(1), stage_one.prior.similarity(z).softmax(1)
    assert (recognised - own).abs().max() > 0.01
    assert torch.allclose(network(x).exp(), (1 - voice) * recognised + voice * own, atol=1e-6)


def test_the_contrast_of_stage_two_teaches_the_chain_and_moves_no_prompt(small_model, diffusion):
    network = LLDif(small_model(), diffusion(voice=0.5), faces()).train()
    network.start_from(StageOne(small_model(), faces()), warm=True, frozen_encoder=False)
    inferred = network.infer_prior(network.condition_of(network.see(images(6))), 0)
    torch.nn.functional.cross_entropy(network.similarity(inferred), torch.arange(6) % 3).backward()
    for part in (network.image_encoder, network.condition, network.denoiser):
        assert all(parameter.grad.abs().max() > 0 for parameter in part.parameters())
    assert all(parameter.grad is None for parameter in network.llformer.parameters())
    assert not any(name == "prompts" for name, _ in network.named_parameters())


@pytest.mark.parametrize("sees", ["dark", "clean"])
def test_the_true_prior_is_made_of_the_image_that_the_config_names(small_model, sees):
    prior = small_model().prior.model_copy(update={"sees": sees})
    network = StageOne(small_model(prior=prior), faces()).eval()
    dark, clean, other = (network.see(images(3)) for _ in range(3))
    labels = torch.tensor([0, 1, 2])
    z = network.true_prior(dark, clean, labels)
    assert torch.equal(network.true_prior(other, clean, labels), z) == (sees == "clean")
    assert torch.equal(network.true_prior(dark, other, labels), z) == (sees == "dark")


@pytest.mark.parametrize(("samples", "noise"), [(1, False), (3, False), (3, True)])
def test_a_faces_answer_does_not_depend_on_its_batch(small_model, diffusion, samples, noise):
    network = LLDif(small_model(), diffusion(samples=samples, reverse_noise=noise), faces()).eval()
    x = images(5)
    together = network(x)
    for number in range(5):
        assert torch.allclose(network(x[number : number + 1])[0], together[number], atol=1e-5)
    assert torch.allclose(network(x.flip(0)), together.flip(0), atol=1e-5)


def test_samples_average_their_probabilities(small_model, diffusion, awake):
    network, x = awake(LLDif(small_model(), diffusion(samples=4), faces())).eval(), images(5)
    seen = network.see(x)
    inferred = [network.infer_prior(network.condition_of(seen), chain) for chain in range(4)]
    one_by_one = [network.recognise(seen, z).logits.softmax(1) for z in inferred]
    assert torch.allclose(network(x).exp(), torch.stack(one_by_one).mean(0), atol=1e-6)
    assert torch.allclose(network(x).exp().sum(1), torch.ones(5), atol=1e-5)
    assert (one_by_one[0] - one_by_one[1]).abs().max() > 0


def test_the_starts_of_the_chains_belong_to_the_weights_and_to_no_generator(small_model, diffusion):
    torch.manual_seed(1)
    one = LLDif(small_model(), diffusion(samples=3), faces())
    torch.manual_seed(2)
    other = LLDif(small_model(), diffusion(samples=1), faces())
    assert torch.equal(one.starts, other.starts)
    assert one.state_dict()["starts"].shape == (STORED_STARTS, 16)
    assert not any(name == "starts" for name, _ in one.named_parameters())


@pytest.mark.parametrize("label_input", [False, True])
@pytest.mark.parametrize("warm", [False, True])
def test_stage_two_starts_from_the_weights_of_stage_one(small_model, diffusion, label_input, warm):
    stage_one = StageOne(small_model(label_input, exposure_condition=True), faces())
    torch.nn.init.normal_(stage_one.exposure.linear.weight)
    network = LLDif(small_model(label_input, exposure_condition=True), diffusion(), faces())
    network.start_from(stage_one, warm, frozen_encoder=True)

    def same(ours: torch.nn.Module, theirs: torch.nn.Module) -> bool:
        return all(torch.equal(ours.state_dict()[name], value) for name, value in theirs.state_dict().items())

    assert same(network.image_encoder, stage_one.prior.image_encoder)
    assert same(network.llformer, stage_one.llformer) == same(network.exposure, stage_one.exposure) == warm
    first = network.condition.body[0].weight
    if label_input:  # PNET_2 lacks the label part, so its shape is another
        assert first.shape[1] * 2 == stage_one.prior.network.body[0].weight.shape[1]
    else:
        assert torch.equal(first, stage_one.prior.network.body[0].weight)
    with torch.no_grad():
        first += 1
    assert not torch.equal(first, stage_one.prior.network.body[0].weight)


def test_a_step_of_stage_two_leaves_what_is_frozen_as_it_was_and_moves_the_rest(
    small_model, diffusion, stage_two_loss, objective
):
    teacher = StageOne(small_model(), faces()).requires_grad_(False).eval()
    network = LLDif(small_model(), diffusion(), faces()).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    config = OptimConfig(kind="muon", adamw_rate=0.01, muon_rate=0.02, weight_decay=0.1, warmup_share=0.0)
    losses.stage_two(network, teacher, batch(), 0.0, stage_two_loss(), objective())[0].backward()
    for optimiser in optimizers(network, config):
        optimiser.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert not {name for name in changed if name.startswith("image_encoder.") or name == "starts"}
    for part in ("condition.body.0.weight", "denoiser.enter.0.weight", "denoiser.leave.weight", "llformer.head.weight"):
        assert part in changed
    assert any("running_mean" in name for name in changed)  # the recogniser's own statistics do move
    assert not network.image_encoder.training


@pytest.mark.parametrize("frozen", [False, True])
def test_the_encoder_of_the_condition_learns_unless_it_is_frozen(small_model, diffusion, frozen):
    network = LLDif(small_model(), diffusion(), faces())
    network.start_from(StageOne(small_model(), faces()), warm=True, frozen_encoder=frozen)
    network.train()
    network.infer_prior(network.condition_of(network.see(images(4))), 0).sum().backward()
    assert network.image_encoder.training != frozen
    assert all((parameter.grad is None) == frozen for parameter in network.image_encoder.parameters())


@pytest.mark.parametrize(("form", "predicts"), [("chain", "z0"), ("chain", "noise"), ("mlp", "z0")])
def test_the_prior_loss_reaches_the_condition_and_the_denoiser_but_no_frozen_weight(
    small_model, diffusion, predicts, form
):
    network = LLDif(small_model(), diffusion(predicts=predicts, form=form), faces()).train()
    inferred = network.infer_prior(network.condition_of(network.see(images(6))), 0)
    losses.prior_divergence(torch.randn(6, 16), inferred).backward()
    for part in (network.condition, network.denoiser):
        assert all(parameter.grad.abs().max() > 0 for parameter in part.parameters())
    assert all(parameter.grad is None for parameter in network.image_encoder.parameters())


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
@pytest.mark.parametrize("predicts", ["z0", "noise"])
def test_the_denoiser_hears_time_start_and_condition(diffusion, predicts, steps):
    denoiser = Denoiser(16, diffusion(predicts=predicts, steps=steps))
    start, condition = torch.randn(2, 3, 16)
    keys = torch.arange(3)
    inferred = denoiser(start, condition, keys)
    assert inferred.shape == (3, 16)
    assert not torch.allclose(denoiser(start + 1, condition, keys), inferred)
    assert not torch.allclose(denoiser(start, condition + 1, keys), inferred)
    assert torch.equal(denoiser(start, condition, keys + 1), inferred)
    if steps > 1:
        assert not torch.allclose(denoiser.z0(start, 0, condition), denoiser.z0(start, steps - 1, condition))


def test_a_step_that_is_a_draw_is_that_of_its_key(diffusion, monkeypatch):
    denoiser, means = (Denoiser(16, diffusion(reverse_noise=noise)) for noise in (True, False))
    means.load_state_dict(denoiser.state_dict())
    start, condition = torch.randn(2, 3, 16)
    keys = torch.tensor([5, 7, 7])
    drawn = denoiser(start, condition, keys)
    assert torch.equal(denoiser(start, condition, keys), drawn)
    assert torch.allclose(denoiser(start[1:2], condition[1:2], keys[1:2])[0], drawn[1], atol=1e-6)
    assert ((denoiser(start, condition, keys + 1) - drawn).abs().amax(1) > 1e-3).all()
    # a denoiser that is linear, so that what noise does to a chain is the same wherever the chain is
    monkeypatch.setattr(Denoiser, "z0", lambda _, z_t, t, condition: z_t / 2)
    apart = denoiser(start, condition, keys) - means(start, condition, keys)
    assert torch.allclose(apart[1], apart[2], atol=1e-6)
    assert (apart[0] - apart[1]).abs().max() > 1e-2


def test_one_step_takes_the_mean_where_steps_are_draws_too(diffusion):
    denoiser, means = (Denoiser(16, diffusion(steps=1, reverse_noise=noise)) for noise in (True, False))
    means.load_state_dict(denoiser.state_dict())
    start, condition = torch.randn(2, 3, 16)
    assert torch.equal(*(one(start, condition, torch.arange(3)) for one in (denoiser, means)))


def test_the_mlp_has_the_layers_of_the_chain_and_hears_no_noise(diffusion):
    chain, mlp = Denoiser(16, diffusion()), Denoiser(16, diffusion(form="mlp"))
    assert {n: p.shape for n, p in chain.named_parameters()} == {n: p.shape for n, p in mlp.named_parameters()}
    start, condition = torch.randn(2, 3, 16)
    keys = torch.arange(3)
    assert torch.equal(mlp(start, condition, keys), mlp(start + 1, condition, keys))
    assert not torch.allclose(mlp(start, condition + 1, keys), mlp(start, condition, keys))


def test_what_the_denoiser_predicts_is_taken_for_the_prior_or_for_the_noise(diffusion):
    plain, noise = (Denoiser(16, diffusion(predicts=predicts)) for predicts in ("z0", "noise"))
    noise.load_state_dict(plain.state_dict())
    z, condition = torch.randn(2, 3, 16)
    for t, abar in enumerate(plain.plan.abar):
        predicted = plain.z0(z, t, condition)
        assert torch.allclose(noise.z0(z, t, condition), predicted_z0(z, predicted, abar))


@pytest.mark.parametrize("network", ["plain", "stage_one", "lldif"])
def test_the_exposure_joins_the_prior_where_it_is_asked_for(small_model, diffusion, network, awake):
    model = small_model(exposure_condition=True)
    built = {
        "plain": lambda: Plain(model, faces()),
        "stage_one": lambda: StageOne(model, faces()),
        "lldif": lambda: LLDif(model, diffusion(), faces()),
    }[network]().eval()
    seen, z = built.see(images(3)), torch.randn(3, 16)
    darker = Seen(seen.planes, seen.exposure + 1)
    awake(built)
    assert torch.equal(built.recognise(seen, z).logits, built.recognise(darker, z).logits)  # the map begins at zero
    torch.nn.init.normal_(built.exposure.linear.weight)
    assert not torch.allclose(built.recognise(seen, z).logits, built.recognise(darker, z).logits)


def test_the_plain_recogniser_has_one_learned_constant_in_place_of_the_prior(small_model, awake):
    network, x = awake(Plain(small_model(), faces())), images(3)
    assert torch.allclose(network.eval()(x), network.recognise(network.see(x), network.z.expand(3, -1)).logits)
    network(x).sum().backward()
    assert network.z.grad.abs().max() > 0
