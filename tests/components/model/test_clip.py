"""Pretrained CLIP, on a tiny one in the official layout: config.json, model.safetensors, tokenizer. Twenty seconds in
all, most of them the import of transformers. No test asks the network."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from components.config import ConfigError
from components.model import clip
from components.model.clip import ClipConfig, ClipImageEncoder, ClipTextEncoder
from components.model.light import LightConfig, Seen
from components.model.lldif import FacesConfig, LLDif, StageOne
from components.model.prior import Prior, PriorConfig
from components.records import DataError

REPOSITORY = Path(__file__).resolve().parents[3]
BYTES = [*range(33, 127), *range(161, 173), *range(174, 256)]  # those that stand for themselves in CLIP's vocabulary
ALPHABET = [chr(code) for code in BYTES + [256 + number for number in range(256 - len(BYTES))]]
SPECIAL = ["<|startoftext|>", "<|endoftext|>"]
VOCABULARY = [*ALPHABET, *(letter + "</w>" for letter in ALPHABET), *SPECIAL]
HEADS, LAYERS, PATCH = 4, 2, 8
PROMPTS = ["a glad face", "a face that is so very sad"]
END_OF_TEXT = 2  # what OpenAI's configs say, though their token is the last one


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("a test asked the network")

    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A folder as `save_pretrained` writes it, with a tokenizer that spells: letters are its longest tokens."""
    import transformers

    torch.manual_seed(3)
    transformers.logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("clip")
    sizes = {"intermediate_size": 48, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "projection_dim": 20}
    text = {"vocab_size": len(VOCABULARY), "hidden_size": 24, "max_position_embeddings": 32}
    text |= {"bos_token_id": 512, "eos_token_id": END_OF_TEXT, "pad_token_id": 1}
    vision = {"hidden_size": 32, "image_size": 32, "patch_size": PATCH}
    config = transformers.CLIPConfig(text_config=sizes | text, vision_config=sizes | vision, projection_dim=20)
    transformers.CLIPModel(config).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(VOCABULARY)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    weights = load_file(folder / "model.safetensors")
    for name, value in weights.items():  # biases start as zeros and norms as ones: then none of them would be heard
        value.add_(torch.randn(value.shape) * 0.2)
        assert value.any(), name
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture
def copy(tiny, tmp_path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "clip"))


def linear(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def norm(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], eps=1e-5)


def transform(weights: dict[str, Tensor], side: str, x: Tensor, mask: Tensor) -> Tensor:
    """CLIP's transformer, from the official names alone: x (B, N, D), mask (N, N) added to the attention."""
    for number in range(LAYERS):
        layer = f"{side}.encoder.layers.{number}"
        inner = norm(weights, f"{layer}.layer_norm1", x)
        q, k, v = (
            linear(weights, f"{layer}.self_attn.{part}_proj", inner).unflatten(2, (HEADS, -1)).transpose(1, 2)
            for part in "qkv"
        )
        attention = (q @ k.mT / q.shape[-1] ** 0.5 + mask).softmax(dim=-1)
        x = x + linear(weights, f"{layer}.self_attn.out_proj", (attention @ v).transpose(1, 2).flatten(2))
        inner = linear(weights, f"{layer}.mlp.fc1", norm(weights, f"{layer}.layer_norm2", x))
        x = x + linear(weights, f"{layer}.mlp.fc2", inner * torch.sigmoid(1.702 * inner))
    return x


def expected_image(weights: dict[str, Tensor], pixels: Tensor) -> Tensor:
    """The image tower's answer to normalised pixels of its own size."""
    patches = F.conv2d(pixels, weights["vision_model.embeddings.patch_embedding.weight"], stride=PATCH)
    start = weights["vision_model.embeddings.class_embedding"].expand(len(pixels), 1, -1)
    x = torch.cat([start, patches.flatten(2).mT], dim=1) + weights["vision_model.embeddings.position_embedding.weight"]
    x = transform(weights, "vision_model", norm(weights, "vision_model.pre_layrnorm", x), torch.zeros(()))
    return linear(weights, "visual_projection", norm(weights, "vision_model.post_layernorm", x[:, 0]))


def expected_text(weights: dict[str, Tensor], prompt: str) -> Tensor:
    """The text tower's answer to one prompt, spelt letter by letter."""
    letters = [letter for word in prompt.split() for letter in [*word[:-1], word[-1] + "</w>"]]
    tokens = torch.tensor([VOCABULARY.index(token) for token in [SPECIAL[0], *letters, SPECIAL[1]]])
    x = weights["text_model.embeddings.token_embedding.weight"][tokens]
    x = x + weights["text_model.embeddings.position_embedding.weight"][: len(tokens)]
    causal = torch.full((len(tokens), len(tokens)), -torch.inf).triu(1)
    x = norm(weights, "text_model.final_layer_norm", transform(weights, "text_model", x[None], causal))
    return linear(weights, "text_projection", x[0, -1])


