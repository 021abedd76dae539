"""The recogniser: its presets, what reaches what, and that it is the same every time."""

import pytest
import torch
import torch.nn.functional as F

from components.learning.optim import OptimConfig, optimizers
from components.model.llformer import LLformer, LLformerConfig
from components.model.presets import cost

CLASSES, PRIOR = 8, 64


def recogniser(channels: int = 1, **changes) -> LLformer:
    torch.manual_seed(0)
    config = {"preset": "tiny", "landmarks": "none", "images": "own", "drop_path": 0.0} | changes
    return LLformer(LLformerConfig(**config), channels, PRIOR, CLASSES)


def seen(count: int, channels: int = 1, size: int = 48) -> torch.Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1))


def step(network: LLformer, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """One step of training; returns its loss."""
    config = OptimConfig(kind="muon", adamw_rate=0.01, muon_rate=0.02, weight_decay=0.1, warmup_share=0.0)
    loss = F.cross_entropy(network(x, z), torch.arange(len(x)) % CLASSES)
    loss.backward()
    for optimiser in optimizers(network, config):
        optimiser.step()
        optimiser.zero_grad()
    return loss.detach()


def test_what_a_preset_costs_is_known():
    assert cost(recogniser(), seen(1), torch.zeros(1, PRIOR)) == (327_005, 21_312_672)


@pytest.mark.parametrize(("channels", "size"), [(1, 48), (3, 64), (9, 50), (1, 33)])
def test_grey_and_colour_faces_of_any_size_get_logits_features_and_three_scales(channels, size):
    network, x, z = recogniser(channels).eval(), seen(2, channels, size), torch.randn(2, PRIOR)
    features = network.features(x, z)
    assert features.shape == (2, network.width)
    assert torch.equal(network.head(features), network(x, z))
    sides = [-(-size // stride) for stride in (4, 8, 16)]
    shapes = [tuple(scale.shape) for scale in network.scale_features(x, z)]
    assert shapes == [(2, width, side, side) for width, side in zip((32, 64, 80), sides, strict=True)]


def test_a_new_recogniser_does_not_care_for_the_prior_and_one_that_learnt_does():
    network, x = recogniser(), seen(8)
    priors = torch.randn(8, PRIOR), torch.randn(8, PRIOR)
    one, other = (network.eval().scale_features(x, z) for z in priors)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    step(network.train(), x, priors[0])
    one, other = (network.eval().scale_features(x, z) for z in priors)
    assert all(not torch.allclose(a, b) for a, b in zip(one, other, strict=True))


def test_a_gradient_reaches_every_parameter_and_the_prior():
    network, x = recogniser(), seen(8)
    z = torch.randn(8, PRIOR, requires_grad=True)
    step(network, x, z)  # modulation starts from zero, and lets a gradient through once it has moved
    network(x, z).square().sum().backward()
    assert all(value.grad.abs().max() > 0 for value in network.parameters())
    assert z.grad.abs().max() > 0


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_training_gives_the_same_numbers_every_time(share):
    x, z = seen(8), torch.randn(8, PRIOR)
    runs = []
    for _ in range(2):
        network = recogniser(drop_path=share)
        losses = [step(network, x, z) for _ in range(3)]
        runs.append([*losses, *network.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    assert losses[0] > losses[-1]


def test_paths_are_dropped_in_training_alone():
    network, x, z = recogniser(drop_path=0.5), seen(8), torch.randn(8, PRIOR)
    assert not torch.equal(network(x, z), network(x, z))
    assert torch.equal(network.eval()(x, z), network(x, z))
