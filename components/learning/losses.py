"""What each stage minimises: a loss takes a batch and returns the total and the logits. All aim at the votes."""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from components.config import Config
from components.learning.batches import Batch
from components.lowlight.noise import normal, uniform
from components.model.light import standardise
from components.model.lldif import LLDif, StageOne

# streams of random numbers beside the camera's
CHAIN_START, CHAIN_KIND = 16, 17


class StageOneLoss(Config):
    contrastive_weight: float = Field(ge=0)


class StageTwoLoss(Config):
    kl_weight: float = Field(ge=0)
    l1_weight: float = Field(ge=0)
    pure_noise_share: float = Field(ge=0, le=1)  # of training chains; the rest start from the noised true Z


def stage_one(network: StageOne, batch: Batch, config: StageOneLoss) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the recogniser, and of Z against the labels' prompts. Returns total and logits."""
    logits, z = network(batch.images, batch.labels)
    contrastive = F.cross_entropy(network.prior.similarity(z), batch.votes)
    return F.cross_entropy(logits, batch.votes) + config.contrastive_weight * contrastive, logits


def stage_two(network: LLDif, batch: Batch, config: StageTwoLoss) -> tuple[Tensor, Tensor]:
    """L_ce + L_kl [P, L] + L1 [D]: recognise, and infer the prior that stage 1 would have given."""
    with torch.no_grad():
        seen = standardise(batch.images)
        z = network.prior(seen, batch.labels)
    start = chain_start(z, batch.keys, network.denoiser.plan.abar[-1], config.pure_noise_share)
    inferred = network.infer_prior(seen, start)
    logits = network.llformer(seen, inferred)
    loss = F.cross_entropy(logits, batch.votes) + config.kl_weight * prior_divergence(z, inferred)
    return loss + config.l1_weight * F.l1_loss(inferred, z), logits


def prior_divergence(z: Tensor, inferred: Tensor) -> Tensor:
    """KL(softmax(Z) || softmax(Z-hat)) over the channels [P, L], mean over the batch."""
    return F.kl_div(inferred.log_softmax(dim=1), z.log_softmax(dim=1), log_target=True, reduction="batchmean")


def chain_start(z: Tensor, keys: Tensor, abar: float, pure_noise_share: float) -> Tensor:
    """Z_T (B, C): pure noise, as at inference, or q(Z_T | Z) for the share that is left."""
    noise = normal(keys, CHAIN_START, z.shape[1])
    pure = uniform(keys, CHAIN_KIND, 1) < pure_noise_share
    return torch.where(pure, noise, abar**0.5 * z + (1 - abar) ** 0.5 * noise)


def plain(network: torch.nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    logits = network(batch.images)
    return F.cross_entropy(logits, batch.votes), logits
