"""LLDif whole [P]: stage 1 (a label-aware prior guides the recogniser), stage 2 (diffusion infers the prior)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.config import Config
from components.model import light
from components.model.diffusion import Denoiser, DiffusionConfig
from components.model.layers import parameters_of
from components.model.light import ExposureCondition, LightConfig, Seen, planes_of
from components.model.llformer import LLformer, LLformerConfig, Recognised
from components.model.prior import FaceEncoder, Prior, PriorConfig, PriorNetwork
from components.model.restorer import Restorer, width_beside
from components.model.weights import WeightsConfig

STORED_STARTS = 8  # of chains, in every model's file; `diffusion.samples` of them are used


class FacesConfig(Config):
    """What a model was built for: part of its file, taken from the face table."""

    classes: tuple[str, ...]
    shape: tuple[int, int, int]  # H, W, C


class ModelConfig(Config):
    """Everything that both stages share."""

    light: LightConfig
    exposure_condition: bool  # the modulation also hears how dark the photograph is
    restorer: bool  # a small denoiser first makes the clean face's planes of the dark one's, and learns from them alone
    prior: PriorConfig
    llformer: LLformerConfig
    weights: WeightsConfig  # of the branches that llformer takes from elsewhere


class GuidedRecogniser(nn.Module):
    """LLformer under a prior, with what it sees of a photograph: the part that all our networks share."""

    def __init__(self, config: ModelConfig, faces: FacesConfig) -> None:
        super().__init__()
        self.config = config
        self.planes = planes_of(config.light, faces.shape[2])
        self.llformer = LLformer(
            config.llformer,
            self.planes,
            config.prior.channels,
            len(faces.classes),
            image_channels=faces.shape[2],
            frozen_landmarks=config.weights.mobilefacenet is not None,  # random ones would know nothing for ever
        )
        self.exposure = ExposureCondition(config.prior.channels) if config.exposure_condition else None
        width = width_beside(parameters_of(self.llformer))
        self.restorer = Restorer(self.planes, width) if config.restorer else None

    def see(self, images: Tensor) -> Seen:
        """Images (B, C, H, W) uint8."""
        return light.see(images, self.config.light)

    def restored(self, seen: Seen) -> Seen:
        """What the restorer makes of it; as it is, where there is none."""
        return seen if self.restorer is None else seen._replace(planes=self.restorer(seen.planes))

    def recognise(self, seen: Seen, z: Tensor) -> Recognised:
        """Under the prior z (B, C_z)."""
        guided = self.exposure(z, seen.exposure) if self.exposure is not None else z
        return self.llformer(seen.planes, guided)


class StageOne(GuidedRecogniser):
    """The teacher: it knows Z from the face itself, dark or clean, and in the paper's form from the label."""

    def __init__(self, config: ModelConfig, faces: FacesConfig) -> None:
        super().__init__(config, faces)
        self.prior = Prior(config.prior, config.light, faces.shape[2], faces.classes)
        self.config = config.model_copy(update={"prior": self.prior.config})
        self.unknown = nn.Parameter(torch.zeros(1, config.prior.channels))  # stands for a Z that is withheld

    def true_prior(self, dark: Seen, clean: Seen, labels: Tensor, told: Tensor | None = None) -> Tensor:
        """Z (B, C_z) as the config would have it made; `told` (B,) bool: whose label PNET may see, by default all."""
        seen = clean if self.config.prior.sees == "clean" else dark
        everyone = torch.ones_like(labels, dtype=torch.bool)
        return self.prior(self.prior.image_encoder(seen), labels, everyone if told is None else told)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Logits (B, K) where Z is made of the same images."""
        seen = self.restored(self.see(images))
        return self.recognise(seen, self.true_prior(seen, seen, labels)).logits


class LLDif(GuidedRecogniser):
    """Stage 2 and inference: images alone to log-probabilities. No face's label is part of it."""

    starts: Tensor
    prompts: Tensor

    def __init__(self, config: ModelConfig, diffusion: DiffusionConfig, faces: FacesConfig) -> None:
        super().__init__(config, faces)
        channels = config.prior.channels
        self.image_encoder = FaceEncoder(config.prior, config.light, faces.shape[2])  # E_I of stage 1
        self.condition = PriorNetwork(self.image_encoder.features, channels, config.prior.normalised)  # PNET_2
        self.denoiser = Denoiser(channels, diffusion)
        # fixed starts, stored with the weights: a face's answer depends neither on its batch nor on a generator
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("starts", torch.randn(STORED_STARTS, channels, generator=generator))
        self.register_buffer("prompts", torch.zeros(len(faces.classes), channels))  # until stage 1's are known
        self.frozen_encoder = True
        self.image_encoder.requires_grad_(False)

    def start_from(self, stage_one: StageOne, warm: bool, frozen_encoder: bool) -> None:
        """Take stage 1's prompts and E_I, PNET_2 where its shape is PNET_1's, and, if `warm`, the recogniser.

        E_I stays as it is where `frozen_encoder` [L, D], and where it is CLIP's; else it goes on learning, as a part of
        the condition.
        """
        self.frozen_encoder = frozen_encoder or self.image_encoder.pretrained
        self.image_encoder.requires_grad_(not self.frozen_encoder)
        self.prompts.copy_(stage_one.prior.prompts().detach())
        self.image_encoder.load_state_dict(stage_one.prior.image_encoder.state_dict())
        if not self.config.prior.label_input:
            self.condition.load_state_dict(stage_one.prior.network.state_dict())
        if warm:
            self.llformer.load_state_dict(stage_one.llformer.state_dict())
            if self.exposure is not None and stage_one.exposure is not None:
                self.exposure.load_state_dict(stage_one.exposure.state_dict())
            if self.restorer is not None and stage_one.restorer is not None:
                self.restorer.load_state_dict(stage_one.restorer.state_dict())

    def train(self, mode: bool = True) -> "LLDif":
        super().train(mode)
        self.image_encoder.train(mode and not self.frozen_encoder)  # frozen: its batch statistics too
        return self

    def condition_of(self, seen: Seen) -> Tensor:
        """c (B, C_z): what the dark image says of the prior, by PNET_2 [L]."""
        return self.condition(self.image_encoder(seen))

    def infer_prior(self, condition: Tensor, chain: int) -> Tensor:
        """Z-hat (B, C_z) given what the dark image alone says [P] (B, C_z), by one of the stored chains.

        It starts from the same noise for every face, and meets the same on its way where there is any.
        """
        number = torch.full((len(condition),), chain, device=condition.device)
        return self.denoiser(self.starts[chain].expand_as(condition), condition, number)

    def similarity(self, z: Tensor) -> Tensor:
        """Scaled cosine between each Z-hat (B, C_z) and each class's prompt, as stage 1 left them: logits (B, K)."""
        return F.normalize(z, dim=-1) @ self.prompts.mT

    def answer(self, seen: Seen, z: Tensor) -> Tensor:
        """Log-probabilities (B, K): the recogniser's under the prior z (B, C_z), averaged with z's own."""
        recognised, voice = self.recognise(seen, z).logits.log_softmax(dim=1), self.denoiser.config.voice
        if not voice:
            return recognised
        own = self.similarity(z).log_softmax(dim=1)
        return torch.logaddexp(recognised + math.log(1 - voice), own + math.log(voice))

    def forward(self, images: Tensor) -> Tensor:
        """Log-probabilities (B, K), averaged over as many chains as the denoiser's config says."""
        seen = self.restored(self.see(images))
        condition = self.condition_of(seen)
        chains = range(self.denoiser.config.samples)
        answers = [self.answer(seen, self.infer_prior(condition, chain)) for chain in chains]
        return torch.stack(answers).logsumexp(dim=0) - math.log(len(answers))
