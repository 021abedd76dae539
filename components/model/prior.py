"""LA-CLIP and PNET: the embedding prior Z of a face, and how the label reaches it.

By default the label reaches Z through the contrastive loss alone: with the label among PNET's inputs (the paper's form,
`label_input: true`) stage 1 reads the answer off Z and ignores the image.
"""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from components.config import Config
from components.model.encoders import ImageEncoder, TextEncoder


class PriorConfig(Config):
    """LA-CLIP's encoders and the prior they feed."""

    channels: int = Field(ge=8)  # C, the length of Z
    width: int = Field(ge=8)  # of the image encoder's stem
    prompt: str = Field(pattern=r"^[^{}]*\{label\}[^{}]*$")
    label_input: bool  # the paper's form: PNET sees the label's embedding


class PriorNetwork(nn.Module):
    """PNET: several linear layers [L]; Z is normalised, so that its scale carries nothing."""

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(features, channels),
            nn.LeakyReLU(0.1),
            nn.Linear(channels, channels),
            nn.LayerNorm(channels, elementwise_affine=False),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.body(features)  # (B, C_z)


class Prior(nn.Module):
    """Stage 1's view of a face: E_I, E_T and PNET_1."""

    def __init__(self, config: PriorConfig, image_channels: int, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = ImageEncoder(image_channels, config.width)
        features = self.image_encoder.features
        self.text_encoder = TextEncoder([config.prompt.format(label=name) for name in classes], features)
        self.network = PriorNetwork(features * (2 if config.label_input else 1), config.channels)
        self.to_shared = nn.Linear(features, config.channels, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, seen: Tensor, labels: Tensor) -> Tensor:
        features = self.image_encoder(seen)
        if self.config.label_input:
            features = torch.cat([features, self.text_encoder()[labels]], dim=1)
        return self.network(features)  # Z, (B, C_z)

    def similarity(self, z: Tensor) -> Tensor:
        """Scaled cosine between each Z and each class's prompt (B, K): the logits of the contrastive loss."""
        texts = F.normalize(self.to_shared(self.text_encoder()), dim=-1)
        return F.normalize(z, dim=-1) @ texts.mT * self.log_scale.exp()
