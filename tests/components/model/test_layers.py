"""Building blocks, each against its formula."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from components.model.layers import (
    DropPath,
    DynamicAttention,
    DynamicGate,
    Modulation,
    ResidualBlock,
    TransformerBlock,
    downsample,
)


def randomised(block: nn.Module) -> nn.Module:
    """With weights that start at zero drawn too."""
    for value in block.parameters():
        nn.init.normal_(value, std=0.3)
    return block


@pytest.mark.parametrize(("size", "half"), [(48, 24), (64, 32), (7, 4)])
def test_downsampling_halves_height_and_width(size, half):
    assert downsample(3, 8)(torch.rand(2, 3, size, size)).shape == (2, 8, half, half)


def test_a_residual_block_with_silent_convolutions_is_the_identity_on_what_is_positive():
    block = ResidualBlock(8).eval()
    for parameter in block.body.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.rand(2, 8, 6, 6)
    assert torch.equal(block(x), x)


def test_modulation_starts_as_the_norm_whatever_the_prior():
    x = torch.randn(2, 5, 5, 8) * 3 + 1
    assert torch.allclose(Modulation(8, 16, residual=True)(x, torch.randn(2, 16)), F.layer_norm(x, (8,)), atol=1e-6)


@pytest.mark.parametrize(("residual", "offset"), [(True, 1), (False, 0)])
def test_modulation_scales_and_shifts_each_channel_by_the_prior(residual: bool, offset: int):
    """F' = (W1 Z) * LN(F) + W2 Z as the paper writes it, or with 1 + W1 Z."""
    block, x, z = randomised(Modulation(8, 16, residual)), torch.randn(2, 5, 5, 8), torch.randn(2, 16)
    scale, shift = (block.weights.weight @ z.T).T.split(8, dim=1)
    normed = (x - x.mean(-1, keepdim=True)) / x.std(-1, correction=0, keepdim=True)
    expected = normed * (offset + scale)[:, None, None] + shift[:, None, None]
    assert torch.allclose(block(x, z), expected, atol=1e-3)
    assert block.weights.bias is None


def test_modulation_as_the_paper_writes_it_does_not_start_silent():
    x = torch.randn(2, 5, 5, 8)
    assert Modulation(8, 16, residual=False)(x, torch.randn(2, 16)).std() > 0.1


def test_dynamic_attention_mixes_channels_by_their_likeness():
    """Each channel is a mean of V's channels, by softmax(norm(K) norm(Q)^T / alpha) over K's: written out."""
    heads, channels, block = 2, 8, randomised(DynamicAttention(8, 16, 2, residual=True))
    torch.nn.init.uniform_(block.alpha, 0.3, 2)
    x, z = torch.randn(1, 4, 4, channels), torch.randn(1, 16)
    maps = block.pointwise(block.modulation(x, z)).permute(0, 3, 1, 2)
    q, k, v = block.depthwise(maps).detach()[0].flatten(1).chunk(3)
    alpha = block.alpha.detach().flatten().tolist()
    mixed = torch.zeros(channels, 16)
    per_head = channels // heads
    for head in range(heads):
        own = range(head * per_head, (head + 1) * per_head)
        for query in own:
            likeness = [float(F.cosine_similarity(k[key], q[query], dim=0)) / alpha[head] for key in own]
            mixed[query] = torch.tensor(likeness).softmax(0) @ v[own.start : own.stop]
    expected = x + F.linear(mixed.T.reshape(1, 4, 4, channels), block.project.weight)
    assert torch.allclose(block(x, z), expected, atol=1e-5)


def test_dynamic_attention_of_an_empty_map_is_a_number():
    block = DynamicAttention(8, 16, 2, residual=True)
    x = torch.zeros(1, 4, 4, 8, requires_grad=True)
    block(x, torch.zeros(1, 16)).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_the_gate_is_gelu_of_one_half_times_the_other():
    block, x, z = randomised(DynamicGate(8, 16, 2, residual=True)), torch.randn(2, 5, 5, 8), torch.randn(2, 16)
    maps = block.depthwise(block.pointwise(block.modulation(x, z)).permute(0, 3, 1, 2))
    gate, value = maps.permute(0, 2, 3, 1).split(16, dim=-1)
    assert torch.allclose(block(x, z), x + block.project(F.gelu(gate) * value), atol=1e-6)
    torch.nn.init.zeros_(block.project.weight)
    assert torch.equal(block(x, z), x)


def test_a_transformer_block_does_not_care_for_the_order_of_tokens():
    block, x, order = TransformerBlock(16, 4, 2, 0.0, 0), torch.randn(2, 9, 16), torch.randperm(9)
    assert torch.allclose(block(x[:, order]), block(x)[:, order], atol=1e-5)


def test_attention_of_the_transformer_block_is_that_of_torch():
    block, x = TransformerBlock(16, 4, 2, 0.0, 0), torch.randn(2, 9, 16)
    theirs = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = (
        block.queries_keys_values.weight.data,
        block.queries_keys_values.bias.data,
    )
    theirs.out_proj.load_state_dict(block.project.state_dict())
    normed = block.attention_norm(x)
    attended = x + theirs(normed, normed, normed, need_weights=False)[0]
    assert torch.allclose(block(x), attended + block.mlp(attended), atol=1e-5)


def test_a_drop_path_keeps_the_mean_and_drops_whole_faces():
    layer = DropPath(0.3, stream=0)
    kept = torch.stack([layer(torch.ones(200, 2, 3)) for _ in range(100)])  # (draws, faces, ...)
    assert set(kept.unique().tolist()) == {0.0, torch.tensor(1 / 0.7).item()}
    assert torch.equal(kept, kept[..., :1, :1].expand_as(kept))
    assert kept.mean().item() == pytest.approx(1, abs=4 * (0.3 / 0.7 / 20_000) ** 0.5)
    per_face = kept[..., 0, 0].mean(0)  # no face is dropped more often than the others, nor is a draw repeated
    assert per_face.std().item() == pytest.approx((0.3 / 0.7 / 100) ** 0.5, rel=0.25)


def test_a_drop_path_does_nothing_once_training_is_over():
    x = torch.randn(4, 2)
    assert torch.equal(DropPath(0.9, stream=0).eval()(x), x)


def test_drop_paths_of_two_places_drop_different_faces():
    one, other = (DropPath(0.5, stream)(torch.ones(64)) for stream in (0, 1))
    assert not torch.equal(one, other)


def test_a_drop_path_goes_on_from_where_its_weights_were_saved():
    layer, resumed, x = DropPath(0.5, stream=3), DropPath(0.5, stream=3), torch.ones(64)
    first = layer(x)
    resumed.load_state_dict(layer.state_dict())
    second = layer(x)
    assert torch.equal(resumed(x), second)
    assert not torch.equal(first, second)