def test_the_image_encoder_computes_what_clip_is(tiny):
    encoder, images = ClipImageEncoder(str(tiny)), torch.rand(3, 3, 32, 32)
    mean, deviation = torch.tensor([0.4815, 0.4578, 0.4082]), torch.tensor([0.2686, 0.2613, 0.2758])
    pixels = (images - mean[:, None, None]) / deviation[:, None, None]
    expected = expected_image(load_file(tiny / "model.safetensors"), pixels)
    assert encoder(images).shape == (3, encoder.features) == (3, 20)
    assert torch.allclose(encoder(images), expected, atol=2e-3)
    assert torch.pdist(expected).min() > 0.1


def test_faces_are_resized_and_normalised_as_clips_own_processor_does(tiny):
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32)
    coarse = np.random.default_rng(0).integers(60, 190, (6, 6, 3), dtype=np.uint8)
    face = Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC)
    pixels = processor(face, return_tensors="pt")["pixel_values"]
    encoder, seen = ClipImageEncoder(str(tiny)), []
    encoder.tower.register_forward_pre_hook(
        lambda _, given, named: seen.append(named["pixel_values"]), with_kwargs=True
    )
    encoder(torch.from_numpy(np.array(face)).permute(2, 0, 1)[None] / 255)
    assert (seen[0] - pixels).abs().max() < 0.016  # theirs is rounded to 8 bits, a step of .015
    assert (seen[0] - pixels).abs().mean() < 0.006


def test_a_grey_face_is_the_same_as_its_three_equal_channels(tiny):
    encoder, grey = ClipImageEncoder(str(tiny)), torch.rand(2, 1, 48, 48)
    assert torch.allclose(encoder(grey), encoder(grey.expand(-1, 3, -1, -1)), atol=1e-5)


def test_the_text_encoder_computes_what_clip_is(tiny):
    """Prompts of two lengths: the padding of the shorter one carries nothing."""
    weights, embedded = load_file(tiny / "model.safetensors"), ClipTextEncoder(str(tiny), PROMPTS)()
    assert embedded.shape == (2, 20)
    for prompt, embedding in zip(PROMPTS, embedded, strict=True):
        assert torch.allclose(embedding, expected_text(weights, prompt), atol=1e-4), prompt


def test_clip_is_frozen_and_never_in_training_mode(tiny):
    holder = torch.nn.ModuleList([ClipImageEncoder(str(tiny)), ClipTextEncoder(str(tiny), PROMPTS)]).train()
    assert not [name for name, value in holder.named_parameters() if value.requires_grad]
    assert not [name for name, module in holder[0].named_modules() if module.training]
    assert not holder[0](torch.rand(1, 1, 32, 32)).requires_grad
    assert not holder[1]().requires_grad


@pytest.mark.parametrize("asked_to_freeze", [False, True])
def test_clip_stays_frozen_in_both_stages_though_own_encoders_would_learn_on(
    tiny, small_model, diffusion, asked_to_freeze
):
    faces = FacesConfig(classes=("a", "b"), shape=(32, 32, 1))
    config = small_model()
    config = config.model_copy(update={"prior": config.prior.model_copy(update={"clip": str(tiny)})})
    stage_one = StageOne(config, faces)
    stage_two = LLDif(stage_one.config, diffusion(), faces)
    stage_two.start_from(stage_one, warm=True, frozen_encoder=asked_to_freeze)
    seen = stage_two.train().see(torch.randint(0, 256, (2, 1, 32, 32), dtype=torch.uint8))
    stage_two.infer_prior(stage_two.condition_of(seen), 0).square().sum().backward()
    towers = [network for network in (*stage_one.modules(), *stage_two.modules()) if type(network) is ClipImageEncoder]
    assert len(towers) == 2
    assert not [name for tower in towers for name, value in tower.named_parameters() if value.requires_grad]
    assert not any(tower.training for tower in towers)
    assert all(value.grad is not None for value in stage_two.condition.parameters())


def test_a_models_own_file_is_all_that_is_needed_to_build_the_encoders_again(copy, tmp_path):
    image, text, faces = ClipImageEncoder(str(copy)), ClipTextEncoder(str(copy), PROMPTS), torch.rand(2, 1, 40, 40)
    save_file(image.state_dict(), tmp_path / "image.safetensors")
    save_file(text.state_dict(), tmp_path / "text.safetensors")
    notes = json.dumps(image.config.model_dump())
    shutil.rmtree(copy)
    config = ClipConfig.model_validate_json(notes)
    again = ClipImageEncoder(config), ClipTextEncoder(config, PROMPTS)
    assert not torch.equal(again[0](faces), image(faces))
    again[0].load_state_dict(load_file(tmp_path / "image.safetensors"))
    again[1].load_state_dict(load_file(tmp_path / "text.safetensors"))
    assert torch.equal(again[0](faces), image(faces))
    assert torch.equal(again[1](), text())
    assert sum(value.numel() for value in text.state_dict().values()) == 2 * 20  # the text tower stays behind


