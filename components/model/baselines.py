"""What every number of LLDif is read against."""

import torch
from torch import Tensor, nn

from components.model.lldif import FacesConfig, GuidedRecogniser, ModelConfig


class Plain(GuidedRecogniser):
    """The same recogniser, with one learned constant in place of the prior: images to logits."""

    def __init__(self, config: ModelConfig, faces: FacesConfig) -> None:
        super().__init__(config, faces)
        self.z = nn.Parameter(torch.ones(1, config.prior.channels))

    def forward(self, images: Tensor) -> Tensor:
        return self.recognise(self.see(images), self.z.expand(len(images), -1))  # (B, K)
