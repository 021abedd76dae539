"""Peers: what each answers, whom which loss reaches, how large it is, and that each can learn at all."""

from typing import get_args

import pytest
import torch

from components.learning import peers
from components.learning.batches import Batch
from components.learning.objective import Objective, ObjectiveConfig
from components.learning.optim import OptimConfig, optimizers
from components.model import restorer
from components.model.baselines import (
    PEERS,
    BasicBlock,
    Peer,
    Plain,
    ResNet18,
    RestoredFirst,
)
from components.model.layers import parameters_of
from components.model.lldif import FacesConfig

SHAPES = [(48, 48, 1), (64, 64, 3), (51, 47, 1)]
CLASSES = ("calm", "glad", "cross")
ADAMW = OptimConfig(kind="adamw", adamw_rate=0.003, muon_rate=0.02, weight_decay=0.0, warmup_share=0.0)
OBJECTIVE = Objective(ObjectiveConfig(targets="label", balance="none", strength=0.0), torch.zeros(3))


def faces(shape=(48, 48, 1)) -> FacesConfig:
    return FacesConfig(classes=CLASSES, shape=shape)


def images(count: int, shape=(48, 48, 1)) -> torch.Tensor:
    height, width, channels = shape
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8)


def batch(count: int = 6) -> Batch:
    labels = torch.arange(count) % 3
    return Batch(images(count), images(count), labels, torch.eye(3)[labels], torch.arange(count))


def trainings(peer: str, model, epochs: int = 6):
    return peers.phases(peer, model, faces(), epochs, OBJECTIVE)


def test_the_params_file_allows_the_peers_there_are():
    assert set(get_args(Peer)) == set(PEERS)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("peer", PEERS)
def test_every_peer_answers_for_grey_and_colour_faces_of_any_size(small_model, peer, shape):
    assert PEERS[peer](small_model(), faces(shape)).eval()(images(2, shape)).shape == (2, 3)


@pytest.mark.parametrize("peer", [peer for peer in PEERS if peer != "ensemble"])
def test_a_peer_is_of_the_size_of_the_plain_recogniser(small_model, peer):
    plain = parameters_of(Plain(small_model(), faces()))
    assert 0.7 < parameters_of(PEERS[peer](small_model(), faces())) / plain < 1.3


def test_resnet18_at_its_own_width_has_the_parameters_of_the_paper(small_model):
    network = ResNet18(small_model(), faces((64, 64, 3)), width=64)
    assert parameters_of(network) - parameters_of(network.head) == 11_168_832  # 11,176,512 with a stem of 7x7
    features = network.stages(network.stem(torch.zeros(1, 3, 64, 64)))
    assert features.shape == (1, 512, 8, 8)


@pytest.mark.parametrize("width", [3, 4, 7, 8, 12])
def test_a_narrow_resnets_gradients_are_those_of_double_precision(width):
    """With a strided 1x1 convolution around the block oneDNN gives others below 8 channels, or ends the process."""
    block, exact = BasicBlock(width, 2 * width, 2), BasicBlock(width, 2 * width, 2).double()
    exact.load_state_dict(block.state_dict())
    block.to(memory_format=torch.channels_last)
    x = torch.randn(32, width, 24, 24)
    block(x.contiguous(memory_format=torch.channels_last)).square().mean().backward()
    exact(x.double()).square().mean().backward()
    assert exact(x.double()).shape == (32, 2 * width, 12, 12)
    for (name, one), other in zip(block.named_parameters(), exact.parameters(), strict=True):
        assert torch.allclose(one.grad.double(), other.grad, rtol=1e-3, atol=1e-4), name


def test_a_restorer_has_about_its_share_of_the_classifiers_parameters(small_model):
    network = RestoredFirst(small_model(), faces(), joint=False)
    share = parameters_of(network.restorer) / parameters_of(network.llformer)
    assert restorer.SHARE / 2 < share < 2 * restorer.SHARE


@pytest.mark.parametrize("joint", [False, True])
def test_the_classifiers_loss_reaches_the_restorer_only_where_both_are_trained_jointly(small_model, joint):
    network = RestoredFirst(small_model(), faces(), joint).train()
    OBJECTIVE(network(images(4)), torch.eye(3)[[0, 1, 2, 0]]).backward()
    gradients = [value.grad for value in network.restorer.parameters()]
    assert all((gradient is not None and gradient.abs().max() > 0) == joint for gradient in gradients)
    assert network.llformer.head.weight.grad.abs().max() > 0


@pytest.mark.parametrize("joint", [False, True])
def test_the_reconstruction_reaches_the_restorer_and_never_the_classifier(small_model, joint):
    network, sample = RestoredFirst(small_model(), faces(), joint).train(), batch()
    (network.restored(network.see(sample.images)).planes - network.see(sample.clean).planes).abs().mean().backward()
    assert all(value.grad is not None for value in network.restorer.parameters())
    assert all(value.grad is None for value in network.llformer.parameters())


