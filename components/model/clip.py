"""Pretrained CLIP (Radford et al. 2021) in place of LA-CLIP's own encoders: through transformers, and frozen.

A model's own file carries all that it needs of CLIP: ClipConfig, the image tower's weights, the prompts' embeddings.
The text tower is not kept: frozen weights and fixed prompts have one answer.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from safetensors import SafetensorError
from torch import Tensor, nn

from components.config import Config, ConfigError
from components.records import DataError

MEAN = (0.48145466, 0.4578275, 0.40821073)  # RGB, of the images that CLIP was trained on
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
FOLDER = "a folder, or a name on the hub, with a CLIP's config.json, model.safetensors and tokenizer"


class ClipConfig(Config):
    """The image tower and the shared space, in transformers' words: enough to build the encoders without a folder."""

    hidden_size: int = Field(ge=1)
    intermediate_size: int = Field(ge=1)
    projection_dim: int = Field(ge=1)  # D, of the space shared by images and texts
    num_hidden_layers: int = Field(ge=1)
    num_attention_heads: int = Field(ge=1)
    image_size: int = Field(ge=1)  # pixels
    patch_size: int = Field(ge=1)  # pixels
    hidden_act: str
    layer_norm_eps: float = Field(gt=0)


class ClipImageEncoder(nn.Module):
    """E_I: faces (B, 1 or 3, H, W) in [0, 1] to (B, D). Frozen, and in evaluation mode whatever it stands in.

    `source` is a folder or a hub name (see `load`), or a ClipConfig: then the weights come from a state dict.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, source: str | ClipConfig) -> None:
        super().__init__()
        if isinstance(source, ClipConfig):
            self.config = source
            self.tower = image_tower(source)
        else:
            clip = load(source)
            self.config = image_config(clip)
            self.tower = image_tower(self.config)
            self.tower.load_state_dict({name: clip.get_parameter(name) for name, _ in self.tower.named_parameters()})
        self.features = self.config.projection_dim
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "ClipImageEncoder":
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        size = (self.config.image_size, self.config.image_size)  # faces are square: nothing is cropped
        x = F.interpolate(images, size, mode="bicubic", antialias=True).clamp(0, 1)
        x = (x.expand(-1, 3, -1, -1) - self.mean) / self.deviation
        return self.tower(pixel_values=x).image_embeds  # (B, D)


class ClipTextEncoder(nn.Module):
    """E_T: one embedding per class, from its prompt, computed once; `source` is as for ClipImageEncoder."""

    embeddings: Tensor

    def __init__(self, source: str | ClipConfig, prompts: list[str]) -> None:
        super().__init__()
        if isinstance(source, ClipConfig):
            embeddings = torch.zeros(len(prompts), source.projection_dim)  # until a state dict is loaded
        else:
            embeddings = embed(source, prompts)
        self.register_buffer("embeddings", embeddings)

    def forward(self) -> Tensor:
        return self.embeddings  # (K, D)


def load(name: str) -> Any:
    """The CLIPModel of a local folder, or of a hub name, `owner/name` or `owner/name@revision`, in float32.

    Only safetensors are read. Raises DataError where it is not there, not whole, or no CLIP.
    """
    if Path(name).is_dir() and not Path(name, "config.json").is_file():  # transformers would take sizes of its own
        raise DataError(f"{name}: no config.json: allowed is {FOLDER}")
    options = {"use_safetensors": True, "dtype": torch.float32, "ignore_mismatched_sizes": True}
    clip, found = _from_pretrained("CLIPModel", name, output_loading_info=True, **options)
    wrong = sorted([*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])])
    if wrong:  # transformers would leave them random
        raise DataError(f"{name}: {wrong[0]} is missing or not of the shape in config.json: allowed is {FOLDER}")
    return clip.eval()


@torch.no_grad()
def embed(name: str, prompts: list[str]) -> Tensor:
    """Prompts (K) in CLIP's shared space, (K, D). Raises what `load` does, and ConfigError for a prompt too long."""
    clip, tokenizer = load(name), _from_pretrained("CLIPTokenizer", name)
    text = clip.config.text_config
    if len(tokenizer) != text.vocab_size:  # without its files transformers makes an empty one
        line = f"its tokenizer knows {len(tokenizer)} tokens: allowed is the model's own, of {text.vocab_size}"
        raise DataError(f"{name}: {line}")
    tokens = tokenizer(prompts, padding=True, return_tensors="pt")
    for prompt, count in zip(prompts, tokens["attention_mask"].sum(dim=1).tolist(), strict=True):
        if count > text.max_position_embeddings:
            raise ConfigError(f"prompt {prompt!r}: {count} tokens: {name} allows {text.max_position_embeddings}")
    return clip.text_projection(clip.text_model(**tokens).pooler_output)


def image_config(clip: Any) -> ClipConfig:
    """What to build the image tower of a CLIPModel from."""
    sizes = clip.config.vision_config.to_dict() | {"projection_dim": clip.config.projection_dim}
    return ClipConfig(**{name: sizes[name] for name in ClipConfig.model_fields})


def image_tower(config: ClipConfig) -> nn.Module:
    """A CLIPVisionModelWithProjection with random weights."""
    library = _transformers()
    tower: nn.Module = library.CLIPVisionModelWithProjection(library.CLIPVisionConfig(**config.model_dump()))
    return tower


def _from_pretrained(kind: str, name: str, **options: Any) -> Any:
    library, here = _transformers(), Path(name).is_dir()
    place, _, revision = (name, "", "") if here else name.partition("@")
    try:
        return getattr(library, kind).from_pretrained(
            place, revision=revision or "main", local_files_only=here, **options
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{name}: {kind} cannot be read ({reason}): allowed is {FOLDER}") from None


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ConfigError(f"pretrained CLIP needs transformers ({error}): pip install -e '.[clip]'") from None
    transformers.logging.set_verbosity_error()  # what matters of its loading report is an error of ours
    transformers.logging.disable_progress_bar()  # only the run draws
    return transformers