def test_half_precision_becomes_single(copy):
    weights = {name: value.half() for name, value in load_file(copy / "model.safetensors").items()}
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    encoder = ClipImageEncoder(str(copy))
    assert {value.dtype for value in encoder.state_dict().values() if value.is_floating_point()} == {torch.float32}


def test_loading_draws_and_prints_nothing(tiny, capfd):
    ClipImageEncoder(str(tiny))
    ClipTextEncoder(str(tiny), PROMPTS)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("label_input", [False, True])
def test_views_of_a_face_meet_in_z_as_clip_itself_does_not_learn(tiny, label_input):
    """Without its label, where PNET may see it: the views would be told apart by that."""
    config = PriorConfig(
        channels=16, clip=str(tiny), width=8, prompt="a {label}", sees="clean", label_input=label_input, normalised=True
    )
    prior = Prior(config, LightConfig(form="auto_gain", blurs=False, read_noise=0.0), 3, ("glad", "sad"))
    one, other = (prior.image_encoder(Seen(torch.rand(4, 3, 32, 32), torch.zeros(4, 1))) for _ in range(2))
    prior.likeness(one, other).square().sum().backward()
    learns = {name for name, value in prior.named_parameters() if value.grad is not None and value.grad.any()}
    assert learns == {"log_scale", *(f"network.body.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias"))}


def change_weights(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    return damage


def only_tokenless(folder: Path) -> None:
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink()


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "no file named model.safetensors"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"PK\3\4 no"), "cannot be read"),
        (
            change_weights(lambda weights: weights.pop("visual_projection.weight")),
            "visual_projection.weight is missing",
        ),
        (
            change_weights(lambda weights: weights.update({"text_projection.weight": torch.ones(20, 3)})),
            "text_projection.weight is missing or not of the shape",
        ),
        (only_tokenless, "its tokenizer knows 2 tokens: allowed is the model's own, of 514"),
    ],
)
def test_a_folder_that_is_not_whole_is_one_line(copy, damage, line):
    damage(copy)
    with pytest.raises(DataError) as error:
        ClipTextEncoder(str(copy), PROMPTS)
    assert str(error.value).startswith(f"{copy}: ")
    assert line in str(error.value)
    assert "allowed is" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_name_on_the_hub_with_a_revision_is_that_revision(tiny, tmp_path):
    """As the hub's cache holds it, in a process of its own, which reads where the cache is when it starts."""
    repository, revisions = tmp_path / "models--owner--name", ("a" * 40, "b" * 40)
    for revision in revisions:
        shutil.copytree(tiny, repository / "snapshots" / revision)
    other = load_file(tiny / "model.safetensors")
    other["visual_projection.weight"] = other["visual_projection.weight"] + 1
    save_file(other, repository / "snapshots" / revisions[1] / "model.safetensors", metadata={"format": "pt"})
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revisions[0])
    program = (
        "from components.model.clip import ClipImageEncoder\n"
        f"for name in ('owner/name', 'owner/name@{revisions[1]}'):\n"
        "    print(float(ClipImageEncoder(name).tower.visual_projection.weight.detach().double().sum()))\n"
    )
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    )
    own = load_file(tiny / "model.safetensors")["visual_projection.weight"].double()
    assert [float(line) for line in done.stdout.split()] == pytest.approx(
        [float(own.sum()), float((own + 1).sum())], rel=1e-5
    )


@pytest.mark.parametrize("name", ["no-such-folder/at/all", "owner/name@abc", "no name"])
def test_a_name_that_is_nowhere_is_one_line(monkeypatch, name):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError) as error:
        ClipImageEncoder(name)
    assert str(error.value).startswith(f"{name}: CLIPModel cannot be read (")
    assert "\n" not in str(error.value)


def test_a_prompt_that_clip_cannot_hold_is_one_line(tiny):
    with pytest.raises(ConfigError, match=r"^prompt 'a face that .*': 34 tokens: .* allows 32$"):
        ClipTextEncoder(str(tiny), ["a face", "a face that is much too long for the clip"])


def test_without_transformers_the_line_says_what_to_install(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"^pretrained CLIP needs transformers .*pip install -e '\.\[clip\]'$"):
        ClipImageEncoder(str(tiny))


def test_without_pretrained_clip_nobody_needs_transformers(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert runpy.run_path(clip.__file__)["ClipConfig"]
