"""LA-CLIP and PNET: the embedding prior Z of a face, and how the label reaches it.

By default the label reaches Z through the contrastive loss alone: with the label among PNET's inputs (the paper's form,
`label_input: true`) stage 1 reads the answer off Z and ignores the image.
"""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from components.config import Config
from components.model.layers import ResidualBlock, downsample, standardise


class PriorConfig(Config):
    """LA-CLIP's encoders and the prior they feed."""

    channels: int = Field(ge=8)  # C, the length of Z
    width: int = Field(ge=8)  # of the image encoder's stem
    prompt: str = Field(pattern=r"^[^{}]*\{label\}[^{}]*$")
    label_input: bool  # the paper's form: PNET sees the label's embedding


class ImageEncoder(nn.Module):
    """E_I: (B, C, H, W) uint8 to (B, D)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.features = 4 * width
        self.body = nn.Sequential(
            downsample(channels, width),
            downsample(width, 2 * width),
            ResidualBlock(2 * width),
            downsample(2 * width, 4 * width),
            ResidualBlock(4 * width),
        )

    def forward(self, images: Tensor) -> Tensor:
        x = self.body(standardise(images).contiguous(memory_format=torch.channels_last))
        return x.mean(dim=(2, 3))  # (B, D)


class TextEncoder(nn.Module):
    """E_T: one embedding per class, from the words of its prompt."""

    words: Tensor

    def __init__(self, prompts: list[str], features: int) -> None:
        super().__init__()
        vocabulary = sorted({word for prompt in prompts for word in prompt.lower().split()})
        longest = max(len(prompt.split()) for prompt in prompts)
        index = {word: number for number, word in enumerate(vocabulary, start=1)}  # 0 pads
        rows = [[index[word] for word in prompt.lower().split()] for prompt in prompts]
        self.register_buffer("words", torch.tensor([row + [0] * (longest - len(row)) for row in rows]))
        self.embedding = nn.Embedding(len(vocabulary) + 1, features, padding_idx=0)
        self.position = nn.Parameter(torch.randn(longest, features) * 0.02)
        self.mlp = nn.Sequential(nn.Linear(features, features), nn.GELU(), nn.Linear(features, features))

    def forward(self) -> Tensor:
        present = (self.words > 0)[..., None]
        x = (self.embedding(self.words) + self.position) * present
        return self.mlp(x.sum(dim=1) / present.sum(dim=1))  # (K, D)


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

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        features = self.image_encoder(images)
        if self.config.label_input:
            features = torch.cat([features, self.text_encoder()[labels]], dim=1)
        return self.network(features)  # Z, (B, C_z)

    def similarity(self, z: Tensor) -> Tensor:
        """Scaled cosine between each Z and each class's prompt (B, K): the logits of the contrastive loss."""
        texts = F.normalize(self.to_shared(self.text_encoder()), dim=-1)
        return F.normalize(z, dim=-1) @ texts.mT * self.log_scale.exp()
