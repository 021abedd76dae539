"""Optimisers: which parameter goes where, and how far it moves."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from components.learning import optim
from components.learning.optim import Muon, OptimConfig, is_matrix, optimizers, rate
from components.model.lldif import FacesConfig, LLDif, StageOne
from components.model.llformer import LLformerConfig


def config(kind: str = "muon", decay: float = 0.1, warmup: float = 0.1) -> OptimConfig:
    return OptimConfig(kind=kind, adamw_rate=0.002, muon_rate=0.02, weight_decay=decay, warmup_share=warmup)


def orthogonalise(matrix: torch.Tensor) -> torch.Tensor:
    """One matrix, of either form."""
    tall = matrix.shape[0] > matrix.shape[1]
    [x] = optim.orthogonalise((matrix.mT if tall else matrix)[None])
    return x.mT if tall else x


def one_by_one(matrix: torch.Tensor) -> torch.Tensor:
    """Newton-Schulz as Jordan writes it."""
    x = matrix / (matrix.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x


@pytest.fixture
def network(small_model) -> StageOne:
    return StageOne(small_model(), FacesConfig(classes=("a", "b", "c"), shape=(32, 32, 3)))


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 64), st.integers(2, 64), st.floats(1e-3, 1e3), st.integers(0, 10**6))
def test_an_orthogonalised_matrix_has_singular_values_near_one(rows, columns, scale, seed):
    """A random matrix of near-square shape has singular values near zero, which five steps do not lift to one."""
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * scale
    share = torch.linalg.svdvals(matrix) / matrix.norm()
    values = torch.linalg.svdvals(orthogonalise(matrix))
    assert values.max() < 1.3
    assert (values[share > 0.02] > 0.6).all()


@pytest.mark.parametrize("shape", [(16, 16), (8, 72), (72, 8), (64, 128), (1, 30)])
@pytest.mark.parametrize("seed", range(5))
def test_matrices_of_the_models_shapes_come_out_orthogonal(shape, seed):
    left, _, right = torch.linalg.svd(
        torch.randn(shape, generator=torch.Generator().manual_seed(seed)), full_matrices=False
    )
    matrix = left @ torch.diag(torch.linspace(0.3, 1, min(shape))) @ right
    values = torch.linalg.svdvals(orthogonalise(matrix))
    assert values.min() > 0.6
    assert values.max() < 1.3
    # the directions are kept: the nearest orthogonal matrix is left @ right
    assert torch.linalg.matrix_norm(orthogonalise(matrix) - left @ right, ord=2) < 0.4


def test_matrices_of_one_shape_are_orthogonalised_together_as_they_are_alone():
    matrices = torch.randn(4, 8, 20) * torch.tensor([1e-3, 1.0, 10.0, 1e3])[:, None, None]
    together = optim.orthogonalise(matrices)
    assert torch.allclose(together, torch.stack([one_by_one(matrix) for matrix in matrices]), atol=1e-4)


def test_a_step_of_many_matrices_is_a_step_of_each_alone():
    """Of several shapes, wide and tall, which share products; over steps, so that momentum counts."""
    shapes = [(6, 4), (4, 6), (4, 6), (6, 4), (4, 2, 3, 1), (8, 3, 3, 3), (5, 5)]
    many = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    alone = [nn.Parameter(value.detach().clone()) for value in many]
    together = Muon(many, lr=0.1, weight_decay=0.2)
    single = [Muon([value], lr=0.1, weight_decay=0.2) for value in alone]
    for _ in range(3):
        for value, other in zip(many, alone, strict=True):
            value.grad = torch.randn(value.shape)
            other.grad = value.grad.clone()
        for optimiser in (together, *single):
            optimiser.step()
    assert [len(group) for group in optim.alike(many)] == [5, 1, 1]
    for value, other in zip(many, alone, strict=True):
        assert torch.allclose(value, other, atol=1e-5)


def test_a_step_of_muon_is_momentum_ahead_then_orthogonal_then_scaled():
    value = nn.Parameter(torch.randn(4, 6))
    expected, momentum = value.detach().clone(), torch.zeros(4, 6)
    optimiser = Muon([value], lr=0.1, weight_decay=0.2)
    for _ in range(3):
        value.grad = torch.randn(4, 6)
        momentum = 0.95 * momentum + 0.05 * value.grad
        expected = expected * (1 - 0.1 * 0.2) - 0.1 * one_by_one(0.05 * value.grad + 0.95 * momentum)
        optimiser.step()
    assert torch.allclose(value, expected, atol=1e-4)


def test_no_gradient_moves_nothing_and_gives_no_nan():
    assert not orthogonalise(torch.zeros(4, 6)).any()


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 500), st.floats(0, 0.9))
def test_the_rate_warms_up_to_its_highest_and_ends_near_zero(steps, warmup):
    shares = [rate(step, steps, config(warmup=warmup)) for step in range(steps)]
    top = max(1, round(warmup * steps))
    assert all(0 < share <= 1 for share in shares)
    assert shares[: top - 1] == sorted(shares[: top - 1])
    assert shares[top - 1] == 1
    assert shares[top - 1 :] == sorted(shares[top - 1 :], reverse=True)
    if top < steps:
        assert rate(steps, steps, config(warmup=warmup)) == pytest.approx(0, abs=1e-9)


def test_between_its_ends_the_rate_is_a_line_and_a_cosine():
    shares = [rate(step, 100, config(warmup=0.2)) for step in range(100)]
    assert shares[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert shares[60] == pytest.approx(0.5)
    assert shares[40] == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


def test_matrices_that_mix_channels_go_to_muon_and_the_rest_to_adamw(network):
    chosen = {name for name, value in network.named_parameters() if is_matrix(name, value)}
    for name in (
        "llformer.dynamic.down.0.attentions.0.modulation.weights.weight",
        "llformer.dynamic.down.2.attentions.0.pointwise.weight",
        "llformer.dynamic.scales.1.0.0.weight",
        "llformer.fusion.0.queries_keys_values.weight",
        "prior.network.body.0.weight",
        "prior.text_to_shared.weight",
    ):
        assert name in chosen
    for name in (
        "llformer.head.weight",
        "llformer.scale_embedding",
        "llformer.dynamic.down.0.attentions.0.alpha",
        "llformer.dynamic.down.0.attentions.0.depthwise.weight",
        "prior.text_encoder.embedding.weight",
        "prior.text_encoder.position",
        "llformer.norm.weight",
        "llformer.head.bias",
        "prior.log_scale",
    ):
        assert name in dict(network.named_parameters())
        assert name not in chosen


def test_of_the_pooled_path_the_matrix_goes_to_muon_and_its_norm_to_adamw(small_model):
    sizes = LLformerConfig(preset="small", modulation="residual", landmarks="none", images="own", drop_path=0.0)
    network = StageOne(small_model(llformer=sizes), FacesConfig(classes=("a", "b"), shape=(32, 32, 3)))
    values = {name: is_matrix(name, value) for name, value in network.named_parameters() if ".pooled." in name}
    assert values == {
        "llformer.pooled.0.weight": False,
        "llformer.pooled.0.bias": False,
        "llformer.pooled.1.weight": True,
        "llformer.pooled.1.bias": False,
    }


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_every_parameter_is_in_exactly_one_group(network, kind):
    made = optimizers(network, config(kind))
    held = [id(value) for optimiser in made for group in optimiser.param_groups for value in group["params"]]
    assert sorted(held) == sorted(id(value) for value in network.parameters())
    assert [type(optimiser).__name__ for optimiser in made] == ["AdamW", "Muon"][: len(made)]
    assert len(made) == (2 if kind == "muon" else 1)


def test_frozen_parameters_are_in_no_group(small_model, diffusion):
    faces = FacesConfig(classes=("a", "b"), shape=(32, 32, 3))
    network = LLDif(small_model(), diffusion(), faces)
    held = {id(v) for o in optimizers(network, config()) for group in o.param_groups for v in group["params"]}
    assert not held & {id(value) for value in network.image_encoder.parameters()}
    assert held == {id(value) for value in network.parameters() if value.requires_grad}


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_biases_and_norms_are_not_decayed(network, kind):
    decay = {
        id(value): group["weight_decay"]
        for optimiser in optimizers(network, config(kind))
        for group in optimiser.param_groups
        for value in group["params"]
    }
    for name, value in network.named_parameters():
        if value.ndim <= 1:
            assert decay[id(value)] == 0, name
        elif "embedding" not in name and "position" not in name:
            assert decay[id(value)] == 0.1, name


def test_embeddings_are_not_decayed(network):
    embedding = network.prior.text_encoder.embedding.weight
    [decay] = [
        group["weight_decay"]
        for optimiser in optimizers(network, config())
        for group in optimiser.param_groups
        if any(value is embedding for value in group["params"])
    ]
    assert decay == 0


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (8, 3, 3, 3)])
def test_a_muon_step_moves_by_its_rate_against_the_gradient(shape):
    value = nn.Parameter(torch.randn(shape))
    before, value.grad = value.detach().clone(), torch.randn(shape)
    gradient = value.grad.clone()
    Muon([value], lr=0.1, weight_decay=0.0).step()
    moved = (before - value.detach()).flatten(1)
    tall = max(1.0, moved.shape[0] / moved.shape[1]) ** 0.5
    assert torch.linalg.svdvals(moved).max() < 0.1 * 1.3 * tall
    assert (moved * gradient.flatten(1)).sum() > 0
    expected = orthogonalise(gradient.flatten(1)) * 0.1 * tall
    assert torch.allclose(moved, expected, atol=1e-3)


def test_muons_weight_decay_shrinks_in_proportion_to_the_rate():
    value = nn.Parameter(torch.full((4, 4), 2.0))
    value.grad = torch.zeros(4, 4)
    Muon([value], lr=0.1, weight_decay=0.5).step()
    assert torch.allclose(value, torch.full((4, 4), 2.0 * 0.95))


def test_muon_finds_the_least_squares_answer():
    """A direction test: on a plain quadratic it gets near the target."""
    target, value = torch.randn(6, 6), nn.Parameter(torch.zeros(6, 6))
    optimiser = Muon([value], lr=0.1, weight_decay=0.0)
    for step in range(200):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / 200)
        optimiser.zero_grad()
        ((value - target) ** 2).sum().backward()
        optimiser.step()
    assert (value - target).norm() < 0.1 * target.norm()
