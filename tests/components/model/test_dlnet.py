"""Windows, cross-attention and branches of DLNet, each against what it says it is."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from components.model.dlnet import (
    IR50_CONTRAST,
    MOBILEFACENET_CONTRAST,
    CrossAttention,
    DLNet,
    Pretrained,
    partition,
    relative_offsets,
    resized,
    reversed_partition,
)
from components.model.ir50 import IR50
from components.model.mobilefacenet import MobileFaceNet
from components.model.presets import PRESETS

TINY = PRESETS["tiny"].dlnet


def branch(landmarks: str = "own", images: str = "own", channels: int = 1, frozen: bool = True) -> DLNet:
    torch.manual_seed(0)
    return DLNet(TINY, channels, landmarks, images, [0.0, 0.0, 0.0], channels if channels < 9 else 3, frozen)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 3), st.integers(1, 13), st.integers(1, 13), st.integers(1, 6))
def test_windows_put_together_again_are_the_map(batch, height, width, window):
    x = torch.randn(batch, height, width, 2)
    windows = partition(x, window)
    down, across = -(-height // window), -(-width // window)
    assert windows.shape == (batch, down * across, window * window, 2)
    assert torch.equal(reversed_partition(windows, window, height, width), x)


def test_a_window_holds_neighbours_row_by_row():
    x = torch.arange(24.0).reshape(1, 4, 6, 1)
    windows = partition(x, 2)[0, ..., 0].tolist()
    assert windows[0] == [0, 1, 6, 7]
    assert windows[1] == [2, 3, 8, 9]
    assert windows[3] == [12, 13, 18, 19]


@pytest.mark.parametrize("window", [1, 2, 4, 7])
def test_each_difference_of_positions_has_its_own_bias(window):
    offsets, number = relative_offsets(window), {}
    for i in range(window * window):
        for j in range(window * window):
            difference = (i // window - j // window, i % window - j % window)
            assert number.setdefault(difference, int(offsets[i, j])) == offsets[i, j]
    assert sorted(number.values()) == list(range((2 * window - 1) ** 2))


def one_by_one(block: CrossAttention, landmarks: Tensor, images: Tensor) -> Tensor:
    """The block written out for each position of maps (B, C, H, W): who is in its window, how alike, how far."""
    batch, channels, height, width = images.shape
    window, size = block.window, channels // block.heads
    q = block.queries(block.landmark_norm(landmarks.permute(0, 2, 3, 1)))
    k, v = block.keys_values(block.image_norm(images.permute(0, 2, 3, 1))).chunk(2, dim=-1)
    answers = torch.zeros(batch, height, width, channels)
    for row in range(height):
        for column in range(width):
            top, left = row // window * window, column // window * window
            there = [(r, c) for r in range(top, top + window) for c in range(left, left + window)]
            there = [(r, c) for r, c in there if r < height and c < width]
            for head in range(block.heads):
                own = slice(head * size, (head + 1) * size)
                index = [(row - r + window - 1) * (2 * window - 1) + column - c + window - 1 for r, c in there]
                likeness = torch.stack([(q[:, row, column, own] * k[:, r, c, own]).sum(1) for r, c in there], dim=1)
                share = (likeness / size**0.5 + block.position_bias[index, head]).softmax(dim=1)
                values = torch.stack([v[:, r, c, own] for r, c in there], dim=1)
                answers[:, row, column, own] = (share[..., None] * values).sum(1)
    x = images.permute(0, 2, 3, 1) + block.project(answers)
    return (x + block.mlp(x)).permute(0, 3, 1, 2)


@pytest.mark.parametrize(("height", "width"), [(6, 6), (4, 8), (5, 7), (2, 2)])
def test_cross_attention_is_the_formula_on_any_map(height, width):
    block = CrossAttention(8, 2, 4 if height != 6 else 3, 0.0, 0)
    nn.init.normal_(block.position_bias)
    landmarks, images = torch.randn(2, 2, 8, height, width)
    with torch.no_grad():
        assert torch.allclose(block(landmarks, images), one_by_one(block, landmarks, images), atol=1e-5)


def test_landmarks_decide_where_the_image_is_looked_at_and_add_nothing_of_their_own():
    block = CrossAttention(8, 2, 4, 0.0, 0)
    landmarks, images = torch.randn(2, 1, 8, 4, 4)
    assert not torch.allclose(block(landmarks, images), block(landmarks.flip(3), images))
    flat = images[:, :, :1, :1].expand_as(images)  # wherever one looks, it is the same
    assert torch.allclose(block(landmarks, flat), block(landmarks.flip(3), flat), atol=1e-5)


@pytest.mark.parametrize(("channels", "size"), [(1, 48), (3, 64), (9, 50)])
def test_own_branches_answer_on_their_three_grids(channels, size):
    maps = branch(channels=channels).eval()(torch.randn(2, channels, size, size))
    sides = [-(-size // stride) for stride in (4, 8, 16)]
    assert [tuple(x.shape) for x in maps] == [(2, c, side, side) for c, side in zip(TINY.channels, sides, strict=True)]


@pytest.mark.parametrize("images", ["own", "ir50"])
@pytest.mark.parametrize("landmarks", ["own", "mobilefacenet"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pretrained_branches_take_the_place_of_own_ones(landmarks, images, channels):
    sides = (28, 14, 7) if images == "ir50" else (12, 6, 3)
    with torch.no_grad():
        maps = branch(landmarks, images, channels).eval()(torch.randn(1, channels, 48, 48))
    assert [tuple(x.shape[1:]) for x in maps] == [(c, s, s) for c, s in zip(TINY.channels, sides, strict=True)]


def test_a_pretrained_backbone_is_shown_faces_in_colour_of_its_own_size_and_contrast():
    class Eye(nn.Module):
        channels = (1, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return x

    eye = Pretrained(Eye(), IR50_CONTRAST, 1, frozen=True)
    grey = torch.randn(2, 3, 48, 48)  # one photograph, and two that are blurred
    shown = eye(grey)
    assert shown.shape == (2, 3, 112, 112)
    assert torch.equal(shown[:, 0], shown[:, 2])
    assert torch.allclose(shown, resized((grey[:, :1] * 0.5).clamp(-1, 1), 112, 112).expand_as(shown), atol=1e-6)
    assert shown.min() == -1
    assert shown.max() == 1
    colour = torch.randn(2, 9, 112, 112) / 9
    assert torch.equal(Pretrained(Eye(), IR50_CONTRAST, 3, frozen=True)(colour), colour[:, :3] * 0.5)


def test_mobilefacenet_is_shown_as_much_contrast_as_imagenets_mean_and_deviation_leave():
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    white, black = (1 - mean) / deviation, -mean / deviation
    assert white.max() - 0.05 < MOBILEFACENET_CONTRAST.limit < white.max() + 0.05
    assert MOBILEFACENET_CONTRAST.limit > -black.min()
    assert MOBILEFACENET_CONTRAST.deviation == 1


@pytest.mark.parametrize(
    ("landmarks", "images", "known"),
    [("own", "own", False), ("mobilefacenet", "own", True), ("mobilefacenet", "own", False)],
)
def test_a_gradient_reaches_everything_but_what_is_frozen(landmarks, images, known):
    network = branch(landmarks, images, frozen=known).train()
    sum(x.square().sum() for x in network(torch.randn(2, 1, 48, 48))).backward()
    frozen = "landmark_branch.network." if known else "nothing"
    for name, value in network.named_parameters():
        if name.startswith(frozen):
            assert value.grad is None, name
        elif not name.endswith("keys_values.bias"):  # half of it moves all likenesses alike
            assert value.grad.abs().max() > 0, name


def test_a_frozen_backbone_keeps_its_batch_statistics_and_a_trained_one_does_not():
    for network, frozen in ((MobileFaceNet(), True), (IR50(), False)):
        wrapped = Pretrained(network, IR50_CONTRAST, 1, frozen=frozen).train()
        before = {name: value.clone() for name, value in wrapped.state_dict().items()}
        wrapped(torch.randn(2, 1, 32, 32))
        same = [torch.equal(value, before[name]) for name, value in wrapped.state_dict().items()]
        assert all(same) == frozen
        assert wrapped.training != frozen
        assert all(value.requires_grad != frozen for value in wrapped.parameters())
