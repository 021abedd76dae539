"""LA-CLIP and PNET: what reaches Z, and how the prompts are read."""

import pytest
import torch
import torch.nn.functional as F

from components.model.prior import Prior, PriorConfig, PriorNetwork

CLASSES = ("calm", "very glad", "cross")


def prior(label_input: bool) -> Prior:
    config = PriorConfig(channels=16, width=8, prompt="a face that is {label}", label_input=label_input)
    return Prior(config, 3, CLASSES).eval()


def images(count: int = 4) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)


def test_z_is_normalised_so_that_its_scale_carries_nothing():
    z = PriorNetwork(32, 16)(torch.randn(50, 32) * 10)
    assert torch.allclose(z.mean(1), torch.zeros(50), atol=1e-5)
    assert torch.allclose(z.std(1, correction=0), torch.ones(50), atol=1e-2)


def test_by_default_z_does_not_know_the_label():
    network, x = prior(label_input=False), images()
    assert torch.equal(network(x, torch.tensor([0, 1, 2, 0])), network(x, torch.tensor([2, 2, 1, 1])))


def test_in_the_papers_form_z_knows_the_label():
    network, x = prior(label_input=True), images()
    right, wrong = network(x, torch.tensor([0, 1, 2, 0])), network(x, torch.tensor([0, 2, 2, 1]))
    changed = (right - wrong).abs().amax(1) > 1e-4
    assert changed.tolist() == [False, True, False, True]


@pytest.mark.parametrize("label_input", [False, True])
def test_z_knows_the_image(label_input):
    z = prior(label_input)(images(2), torch.tensor([0, 0]))
    assert z.shape == (2, 16)
    assert (z[0] - z[1]).abs().max() > 1e-4


def test_similarity_is_the_scaled_cosine_with_each_prompt():
    network, z = prior(False), torch.randn(5, 16)
    texts = network.to_shared(network.text_encoder())
    expected = torch.stack([F.cosine_similarity(z, text[None]) for text in texts], dim=1) * network.log_scale.exp()
    assert torch.allclose(network.similarity(z), expected, atol=1e-5)
    assert torch.allclose(network.similarity(z), network.similarity(7 * z), atol=1e-5)


def test_the_contrastive_loss_reaches_prompts_and_images():
    network = prior(False).train()
    labels = torch.tensor([0, 1, 2, 0])
    F.cross_entropy(network.similarity(network(images(), labels)), labels).backward()
    for name in ("text_encoder.embedding.weight", "to_shared.weight", "network.body.0.weight", "log_scale"):
        assert network.get_parameter(name).grad.abs().max() > 0, name
    assert next(network.image_encoder.parameters()).grad.abs().max() > 0
