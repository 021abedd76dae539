"""LA-CLIP's encoders [P], small ones of our own: E_I of a face, E_T of a label's prompt."""

import torch
from torch import Tensor, nn

from components.model.layers import ResidualBlock, downsample


class ImageEncoder(nn.Module):
    """E_I: (B, C, H, W), as components.model.light.see gives it, to (B, D)."""

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
        x = self.body(images.contiguous(memory_format=torch.channels_last))
        return x.mean(dim=(2, 3))  # (B, D)


class TextEncoder(nn.Module):
    """E_T: one embedding per class, from the words of its prompt and their order: CLIP's text encoder, very small.

    `features`, D, is a multiple of 4: the heads of its one transformer block (Vaswani et al. 2017, pre-norm).
    """

    words: Tensor

    def __init__(self, prompts: list[str], features: int) -> None:
        super().__init__()
        vocabulary = sorted({word for prompt in prompts for word in prompt.lower().split()})
        longest = max(len(prompt.split()) for prompt in prompts)
        index = {word: number for number, word in enumerate(vocabulary, start=1)}  # 0 pads
        rows = [[index[word] for word in prompt.lower().split()] for prompt in prompts]
        self.register_buffer("words", torch.tensor([row + [0] * (longest - len(row)) for row in rows]))
        self.embedding = nn.Embedding(len(vocabulary) + 1, features)
        self.position = nn.Parameter(torch.randn(longest, features))  # as large as a word: order must be heard
        self.block = nn.TransformerEncoderLayer(
            features, 4, 2 * features, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.project = nn.Sequential(nn.LayerNorm(features), nn.Linear(features, features))

    def forward(self) -> Tensor:
        padding = self.words == 0  # (K, N)
        x = self.block(self.embedding(self.words) + self.position, src_key_padding_mask=padding)
        mean = x.masked_fill(padding[..., None], 0).sum(dim=1) / (~padding).sum(dim=1, keepdim=True)
        return self.project(mean)  # (K, D)