def test_the_loss_of_a_restoring_peer_falls_with_a_better_reconstruction(small_model):
    network, dark = RestoredFirst(small_model(), faces(), joint=False).eval(), batch()
    perfect = Batch(dark.images, dark.images, dark.labels, dark.targets, dark.keys)
    with torch.no_grad():
        for residual in network.restorer.body[-2].parameters():
            residual.zero_()  # so that a clean image is restored perfectly
        worse, better = (float(peers.restored(network, one, OBJECTIVE)[0]) for one in (dark, perfect))
        assert better == pytest.approx(float(OBJECTIVE(network(dark.images), dark.targets)), abs=1e-6)
    assert worse > better + 0.1


def test_an_ensemble_answers_with_the_mean_probability_of_its_members(small_model):
    network, x = PEERS["ensemble"](small_model(), faces()).eval(), images(3)
    members = torch.stack([member(x).softmax(dim=1) for member in network.members])
    assert torch.allclose(network(x).exp(), members.mean(dim=0), atol=1e-6)
    assert (members[0] - members[1]).abs().max() > 0


@pytest.mark.parametrize("epochs", [3, 4, 8, 24])
@pytest.mark.parametrize("peer", PEERS)
def test_the_trainings_of_a_peer_share_its_epochs_and_none_goes_without(small_model, peer, epochs):
    _, plan = trainings(peer, small_model(), epochs)
    assert sum(phase.epochs for phase in plan) == epochs
    assert min(phase.epochs for phase in plan) >= 1
    assert len({phase.name for phase in plan}) == len(plan)


def test_a_third_of_the_epochs_of_a_distilled_peer_are_its_teachers(small_model):
    _, (teacher, student) = trainings("distilled", small_model(), 24)
    assert (teacher.epochs, student.epochs) == (8, 16)
    assert teacher.clean
    assert not student.clean


def test_a_student_learns_from_its_teachers_answer_to_the_clean_face_and_the_teacher_stays(small_model):
    network, (teacher, student) = trainings("distilled", small_model())
    teacher.network.requires_grad_(False).eval()  # as the stage leaves it
    before = {name: value.clone() for name, value in teacher.network.state_dict().items()}
    sample = batch()
    total, logits = student.loss(sample, 0.0)
    p, q = ((x / peers.SOFTNESS).softmax(dim=1) for x in (teacher.network(sample.clean), logits))
    taught = peers.SOFTNESS**2 * (p * (p / q).log()).sum(dim=1).mean()
    assert total.item() == pytest.approx((OBJECTIVE(logits, sample.targets) + taught).item(), rel=1e-4)
    total.backward()
    for optimiser in optimizers(network, ADAMW):
        optimiser.step()
    assert all(torch.equal(value, before[name]) for name, value in teacher.network.state_dict().items())
    assert all(value.grad is None for value in teacher.network.parameters())
    assert network.llformer.head.weight.grad.abs().max() > 0
    other = Batch(sample.images, sample.clean.flip(2), sample.labels, sample.targets, sample.keys)
    assert not torch.equal(student.loss(other, 0.0)[0], student.loss(sample, 0.0)[0])


def test_the_ceiling_and_the_teacher_never_see_a_dark_face(small_model):
    for peer in ("clean_ceiling", "distilled"):
        _, (first, *_) = trainings(peer, small_model())
        first.network.eval()
        one, other = batch(), batch()
        same_clean = Batch(other.images, one.clean, one.labels, one.targets, one.keys)
        assert torch.equal(first.loss(one, 0.0)[0], first.loss(same_clean, 0.0)[0])
        assert first.clean


@pytest.mark.parametrize("peer", PEERS)
def test_a_gradient_reaches_all_of_a_peer_that_learns(small_model, awake, peer):
    """In the phase that trains it; two steps, as what begins at zero holds back what is behind it in the first."""
    network, plan = trainings(peer, small_model())
    reached = set()
    for phase in plan:
        (optimiser,) = optimizers(awake(phase.network).train(), ADAMW)
        for _ in range(2):
            optimiser.zero_grad()
            phase.loss(batch(), 0.0)[0].backward()
            optimiser.step()
        reached |= {value for value in phase.network.parameters() if value.grad is not None and value.grad.any()}
        phase.network.requires_grad_(False).eval()
    assert [name for name, value in network.named_parameters() if value not in reached] == []


@pytest.mark.parametrize("peer", PEERS)
def test_every_peer_can_learn_a_few_faces_by_heart(small_model, peer):
    """As it answers when it is asked, by the statistics of its batch norms; a few seconds each."""
    network, plan = trainings(peer, small_model())
    sample = batch(16)
    for phase in plan:
        seen = sample.clean if phase.clean else sample.images
        (optimiser,) = optimizers(phase.network, ADAMW)
        for step in range(1, 121):
            phase.network.train()
            optimiser.zero_grad()
            phase.loss(sample, 0.0)[0].backward()
            optimiser.step()
            if step % 10 == 0 and learned(phase.network, seen, sample.labels):
                break
        phase.network.requires_grad_(False).eval()
    assert learned(network, seen, sample.labels)


def learned(network: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> bool:
    with torch.no_grad():
        return torch.equal(network.eval()(images).argmax(dim=1), labels)
