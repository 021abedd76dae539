"""The recogniser: its presets, what reaches what, and that it is the same every time."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from components.learning.optim import OptimConfig, optimizers
from components.model.llformer import LLformer, LLformerConfig
from components.model.presets import cost

CLASSES, PRIOR = 8, 64


def recogniser(channels: int = 1, **changes) -> LLformer:
    torch.manual_seed(0)
    config = {
        "preset": "tiny",
        "modulation": "residual",
        "landmarks": "none",
        "images": "own",
        "drop_path": 0.0,
    } | changes
    return LLformer(LLformerConfig(**config), channels, PRIOR, CLASSES, channels, frozen_landmarks=True)


def seen(count: int, channels: int = 1, size: int = 48) -> torch.Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1))


def step(network: LLformer, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """One step of training; returns its loss."""
    config = OptimConfig(kind="muon", adamw_rate=0.01, muon_rate=0.02, weight_decay=0.1, warmup_share=0.0)
    loss = F.cross_entropy(network(x, z).logits, torch.arange(len(x)) % CLASSES)
    loss.backward()
    for optimiser in optimizers(network, config):
        optimiser.step()
        optimiser.zero_grad()
    return loss.detach()


def test_a_known_layer_costs_what_a_hand_counts():
    """Two a multiply-add: 9 * 2 * 3 for each of 25 places, then 75 * 4; parameters 9 * 2 * 3 + 75 * 4 + 4."""
    network = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(75, 4))
    assert cost(network, torch.zeros(1, 2, 5, 5)) == (54 + 304, 2 * (54 * 25 + 300))


@pytest.mark.parametrize(("channels", "size"), [(1, 48), (3, 64), (9, 50), (1, 33)])
def test_grey_and_colour_faces_of_any_size_get_logits_features_and_three_scales(channels, size):
    network, x, z = recogniser(channels).eval(), seen(2, channels, size), torch.randn(2, PRIOR)
    recognised = network(x, z)
    assert recognised.features.shape == (2, network.width)
    assert recognised.logits.shape == (2, CLASSES)
    sides = [-(-size // stride) for stride in (4, 8, 16)]
    shapes = [tuple(scale.shape) for scale in recognised.scales]
    assert shapes == [(2, width, side, side) for width, side in zip((32, 64, 80), sides, strict=True)]


@pytest.mark.parametrize(
    ("preset", "channels", "size", "shapes"),
    [
        ("small", 1, 48, [(48, 12), (64, 6), (64, 3)]),
        ("base", 1, 48, [(96, 12), (128, 6), (128, 3)]),
        ("base", 3, 64, [(96, 16), (128, 8), (128, 4)]),
        ("paper", 3, 224, [(64, 28), (128, 14), (256, 7)]),
        ("paper", 3, 112, [(64, 14), (128, 7), (256, 4)]),
    ],
)
def test_the_larger_presets_have_the_maps_they_say(preset, channels, size, shapes):
    network, z = (
        recogniser(channels, preset=preset, modulation="residual", landmarks="own").eval(),
        torch.zeros(1, PRIOR),
    )
    with torch.no_grad():
        maps, _, logits = network(seen(1, channels, size), z)
        tokens = network.to_tokens([maps, network.dlnet(seen(1, channels, size))])
    assert logits.shape == (1, CLASSES)
    assert [tuple(x.shape[1:]) for x in maps] == [(c, side, side) for c, side in shapes]
    assert tokens.shape == (1, 3 * shapes[-1][1] ** 2, network.width)


@pytest.mark.parametrize(("preset", "heard"), [("tiny", [True, True, True]), ("small", [False, True, True])])
def test_a_new_recogniser_does_not_care_for_the_prior_and_one_that_learnt_does(preset, heard):
    """F1 of small is made before any block hears Z."""
    network, x = recogniser(preset=preset), seen(8)
    priors = torch.randn(8, PRIOR), torch.randn(8, PRIOR)
    one, other = (network.eval()(x, z).scales for z in priors)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    step(network.train(), x, priors[0])
    one, other = (network.eval()(x, z).scales for z in priors)
    assert [not torch.allclose(a, b) for a, b in zip(one, other, strict=True)] == heard


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_a_gradient_reaches_every_parameter_and_the_prior(preset):
    network, x = recogniser(preset=preset), seen(8)
    z = torch.randn(8, PRIOR, requires_grad=True)
    step(network, x, z)  # modulation starts from zero, and lets a gradient through once it has moved
    network(x, z).logits.square().sum().backward()
    assert all(value.grad.abs().max() > 0 for value in network.parameters())
    assert z.grad.abs().max() > 0


def test_the_larger_presets_and_dlnet_are_reached_by_the_gradient_too():
    """But for half of the keys' bias in cross-attention, which moves all likenesses alike."""
    network, x = recogniser(preset="base", modulation="residual", landmarks="own"), seen(4)
    z = torch.randn(4, PRIOR)
    step(network, x, z)
    network(x, z).logits.square().sum().backward()
    assert all(value.grad.abs().max() > 0 for value in network.parameters())


def test_the_pooled_path_brings_the_maps_means_past_the_fusion():
    """A fusion that passes nothing on leaves what the means say, where a preset has that path."""
    for preset, reached in (("small", True), ("tiny", False)):
        network, z = recogniser(preset=preset).eval(), torch.zeros(2, PRIOR)
        nn.init.zeros_(network.norm.weight)
        one, other = network(seen(2), z).features
        assert torch.equal(one, other) != reached


def test_the_way_up_brings_what_lies_below():
    """F1 of a preset with a way up depends on F3's blocks; where there is none it does not."""
    for preset, reached in (("tiny", False), ("base", True)):
        network, x = recogniser(preset=preset).eval(), seen(2)
        z = torch.zeros(2, PRIOR)
        before = network(x, z).scales[0]
        nn.init.normal_(network.dynamic.down[2].gates[0].project.weight)
        assert torch.equal(network(x, z).scales[0], before) != reached


def test_a_pretrained_image_branch_without_landmarks_is_refused():
    with pytest.raises(ValueError, match="allowed with landmarks own or mobilefacenet"):
        LLformerConfig(preset="tiny", modulation="residual", landmarks="none", images="ir50", drop_path=0.0)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_training_gives_the_same_numbers_every_time(share):
    x, z = seen(8), torch.randn(8, PRIOR)
    runs = []
    for _ in range(2):
        network = recogniser(drop_path=share, landmarks="own")
        losses = [step(network, x, z) for _ in range(3)]
        runs.append([*losses, *network.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    assert losses[0] > losses[-1]


def test_paths_are_dropped_in_training_alone():
    network, x, z = recogniser(drop_path=0.5), seen(8), torch.randn(8, PRIOR)
    assert not torch.equal(network(x, z).logits, network(x, z).logits)
    assert torch.equal(network.eval()(x, z).logits, network(x, z).logits)
