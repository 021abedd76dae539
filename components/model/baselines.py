"""What every number of LLDif is read against."""

import torch
from torch import Tensor, nn

from components.model.light import standardise
from components.model.lldif import FacesConfig
from components.model.llformer import LLformer, LLformerConfig


class Plain(nn.Module):
    """The same recogniser, with one learned constant in place of the prior: images to logits."""

    def __init__(self, config: LLformerConfig, prior_channels: int, faces: FacesConfig) -> None:
        super().__init__()
        self.z = nn.Parameter(torch.ones(1, prior_channels))
        self.llformer = LLformer(config, faces.shape[2], prior_channels, len(faces.classes))

    def forward(self, images: Tensor) -> Tensor:
        return self.llformer(standardise(images), self.z.expand(len(images), -1))  # (B, K)
