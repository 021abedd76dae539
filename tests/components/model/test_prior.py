"""LA-CLIP and PNET: what reaches Z, and what is drawn together."""

import pytest
import torch
import torch.nn.functional as F

from components.model.light import LightConfig, Seen
from components.model.prior import Prior, PriorConfig, PriorNetwork

CLASSES = ("calm", "very glad", "cross")


def prior(label_input: bool) -> Prior:
    config = PriorConfig(
        channels=16,
        clip=None,
        width=8,
        prompt="a face that is {label}",
        sees="dark",
        label_input=label_input,
        normalised=True,
    )
    return Prior(config, LightConfig(form="auto_gain", blurs=False, read_noise=0.0), 3, CLASSES).eval()


def features(network: Prior, count: int = 4) -> torch.Tensor:
    return network.image_encoder(Seen(torch.randn(count, 3, 32, 32), torch.zeros(count, 3)))


def told(*faces: bool) -> torch.Tensor:
    return torch.tensor(faces)


def test_z_is_normalised_so_that_its_scale_carries_nothing():
    z = PriorNetwork(32, 16, normalised=True)(torch.randn(50, 32) * 10)
    assert torch.allclose(z.mean(1), torch.zeros(50), atol=1e-5)
    assert torch.allclose(z.std(1, correction=0), torch.ones(50), atol=1e-2)
    free = PriorNetwork(32, 16, normalised=False)(torch.randn(50, 32) * 10)
    assert (free.std(1) - 1).abs().max() > 0.1


def test_by_default_z_does_not_know_the_label():
    network = prior(label_input=False)
    x = features(network)
    one, other = (network(x, torch.tensor(labels), told(*[True] * 4)) for labels in ([0, 1, 2, 0], [2, 2, 1, 1]))
    assert torch.equal(one, other)


def test_in_the_papers_form_z_knows_the_label_where_it_is_told():
    network = prior(label_input=True)
    x = features(network)
    right, wrong = (network(x, torch.tensor(n), told(True, True, True, False)) for n in ([0, 1, 2, 0], [0, 2, 2, 1]))
    changed = (right - wrong).abs().amax(1) > 1e-4
    assert changed.tolist() == [False, True, False, False]


@pytest.mark.parametrize("label_input", [False, True])
def test_z_knows_the_image(label_input):
    network = prior(label_input)
    z = network(features(network, 2), torch.tensor([0, 0]), told(True, True))
    assert z.shape == (2, 16)
    assert (z[0] - z[1]).abs().max() > 1e-4


def test_similarity_is_the_scaled_cosine_with_each_prompt():
    network, z = prior(False), torch.randn(5, 16)
    texts = network.text_to_shared(network.text_encoder())
    expected = torch.stack([F.cosine_similarity(z, text[None]) for text in texts], dim=1) * network.log_scale.exp()
    assert torch.allclose(network.similarity(z), expected, atol=1e-5)
    assert torch.allclose(network.similarity(z), network.similarity(7 * z), atol=1e-5)


def test_likeness_is_the_scaled_cosine_of_all_pairs_of_faces():
    network, one, other = prior(False), *torch.randn(2, 5, 32)
    shared = [network.face_to_shared(x) for x in (one, other)]
    expected = F.cosine_similarity(shared[0][:, None], shared[1][None], dim=2) * network.log_scale.exp()
    assert torch.allclose(network.likeness(one, other), expected, atol=1e-5)


def test_the_contrastive_losses_reach_prompts_and_images():
    network = prior(False).train()
    labels = torch.tensor([0, 1, 2, 0])
    x = features(network)
    z = network(x, labels, told(*[True] * 4))
    (F.cross_entropy(network.similarity(z), labels) + network.likeness(x, x.flip(0)).sum()).backward()
    for name in ("text_to_shared.weight", "face_to_shared.weight", "network.body.0.weight", "log_scale"):
        assert network.get_parameter(name).grad.abs().max() > 0, name
    for encoder in (network.image_encoder, network.text_encoder):
        assert next(encoder.parameters()).grad.abs().max() > 0
