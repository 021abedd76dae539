"""Building blocks, each against its formula."""

import pytest
import torch
import torch.nn.functional as F

from components.model.layers import (
    DynamicAttention,
    DynamicGate,
    Modulation,
    ResidualBlock,
    TransformerBlock,
    downsample,
)


@pytest.mark.parametrize(("size", "half"), [(48, 24), (64, 32), (7, 4)])
def test_downsampling_halves_height_and_width(size, half):
    assert downsample(3, 8)(torch.rand(2, 3, size, size)).shape == (2, 8, half, half)


def test_a_residual_block_with_silent_convolutions_is_the_identity_on_what_is_positive():
    block = ResidualBlock(8).eval()
    for parameter in block.body.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.rand(2, 8, 6, 6)
    assert torch.equal(block(x), x)


def test_modulation_without_a_prior_is_the_norm():
    x = torch.randn(2, 8, 5, 5) * 3 + 1
    modulated = Modulation(8, 16)(x, torch.zeros(2, 16))
    assert torch.allclose(modulated, F.group_norm(x, 1), atol=1e-6)


def test_modulation_scales_and_shifts_each_channel_by_the_prior():
    """F' = (W1 Z) * LN(F) + W2 Z, where W1 starts from one."""
    block, x, z = Modulation(8, 16), torch.randn(2, 8, 5, 5), torch.randn(2, 16)
    scale, shift = (block.weights.weight @ z.T).T.split(8, dim=1)
    expected = F.layer_norm(x, x.shape[1:]) * (1 + scale)[..., None, None] + shift[..., None, None]
    assert torch.allclose(block(x, z), expected, atol=1e-5)
    assert block.weights.bias is None


def test_dynamic_attention_mixes_channels_by_their_likeness():
    """softmax(norm(K) norm(Q)^T / alpha), written out channel by channel."""
    heads, channels, block = 2, 8, DynamicAttention(8, 16, 2)
    torch.nn.init.uniform_(block.alpha, 0.3, 2)
    x, z = torch.randn(1, channels, 4, 4), torch.randn(1, 16)
    q, k, v = block.depthwise(block.pointwise(block.modulation(x, z))).detach()[0].flatten(1).chunk(3)
    alpha = block.alpha.detach().flatten().tolist()
    mixed = torch.zeros(channels, 16)
    per_head = channels // heads
    for head in range(heads):
        own = range(head * per_head, (head + 1) * per_head)
        for query in own:
            for key in own:
                likeness = [float(F.cosine_similarity(k[key], q[other], dim=0)) / alpha[head] for other in own]
                mixed[query] += v[key] * torch.tensor(likeness).softmax(0)[query - own.start]
    expected = x + F.conv2d(mixed.view(1, channels, 4, 4), block.project.weight)
    assert torch.allclose(block(x, z), expected, atol=1e-5)


def test_the_gate_is_gelu_of_one_half_times_the_other():
    block, x, z = DynamicGate(8, 16), torch.randn(2, 8, 5, 5), torch.randn(2, 16)
    gate, value = block.depthwise(block.pointwise(block.modulation(x, z))).split(16, dim=1)
    assert torch.allclose(block(x, z), x + block.project(F.gelu(gate) * value), atol=1e-6)
    torch.nn.init.zeros_(block.project.weight)
    assert torch.equal(block(x, z), x)


def test_a_transformer_block_does_not_care_for_the_order_of_tokens():
    block, x, order = TransformerBlock(16, 4), torch.randn(2, 9, 16), torch.randperm(9)
    assert torch.allclose(block(x[:, order]), block(x)[:, order], atol=1e-5)


def test_attention_of_the_transformer_block_is_that_of_torch():
    block, x = TransformerBlock(16, 4), torch.randn(2, 9, 16)
    theirs = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = (
        block.queries_keys_values.weight.data,
        block.queries_keys_values.bias.data,
    )
    theirs.out_proj.load_state_dict(block.project.state_dict())
    normed = block.attention_norm(x)
    attended = x + theirs(normed, normed, normed, need_weights=False)[0]
    assert torch.allclose(block(x), attended + block.mlp(attended), atol=1e-5)
