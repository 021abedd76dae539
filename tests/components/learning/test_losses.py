"""What each stage minimises."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from components.learning import losses
from components.learning.batches import Batch
from components.learning.decoder import Decoder
from components.lowlight.noise import keys_of
from components.model.lldif import FacesConfig, LLDif, StageOne

FACES = FacesConfig(classes=("calm", "glad", "cross"), shape=(32, 32, 3))


def batch(count: int = 6, darker: bool = True) -> Batch:
    images, clean, second = torch.randint(0, 256, (3, count, 3, 32, 32), dtype=torch.uint8)
    labels = torch.arange(count) % 3
    keys = keys_of([str(n) for n in range(count)], [0.0] * count, 0)
    return Batch(images, clean, labels, torch.eye(3)[labels], keys, second if darker else None)


def teacher_of(model) -> StageOne:
    return StageOne(model, FACES).requires_grad_(False).eval()


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


def test_a_restorer_learns_from_the_clean_face_alone(small_model, stage_one_loss, stage_two_loss, objective, diffusion):
    model, sample = small_model(restorer=True), batch()
    first, second = StageOne(model, FACES).eval(), LLDif(model, diffusion(), FACES).eval()
    second.start_from(first, warm=True, frozen_encoder=False)
    terms = {"contrastive_weight": 1.0, "alignment_weight": 1.0, "darker_weight": 1.0}
    for network, (total, _) in (
        (first, losses.stage_one(first, sample, stage_one_loss(**terms), objective())),
        (second, losses.stage_two(second, first, sample, 0.5, stage_two_loss(feature_weight=1.0), objective())),
    ):
        parameters = list(network.restorer.parameters())
        off = F.l1_loss(network.restored(network.see(sample.images)).planes, network.see(sample.clean).planes)
        wanted = torch.autograd.grad(off, parameters)
        found = torch.autograd.grad(total, parameters)
        assert all(torch.allclose(one, other, atol=1e-7) for one, other in zip(found, wanted, strict=True))


def test_stage_one_adds_the_weighed_contrastive_loss_to_the_cross_entropy(small_model, stage_one_loss, objective):
    network, sample = StageOne(small_model(), FACES).eval(), batch()
    seen = network.see(sample.images)
    z = network.true_prior(seen, seen, sample.labels)
    recognise = F.cross_entropy(network.recognise(seen, z).logits, sample.labels)
    contrast = F.cross_entropy(network.prior.similarity(z), sample.labels)
    for weight in (0.0, 0.5, 2.0):
        total, logits = losses.stage_one(network, sample, stage_one_loss(contrastive_weight=weight), objective())
        assert total.item() == pytest.approx((recognise + weight * contrast).item(), rel=1e-5)
        assert torch.allclose(logits, network.recognise(seen, z).logits)


@pytest.mark.parametrize(("weight", "other"), [("alignment_weight", "clean"), ("darker_weight", "darker")])
def test_stage_one_draws_the_views_of_a_face_together(small_model, stage_one_loss, objective, weight, other):
    network, sample = StageOne(small_model(), FACES).eval(), batch()
    without, _ = losses.stage_one(network, sample, stage_one_loss(), objective())
    total, _ = losses.stage_one(network, sample, stage_one_loss(**{weight: 2.0}), objective())
    views = [network.prior.image_encoder(network.see(x)) for x in (sample.images, getattr(sample, other))]
    expected = 2 * losses.same_face(network.prior.likeness(*views))
    assert (total - without).item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize(
    ("sees", "weights", "views"),
    [
        ("clean", {}, 1),
        ("dark", {}, 1),
        ("clean", {"alignment_weight": 0.1}, 2),
        ("clean", {"dark_text_weight": 0.1}, 2),
        ("dark", {"darker_weight": 0.1}, 2),
        ("clean", {"alignment_weight": 0.1, "darker_weight": 0.1}, 3),
    ],
)
def test_stage_one_encodes_the_views_that_are_asked_for_once_and_together(
    small_model, stage_one_loss, objective, sees, weights, views
):
    """So that what a batch norm learns to divide by is what it divides by when stage 2 asks."""
    model = small_model()
    model = model.model_copy(update={"prior": model.prior.model_copy(update={"sees": sees})})
    network, sample, met = StageOne(model, FACES), batch(), []
    network.prior.image_encoder.register_forward_pre_hook(lambda module, given: met.append(len(given[0].planes)))
    losses.stage_one(network, sample, stage_one_loss(**weights), objective())
    assert met == [views * len(sample.labels)]


@pytest.mark.parametrize("label_input", [False, True])
def test_stage_one_draws_the_dark_face_to_its_label_which_pnet_does_not_see(
    small_model, stage_one_loss, objective, label_input
):
    network, sample = StageOne(small_model(label_input), FACES).eval(), batch()
    without, _ = losses.stage_one(network, sample, stage_one_loss(), objective())
    total, _ = losses.stage_one(network, sample, stage_one_loss(dark_text_weight=2.0), objective())
    features = network.prior.image_encoder(network.see(sample.images))
    if label_input:
        features = torch.cat([features, torch.zeros_like(features)], dim=1)
    expected = 2 * F.cross_entropy(network.prior.similarity(network.prior.network(features)), sample.labels)
    assert (total - without).item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_recogniser_of_stage_one_is_shown_the_clean_image_for_the_share_of_faces(
    small_model, stage_one_loss, objective
):
    network, sample = StageOne(small_model(), FACES).eval(), batch(400)
    _, dark = losses.stage_one(network, sample, stage_one_loss(), objective())
    _, clean = losses.stage_one(network, sample, stage_one_loss(clean_share=1.0), objective())
    _, mixed = losses.stage_one(network, sample, stage_one_loss(clean_share=0.3), objective())
    is_clean = (mixed - clean).abs().amax(1) < 1e-5
    assert torch.equal(~is_clean, (mixed - dark).abs().amax(1) < 1e-5)
    assert is_clean.float().mean().item() == pytest.approx(0.3, abs=0.12)


def test_a_decoder_is_asked_for_the_clean_face_at_its_weight(
    small_model, diffusion, stage_one_loss, stage_two_loss, objective
):
    first, sample = StageOne(small_model(), FACES).eval(), batch()
    network, teacher, decoder = (
        LLDif(small_model(), diffusion(), FACES).eval(),
        teacher_of(small_model()),
        Decoder(first),
    )
    dark, clean = first.see(sample.images), first.see(sample.clean)

    def added(loss, *before, config) -> float:
        without, with_it = (
            loss(*before, config(reconstruction_weight=3.0), objective(), one) for one in (None, decoder)
        )
        assert torch.equal(without[1], with_it[1])
        return (with_it[0] - without[0]).item()

    drawn = decoder(first.recognise(dark, first.true_prior(dark, clean, sample.labels)).scales, 32, 32)
    expected = 3 * (drawn - clean.planes).abs().mean().item()
    assert added(losses.stage_one, first, sample, config=stage_one_loss) == pytest.approx(expected, rel=1e-4)
    z = teacher.true_prior(dark, clean, sample.labels)
    start = losses.chain_start(z, sample.keys, network.denoiser.plan.abar[-1], 0.5)
    drawn = decoder(
        network.recognise(dark, network.denoiser(start, network.condition_of(dark), sample.keys)).scales, 32, 32
    )
    expected = 3 * (drawn - clean.planes).abs().mean().item()
    assert added(losses.stage_two, network, teacher, sample, 0.5, config=stage_two_loss) == pytest.approx(
        expected, rel=1e-4
    )


def test_a_withheld_prior_is_one_constant_for_all_faces(small_model, stage_one_loss, objective, awake):
    network, sample = awake(StageOne(small_model(), FACES)).eval(), batch()
    _, logits = losses.stage_one(network, sample, stage_one_loss(prior_dropout=1.0), objective())
    seen = network.see(sample.images)
    assert torch.allclose(logits, network.recognise(seen, network.unknown.expand(6, -1)).logits)
    _, noisy = losses.stage_one(network, sample, stage_one_loss(prior_noise=1.0), objective())
    _, quiet = losses.stage_one(network, sample, stage_one_loss(), objective())
    assert not torch.allclose(noisy, quiet)


def test_a_dropped_label_leaves_the_papers_form_without_it(small_model, stage_one_loss, objective, awake):
    network, sample = awake(StageOne(small_model(label_input=True), FACES)).eval(), batch()
    wrong = dataclasses.replace(sample, labels=(sample.labels + 1) % 3)
    for dropout, same in ((0.0, False), (1.0, True)):
        config = stage_one_loss(label_dropout=dropout)
        right, other = (losses.stage_one(network, one, config, objective())[1] for one in (sample, wrong))
        assert torch.allclose(right, other) == same


def test_stage_two_adds_the_weighed_losses_of_the_inferred_prior(small_model, diffusion, stage_two_loss, objective):
    network, teacher, sample = LLDif(small_model(), diffusion(), FACES).eval(), teacher_of(small_model()), batch()
    network.start_from(teacher, warm=False, frozen_encoder=False)

    def total(**terms: float) -> float:
        config = stage_two_loss(**({"kl_weight": 0.0, "l1_weight": 0.0, "pure_noise_share": 1.0} | terms))
        return float(losses.stage_two(network, teacher, sample, 0.5, config, objective())[0].detach())

    seen = network.see(sample.images)
    z = teacher.true_prior(seen, seen, sample.labels)
    start = losses.chain_start(z, sample.keys, network.denoiser.plan.abar[-1], 1.0)
    inferred = network.denoiser(start, network.condition_of(seen), sample.keys)
    kl, l1 = losses.prior_divergence(z, inferred).item(), (inferred - z).abs().mean().item()
    learnt, taught = network.recognise(seen, inferred), teacher.recognise(seen, z)
    recognise = F.cross_entropy(learnt.logits, sample.labels).item()
    one_step = losses.denoising(network.denoiser, z, network.condition_of(seen), sample.keys).item()
    assert total() == pytest.approx(recognise, rel=1e-5)
    assert total(kl_weight=1) == pytest.approx(recognise + kl, rel=1e-5)
    assert total(kl_weight=1, l1_weight=3) == pytest.approx(recognise + kl + 3 * l1, rel=1e-5)
    contrast = F.cross_entropy(network.similarity(inferred), sample.labels).item()
    assert contrast != pytest.approx(np.log(3), abs=1e-3)
    assert total(contrastive_weight=2) == pytest.approx(recognise + 2 * contrast, rel=1e-5)
    assert total(denoising_weight=2) == pytest.approx(recognise + 2 * one_step, rel=1e-5)
    distilled = losses.distillation(learnt.logits, taught.logits, 2.0).item()
    assert total(logit_weight=3) == pytest.approx(recognise + 3 * distilled, rel=1e-5)
    features = F.smooth_l1_loss(learnt.features, taught.features).item()
    assert total(feature_weight=3) == pytest.approx(recognise + 3 * features, rel=1e-5)
    assert total(prior_phase=0.6, kl_weight=1) == pytest.approx(kl, rel=1e-5)


@pytest.mark.parametrize("sees", ["dark", "clean"])
def test_stage_two_infers_the_z_of_the_image_that_stage_one_makes_it_of(
    small_model, diffusion, stage_two_loss, objective, sees
):
    model = small_model(prior=small_model().prior.model_copy(update={"sees": sees}))
    network, teacher, sample = LLDif(model, diffusion(), FACES).eval(), teacher_of(model), batch()
    dark, clean = teacher.see(sample.images), teacher.see(sample.clean)
    z = teacher.prior.network(teacher.prior.image_encoder(clean if sees == "clean" else dark))
    config = stage_two_loss(kl_weight=1.0, l1_weight=0.0, pure_noise_share=1.0, prior_phase=0.6)
    total, _ = losses.stage_two(network, teacher, sample, 0.5, config, objective())
    start = losses.chain_start(z, sample.keys, 1.0, 1.0)
    inferred = network.denoiser(start, network.condition_of(dark), sample.keys)
    assert total.item() == pytest.approx(losses.prior_divergence(z, inferred).item(), rel=1e-4)


@torch.no_grad()
def test_the_denoising_step_undoes_the_noise_that_its_number_stands_for(small_model, diffusion):
    network, sample, z = LLDif(small_model(), diffusion(), FACES).eval(), batch(), normed(6, 16, seed=9)
    condition = network.condition_of(network.see(sample.images))
    abars, seen = network.denoiser.plan.abar, set()
    for number in range(40):
        keys = keys_of([f"{number}-{face}" for face in range(6)], [0.0] * 6, 0)
        noise = losses.chain_start(z, keys, 0.0, 1.0)
        expected = [
            F.mse_loss(network.denoiser.z0(abar**0.5 * z + (1 - abar) ** 0.5 * noise, step, condition), z).item()
            for step, abar in enumerate(abars)
        ]
        found = losses.denoising(network.denoiser, z, condition, keys).item()
        seen |= {step for step, value in enumerate(expected) if value == pytest.approx(found, rel=1e-5)}
    assert seen == set(range(len(abars)))


def test_each_view_of_a_face_is_to_find_the_other_and_the_other_it():
    likeness = torch.tensor([[2.0, 0.0, -1.0], [3.0, 1.0, 0.5], [0.0, 0.0, 4.0]])
    rows = -likeness.log_softmax(dim=1).diagonal().mean()
    columns = -likeness.log_softmax(dim=0).diagonal().mean()
    assert abs(rows - columns) > 0.05
    assert losses.same_face(likeness).item() == pytest.approx(((rows + columns) / 2).item(), rel=1e-6)


def test_distillation_is_the_divergence_of_the_student_from_the_teacher():
    logits, answers = torch.tensor([[1.0, 0.0, 2.0]]), torch.tensor([[4.0, 0.0, -2.0]])
    p, q = (answers / 2).softmax(1), (logits / 2).softmax(1)
    assert losses.distillation(logits, answers, 2.0).item() == pytest.approx(
        4 * float((p * (p / q).log()).sum()), rel=1e-6
    )


def test_a_withheld_inferred_prior_is_nothing_at_all_for_its_share_of_faces(
    small_model, diffusion, stage_two_loss, objective, awake
):
    network, teacher, sample = (
        awake(LLDif(small_model(), diffusion(), FACES)).eval(),
        teacher_of(small_model()),
        batch(400),
    )

    def answers(share: float) -> torch.Tensor:
        return losses.stage_two(network, teacher, sample, 0.5, stage_two_loss(prior_dropout=share), objective())[1]

    seen = network.see(sample.images)
    without = network.recognise(seen, torch.zeros(400, 16)).logits
    assert torch.allclose(answers(1.0), without, atol=1e-5)
    is_withheld = (answers(0.3) - without).abs().amax(1) < 1e-5
    assert torch.equal(~is_withheld, (answers(0.3) - answers(0.0)).abs().amax(1) < 1e-5)
    assert is_withheld.float().mean().item() == pytest.approx(0.3, abs=0.12)


@pytest.mark.parametrize(
    ("terms", "heard"), [({}, True), ({"prior_dropout": 1.0}, False), ({"stop_gradient": True}, False)]
)
def test_recognising_teaches_the_chain_through_the_inferred_prior_where_that_is_heard(
    small_model, diffusion, stage_two_loss, objective, awake, terms, heard
):
    network, teacher = awake(LLDif(small_model(), diffusion(), FACES)).train(), teacher_of(small_model())
    config = stage_two_loss(kl_weight=0.0, l1_weight=0.0, **terms)
    losses.stage_two(network, teacher, batch(), 0.5, config, objective())[0].backward()
    for part in (network.denoiser, network.condition):
        for place, parameter in part.named_parameters():
            reached = parameter.grad is not None and bool(parameter.grad.abs().max() > 0)
            assert reached == heard, place


def test_without_its_gradient_the_inferred_prior_still_guides_and_learns_from_the_true_one(
    small_model, diffusion, stage_two_loss, objective, awake
):
    network, teacher = awake(LLDif(small_model(), diffusion(), FACES)).eval(), teacher_of(small_model())
    sample = batch()
    losses_of = [
        losses.stage_two(network, teacher, sample, 0.5, stage_two_loss(stop_gradient=stops), objective())[0]
        for stops in (False, True)
    ]
    assert losses_of[0].item() == pytest.approx(losses_of[1].item(), rel=1e-5)
    losses_of[1].backward()
    for part in (network.denoiser, network.condition):
        assert all(parameter.grad.abs().max() > 0 for parameter in part.parameters())


def test_while_the_prior_is_learned_alone_the_recogniser_waits(small_model, diffusion, stage_two_loss, objective):
    network, teacher = LLDif(small_model(), diffusion(), FACES).train(), teacher_of(small_model())
    losses.stage_two(network, teacher, batch(), 0.1, stage_two_loss(prior_phase=0.2), objective())[0].backward()
    assert all(parameter.grad is None for parameter in network.llformer.parameters())
    assert all(parameter.grad is not None for parameter in network.denoiser.parameters())


@pytest.mark.parametrize("sees", ["dark", "clean"])
def test_the_teacher_answers_for_the_image_that_the_config_names(
    small_model, diffusion, stage_two_loss, objective, sees
):
    network, teacher, sample = LLDif(small_model(), diffusion(), FACES).eval(), teacher_of(small_model()), batch()
    config = stage_two_loss(teacher_sees=sees, logit_weight=1.0)
    other = dataclasses.replace(sample, clean=sample.clean.flip(0))
    one, changed = (losses.stage_two(network, teacher, x, 0.5, config, objective())[0].item() for x in (sample, other))
    assert (one != pytest.approx(changed, abs=1e-7)) == (sees == "clean")


def test_distillation_is_nothing_where_student_and_teacher_agree():
    logits, other = torch.randn(2, 5, 4)
    assert losses.distillation(logits, logits + 3, 2.0).item() == pytest.approx(0, abs=1e-6)
    p, q = (other / 2).softmax(1), (logits / 2).softmax(1)
    assert losses.distillation(logits, other, 2.0).item() == pytest.approx(float((p * (p / q).log()).sum() / 5 * 4))


def test_faces_that_find_their_own_other_view_cost_nothing():
    assert losses.same_face(50 * torch.eye(6)).item() == pytest.approx(0, abs=1e-6)
    assert losses.same_face(torch.zeros(6, 6)).item() == pytest.approx(np.log(6), rel=1e-6)


def test_the_plain_loss_is_the_cross_entropy(objective):
    sample, network = batch(), torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 3))
    as_floats = dataclasses.replace(sample, images=sample.images.float() / 255)
    total, logits = losses.plain(network, as_floats, objective())
    assert total.item() == pytest.approx(F.cross_entropy(logits, sample.labels).item(), rel=1e-6)


def test_soft_votes_draw_the_answer_toward_what_people_said(objective):
    """The best answer to divided votes is the division itself: there, not at the top vote, the gradient is nothing."""
    votes = torch.tensor([[0.6, 0.3, 0.1]]).expand(4, 3)
    for answer, still in ((votes[0], True), (torch.tensor([0.98, 0.01, 0.01]), False)):
        logits = answer.log().clone().requires_grad_(True)
        objective()(logits.expand(4, 3), votes).backward()
        assert (logits.grad.abs().max() < 1e-6) == still
