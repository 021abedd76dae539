"""LA-CLIP [P] and PNET [P, L]: the embedding prior Z of a face, and how the label reaches it.

By default the label reaches Z through the contrastive loss alone: with the label among PNET's inputs (the paper's form,
`label_input: true`) stage 1 reads the answer off Z and ignores the image.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from components.config import Config
from components.model.clip import ClipConfig, ClipImageEncoder, ClipTextEncoder
from components.model.encoders import ImageEncoder, TextEncoder
from components.model.light import LightConfig, Seen, as_picture, planes_of


class PriorConfig(Config):
    """LA-CLIP's encoders and the prior they feed."""

    channels: int = Field(ge=8)  # C, the length of Z
    clip: str | ClipConfig | None  # a pretrained CLIP, by folder or hub name; none: own small encoders
    width: int = Field(ge=8)  # of the own image encoder's stem
    prompt: str = Field(pattern=r"^[^{}]*\{label\}[^{}]*$")
    sees: Literal["dark", "clean"]  # the photograph that the true Z is made of; clean ones exist in training alone
    label_input: bool  # the paper's form: PNET sees the label's embedding
    normalised: bool  # Z has mean 0 and deviation 1, so that its scale carries nothing


class PriorNetwork(nn.Module):
    """PNET: several linear layers [L]."""

    def __init__(self, features: int, channels: int, normalised: bool) -> None:
        super().__init__()
        layers = [nn.Linear(features, channels), nn.LeakyReLU(0.1), nn.Linear(channels, channels)]
        self.body = nn.Sequential(*layers, *([nn.LayerNorm(channels, elementwise_affine=False)] if normalised else []))

    def forward(self, features: Tensor) -> Tensor:
        return self.body(features)  # (B, C_z)


class FaceEncoder(nn.Module):
    """E_I of what is seen of a face: our own, or CLIP's, which is shown the photograph with its gain."""

    def __init__(self, config: PriorConfig, light: LightConfig, image_channels: int) -> None:
        super().__init__()
        self.image_channels = image_channels
        self.network: ImageEncoder | ClipImageEncoder
        if config.clip:
            self.network = ClipImageEncoder(config.clip)
        else:
            self.network = ImageEncoder(planes_of(light, image_channels), config.width)
        self.features = self.network.features

    @property
    def pretrained(self) -> bool:
        return isinstance(self.network, ClipImageEncoder)

    def forward(self, seen: Seen) -> Tensor:
        shown = as_picture(seen, self.image_channels) if self.pretrained else seen.planes
        return self.network(shown)  # (B, D)


class Prior(nn.Module):
    """Stage 1's view of a face: E_I, E_T and PNET_1 [P]."""

    def __init__(self, config: PriorConfig, light: LightConfig, image_channels: int, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.image_encoder = FaceEncoder(config, light, image_channels)
        encoder, features = self.image_encoder.network, self.image_encoder.features
        self.config = config
        prompts = [config.prompt.format(label=name) for name in classes]
        self.text_encoder: TextEncoder | ClipTextEncoder
        if config.clip:
            assert isinstance(encoder, ClipImageEncoder)
            self.text_encoder = ClipTextEncoder(config.clip, prompts)
            self.config = config.model_copy(update={"clip": encoder.config})  # a file is read without the folder
        else:
            self.text_encoder = TextEncoder(prompts, features)
        self.network = PriorNetwork(features * (2 if config.label_input else 1), config.channels, config.normalised)
        self.text_to_shared = nn.Linear(features, config.channels, bias=False)
        # where views of a face meet: beside PNET, or, as a frozen E_I would learn nothing from that, in Z
        pretrained = self.image_encoder.pretrained
        self.face_to_shared = None if pretrained else nn.Linear(features, config.channels, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, features: Tensor, labels: Tensor, told: Tensor) -> Tensor:
        """Z (B, C_z) from features (B, D) of the faces and labels (B,), where `told` (B,) bool lets PNET have them."""
        if self.config.label_input:
            texts = self.text_encoder()[labels] * told[:, None]
            features = torch.cat([features, texts], dim=1)
        return self.network(features)

    def of_face(self, features: Tensor) -> Tensor:
        """Z (B, C_z) of features (B, D) alone: PNET is told nobody's label."""
        nobody = torch.zeros(len(features), dtype=torch.bool, device=features.device)
        return self(features, nobody.long(), nobody)

    def similarity(self, z: Tensor) -> Tensor:
        """Scaled cosine between each Z and each class's prompt (B, K): the logits of the contrastive loss."""
        return F.normalize(z, dim=-1) @ self.prompts().mT

    def prompts(self) -> Tensor:
        """(K, C_z): where the contrastive loss has Z of each class point to; the length is the scale."""
        return F.normalize(self.text_to_shared(self.text_encoder()), dim=-1) * self.log_scale.exp()

    def likeness(self, features: Tensor, others: Tensor) -> Tensor:
        """Scaled cosine between all faces of one view (B, D) and all of another (B, D): (B, B)."""
        shared = self.face_to_shared or self.of_face
        one, other = (F.normalize(shared(x), dim=-1) for x in (features, others))
        return one @ other.mT * self.log_scale.exp()
