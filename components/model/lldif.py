"""LLDif whole: stage 1 (a label-aware prior guides the recogniser), stage 2 (diffusion infers the prior)."""

import torch
from torch import Tensor, nn

from components.config import Config
from components.model.diffusion import Denoiser, DiffusionConfig
from components.model.light import standardise
from components.model.llformer import LLformer, LLformerConfig
from components.model.prior import Prior, PriorConfig, PriorNetwork


class FacesConfig(Config):
    """What a model was built for: part of its file, taken from the face table."""

    classes: tuple[str, ...]
    shape: tuple[int, int, int]  # H, W, C


class ModelConfig(Config):
    """Sizes of everything that both stages share."""

    prior: PriorConfig
    llformer: LLformerConfig


class StageOne(nn.Module):
    """Images and labels to logits and Z. The labels are used only in the paper's form (`label_input`)."""

    def __init__(self, config: ModelConfig, faces: FacesConfig) -> None:
        super().__init__()
        channels = faces.shape[2]
        self.prior = Prior(config.prior, channels, faces.classes)
        self.llformer = LLformer(config.llformer, channels, config.prior.channels, len(faces.classes))

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        seen = standardise(images)
        z = self.prior(seen, labels)  # (B, C_z)
        return self.llformer(seen, z), z  # (B, K), (B, C_z)


class LLDif(nn.Module):
    """Stage 2 and inference: images alone to logits."""

    starts: Tensor

    def __init__(self, config: ModelConfig, diffusion: DiffusionConfig, faces: FacesConfig) -> None:
        super().__init__()
        channels, prior_channels = faces.shape[2], config.prior.channels
        self.prior = Prior(config.prior, channels, faces.classes)  # of stage 1, frozen
        self.condition = PriorNetwork(self.prior.image_encoder.features, prior_channels)  # PNET_2
        self.denoiser = Denoiser(prior_channels, diffusion)
        self.llformer = LLformer(config.llformer, channels, prior_channels, len(faces.classes))
        # K fixed starts, stored with the weights: a face's answer depends neither on its batch nor on a generator
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("starts", torch.randn(diffusion.samples, prior_channels, generator=generator))
        self.prior.requires_grad_(False)

    def start_from(self, stage_one: StageOne) -> None:
        """Take stage 1's weights: the frozen prior, the recogniser, and PNET_2 where its shape is PNET_1's."""
        self.prior.load_state_dict(stage_one.prior.state_dict())
        self.llformer.load_state_dict(stage_one.llformer.state_dict())
        if not self.prior.config.label_input:
            self.condition.load_state_dict(stage_one.prior.network.state_dict())

    def train(self, mode: bool = True) -> "LLDif":
        super().train(mode)
        self.prior.eval()  # frozen: its batch statistics too
        return self

    def infer_prior(self, seen: Tensor, start: Tensor) -> Tensor:
        """Z-hat (B, C_z) from what is seen of the dark image, for chains that start at `start` (B, C_z)."""
        return self.denoiser(start, self.condition(self.prior.image_encoder(seen)))

    def forward(self, images: Tensor) -> Tensor:
        """Log-probabilities (B, K), averaged over the K chains."""
        seen = standardise(images)
        answers = [
            self.llformer(seen, self.infer_prior(seen, start.expand(len(images), -1))).log_softmax(dim=1)
            for start in self.starts
        ]
        return torch.stack(answers).logsumexp(dim=0) - torch.tensor(float(len(answers))).log()
