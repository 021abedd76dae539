"""LA-CLIP's own small encoders: shapes, and what a prompt's embedding hears of its words. About a second in all."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.model.encoders import ImageEncoder, TextEncoder

CLASSES = ("calm", "very glad", "cross")
WORDS = ("not", "glad", "but", "sad", "today")


@pytest.mark.parametrize("channels", [1, 3])
def test_the_image_encoder_gives_four_times_its_width(channels):
    encoder = ImageEncoder(channels, 8).eval()
    assert encoder(torch.rand(4, channels, 32, 32)).shape == (4, 32)
    assert encoder.features == 32


def test_an_image_is_encoded_alone():
    encoder, x = ImageEncoder(1, 8).eval(), torch.rand(4, 1, 32, 32)
    assert torch.allclose(encoder(x)[2:3], encoder(x[2:3]), atol=1e-6)
    assert torch.pdist(encoder(x)).min() > 1e-3


def test_every_class_has_an_embedding_of_its_own():
    embedded = TextEncoder([f"a face that is {name}" for name in CLASSES], 32)()
    assert embedded.shape == (3, 32)
    assert torch.pdist(embedded).min() > 1e-3


def test_capitals_do_not_matter_in_a_prompt():
    embedded = TextEncoder(["a glad face", "A GLAD face", "a sad face"], 32)()
    assert torch.equal(embedded[0], embedded[1])
    assert not torch.allclose(embedded[0], embedded[2])


@settings(deadline=None, max_examples=20)
@given(st.permutations(WORDS).filter(lambda words: tuple(words) != WORDS))
def test_the_order_of_the_words_changes_the_embedding(words):
    embedded = TextEncoder([" ".join(WORDS), " ".join(words)], 32)()
    assert (embedded[0] - embedded[1]).abs().max() > 0.02


@pytest.mark.parametrize("training", [True, False])
def test_the_padding_of_a_short_prompt_carries_nothing(training):
    encoder = TextEncoder(["glad", "so very glad indeed"], 32).train(training)
    with torch.set_grad_enabled(training):  # torch has a path of its own for inference
        before = encoder()[0]
        with torch.no_grad():
            encoder.position[1:] += 1
            encoder.embedding.weight[0] += 1
        assert torch.equal(encoder()[0], before)


def test_a_prompt_is_the_same_however_long_the_others_are():
    short, long = TextEncoder(["so glad", "glad so"], 32), TextEncoder(["so glad", "glad so so glad so"], 32)
    same = long.state_dict() | {"words": short.words, "position": long.position[:2]}
    short.load_state_dict(same)
    assert torch.allclose(short()[0], long()[0], atol=1e-5)


def test_the_gradient_of_one_class_reaches_its_own_words_alone():
    encoder = TextEncoder(["a glad face", "a sad face"], 32)
    encoder()[1].square().sum().backward()
    moved = encoder.embedding.weight.grad.abs().sum(dim=1) > 0
    assert moved.tolist() == [False, True, True, False, True]  # padding, a, face, glad, sad


def test_the_same_classes_give_the_same_words_in_every_process():
    """The vocabulary is sorted, so weights fit whoever builds the network again."""
    assert TextEncoder(["b a", "c"], 8).words.tolist() == [[2, 1], [3, 0]]
