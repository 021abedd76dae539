"""What each stage minimises: a loss takes a batch and returns the total and the logits."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from components.config import Config
from components.learning.batches import Batch
from components.learning.decoder import Decoder
from components.learning.objective import Objective
from components.lowlight.noise import normal, uniform
from components.model.diffusion import Denoiser
from components.model.light import Seen
from components.model.lldif import GuidedRecogniser, LLDif, StageOne
from components.model.llformer import Recognised

# streams of random numbers beside the camera's
CHAIN_START, CHAIN_KIND, CHAIN_STEP, LABEL_TOLD, PRIOR_WITHHELD, PRIOR_NOISE, SHOWN_CLEAN = range(16, 23)


class StageOneLoss(Config):
    """The teacher's. Every weight of 0 leaves its term out."""

    clean_share: float = Field(ge=0, le=1)  # of faces whose clean image the recogniser is shown
    contrastive_weight: float = Field(ge=0)  # Z and the label's prompt
    alignment_weight: float = Field(ge=0)  # dark and clean image of one face
    darker_weight: float = Field(ge=0)  # dark image and a darker one of the same face
    dark_text_weight: float = Field(ge=0)  # the dark image's Z, without its label, and the label's prompt
    label_dropout: float = Field(ge=0, le=1)  # of faces whose label PNET does not see, where it may at all
    prior_dropout: float = Field(ge=0, le=1)  # of faces whose Z is withheld: a learned vector guides in its place
    prior_noise: float = Field(ge=0)  # deviation of normal noise on the Z that guides
    reconstruction_weight: float = Field(ge=0)  # of the clean face, drawn from the recogniser's maps


class StageTwoLoss(Config):
    """The student's. Every weight of 0 leaves its term out."""

    kl_weight: float = Field(ge=0)
    l1_weight: float = Field(ge=0)
    contrastive_weight: float = Field(ge=0)  # Z-hat and the label's prompt
    denoising_weight: float = Field(ge=0)  # of one step of the chain from a noised true Z, beside the unrolled chain
    pure_noise_share: float = Field(ge=0, le=1)  # of training chains; the rest start from the noised true Z
    prior_dropout: float = Field(ge=0, le=1)  # of faces whose Z-hat is withheld from the recogniser: 0 in its place
    stop_gradient: bool  # recognising does not shape Z-hat: what infers it learns from the losses of the prior alone
    prior_phase: float = Field(ge=0, le=1)  # share of the epochs, at first, with the losses of the prior alone
    teacher: Literal["stage_one", "itself"]  # whose answers below are: stage 1's, or the student's own as it learns
    teacher_sees: Literal["dark", "clean"]  # the image that they are given for, under the true Z
    logit_weight: float = Field(ge=0)  # distillation (Hinton et al. 2015)
    logit_temperature: float = Field(gt=0)
    feature_weight: float = Field(ge=0)  # of the smooth L1 distance to the teacher's pooled features
    reconstruction_weight: float = Field(ge=0)  # of the clean face, drawn from the recogniser's maps


def stage_one(
    network: StageOne, batch: Batch, config: StageOneLoss, objective: Objective, decoder: Decoder | None = None
) -> tuple[Tensor, Tensor]:
    """Recognise under the true Z [P, L]; align Z with the label's prompt, and the views of a face with one another.

    A `decoder` that learns beside the network draws the clean face from the maps of what the recogniser is shown.
    """
    clean = network.see(batch.clean)
    dark, off = restore(network, network.see(batch.images), clean)
    told = _happens(batch.keys, LABEL_TOLD, 1 - config.label_dropout)
    encoded = _encoded(network, dark, clean, batch, config)
    z = network.prior(encoded[network.prior.config.sees], batch.labels, told)
    shown = _either(_happens(batch.keys, SHOWN_CLEAN, config.clean_share), clean, dark)
    recognised = network.recognise(shown, _guiding(network, z, batch.keys, config))
    total = objective(recognised.logits, batch.targets) + off
    if decoder is not None:
        total = total + config.reconstruction_weight * reconstruction(decoder, recognised.scales, clean)
    if config.contrastive_weight:
        total = total + config.contrastive_weight * objective(network.prior.similarity(z), batch.targets)
    return total + _aligned(network, encoded, batch, config, objective), recognised.logits


def _encoded(network: StageOne, dark: Seen, clean: Seen, batch: Batch, config: StageOneLoss) -> dict[str, Tensor]:
    """E_I's features (B, D) of each view that a term asks for.

    All in one pass: a batch norm that met them one after the other would normalise each by itself as it learns, and by
    a mean of them afterwards, when stage 2 asks for the true Z.
    """
    sees, views = network.prior.config.sees, dict[str, Seen]()
    if sees == "dark" or config.alignment_weight or config.darker_weight or config.dark_text_weight:
        views["dark"] = dark
    if sees == "clean" or config.alignment_weight:
        views["clean"] = clean
    if config.darker_weight:
        assert batch.darker is not None
        views["darker"], _ = restore(network, network.see(batch.darker), clean)
    planes = torch.cat([seen.planes for seen in views.values()])
    exposure = torch.cat([seen.exposure for seen in views.values()])
    features = network.prior.image_encoder(Seen(planes, exposure))
    return dict(zip(views, features.chunk(len(views)), strict=True))


def _aligned(
    network: StageOne, encoded: dict[str, Tensor], batch: Batch, config: StageOneLoss, objective: Objective
) -> Tensor:
    """What draws the views of a face together, and the dark one to its label."""
    prior, total = network.prior, batch.targets.new_zeros(())
    if config.alignment_weight:
        total = total + config.alignment_weight * same_face(prior.likeness(encoded["dark"], encoded["clean"]))
    if config.darker_weight:
        total = total + config.darker_weight * same_face(prior.likeness(encoded["dark"], encoded["darker"]))
    if config.dark_text_weight:
        z = prior.of_face(encoded["dark"])
        total = total + config.dark_text_weight * objective(prior.similarity(z), batch.targets)
    return total


def _guiding(network: StageOne, z: Tensor, keys: Tensor, config: StageOneLoss) -> Tensor:
    """The Z that the recogniser gets: noisy, or withheld, so that it does not rely on Z alone."""
    noisy = z + config.prior_noise * normal(keys, PRIOR_NOISE, z.shape[1])
    withheld = _happens(keys, PRIOR_WITHHELD, config.prior_dropout)
    return torch.where(withheld[:, None], network.unknown, noisy)


def stage_two(
    network: LLDif,
    teacher: StageOne,
    batch: Batch,
    progress: float,
    config: StageTwoLoss,
    objective: Objective,
    decoder: Decoder | None = None,
) -> tuple[Tensor, Tensor]:
    """L_ce + L_kl [P, L] + L1 [D], and what the teacher would have answered.

    `progress` is the share of the training that is done: for the first `prior_phase` of it the recogniser waits [D].
    A `decoder` that learns beside the network draws the clean face from the recogniser's maps.
    """
    clean = teacher.see(batch.clean)
    seen = network.see(batch.images)
    dark, off = restore(network, seen, clean)
    with torch.no_grad():
        z = teacher.true_prior(teacher.restored(seen), clean, batch.labels)
    condition = network.condition_of(dark)
    start = chain_start(z, batch.keys, network.denoiser.plan.abar[-1], config.pure_noise_share)
    inferred = network.denoiser(start, condition, batch.keys)
    total = off + config.kl_weight * prior_divergence(z, inferred) + config.l1_weight * F.l1_loss(inferred, z)
    if config.denoising_weight:
        total = total + config.denoising_weight * denoising(network.denoiser, z, condition, batch.keys)
    if config.contrastive_weight:
        total = total + config.contrastive_weight * objective(network.similarity(inferred), batch.targets)
    waits = progress < config.prior_phase
    with torch.set_grad_enabled(not waits):
        known = _known(inferred.detach() if config.stop_gradient else inferred, batch.keys, config.prior_dropout)
        recognised = network.recognise(dark, known)
    if waits:
        return total, recognised.logits
    total = total + objective(recognised.logits, batch.targets)
    if decoder is not None:
        total = total + config.reconstruction_weight * reconstruction(decoder, recognised.scales, clean)
    if config.logit_weight or config.feature_weight:
        shown = clean if config.teacher_sees == "clean" else dark
        taught = _taught(teacher if config.teacher == "stage_one" else network, shown, z)
        total = total + config.logit_weight * distillation(recognised.logits, taught.logits, config.logit_temperature)
        total = total + config.feature_weight * F.smooth_l1_loss(recognised.features, taught.features)
    return total, recognised.logits


def _known(inferred: Tensor, keys: Tensor, dropout: float) -> Tensor:
    """The Z-hat that the recogniser gets: without dropout it may read all off Z-hat, and look at no image."""
    if not dropout:
        return inferred
    withheld = _happens(keys, PRIOR_WITHHELD, dropout)
    return torch.where(withheld[:, None], torch.zeros_like(inferred), inferred)


@torch.no_grad()
def _taught(teacher: GuidedRecogniser, seen: Seen, z: Tensor) -> Recognised:
    """Under the true Z. In evaluation mode: a teacher's statistics are not to follow its lesson."""
    was_training = teacher.training
    teacher.eval()
    recognised = teacher.recognise(seen, z)
    teacher.train(was_training)
    return recognised


def restore(network: GuidedRecogniser, dark: Seen, clean: Seen) -> tuple[Seen, Tensor]:
    """What the network goes by of dark faces, and how far that is from the clean ones: the mean absolute difference of
    the planes, from which alone a restorer learns; 0 where there is none.
    """
    if network.restorer is None:
        return dark, dark.planes.new_zeros(())
    restored = network.restored(dark)
    return restored._replace(planes=restored.planes.detach()), F.l1_loss(restored.planes, clean.planes)


def plain(network: torch.nn.Module, batch: Batch, objective: Objective) -> tuple[Tensor, Tensor]:
    logits = network(batch.images)
    return objective(logits, batch.targets), logits


def prior_divergence(z: Tensor, inferred: Tensor) -> Tensor:
    """KL(softmax(Z) || softmax(Z-hat)) over the channels [P, L], mean over the batch."""
    return F.kl_div(inferred.log_softmax(dim=1), z.log_softmax(dim=1), log_target=True, reduction="batchmean")


def distillation(logits: Tensor, answers: Tensor, temperature: float) -> Tensor:
    """KL from the teacher's softened answers (B, K) to the student's, times temperature^2 (Hinton et al. 2015)."""
    student, teacher = ((x / temperature).log_softmax(dim=1) for x in (logits, answers))
    return F.kl_div(student, teacher, log_target=True, reduction="batchmean") * temperature**2


def reconstruction(decoder: Decoder, scales: list[Tensor], clean: Seen) -> Tensor:
    """Mean absolute difference between what is drawn of F1 .. F3 and the planes seen of the clean face."""
    return F.l1_loss(decoder(scales, *clean.planes.shape[2:]), clean.planes)


def same_face(likeness: Tensor) -> Tensor:
    """InfoNCE both ways over (B, B): each face is to find its own other view (van den Oord et al. 2018)."""
    own = torch.arange(len(likeness), device=likeness.device)
    return (F.cross_entropy(likeness, own) + F.cross_entropy(likeness.mT, own)) / 2


def denoising(denoiser: Denoiser, z: Tensor, condition: Tensor, keys: Tensor) -> Tensor:
    """Mean squared error of Z_0 from the noised true Z of one step, drawn for the batch (Ho et al. 2020)."""
    step = int(uniform(keys[:1], CHAIN_STEP, 1) * denoiser.plan.steps)
    abar = denoiser.plan.abar[step]
    noised = abar**0.5 * z + (1 - abar) ** 0.5 * normal(keys, CHAIN_START, z.shape[1])
    return F.mse_loss(denoiser.z0(noised, step, condition), z)


def chain_start(z: Tensor, keys: Tensor, abar: float, pure_noise_share: float) -> Tensor:
    """Z_T (B, C): pure noise, as at inference, or q(Z_T | Z) [D] for the share that is left."""
    noise = normal(keys, CHAIN_START, z.shape[1])
    pure = _happens(keys, CHAIN_KIND, pure_noise_share)[:, None]
    return torch.where(pure, noise, abar**0.5 * z + (1 - abar) ** 0.5 * noise)


def _happens(keys: Tensor, stream: int, share: float) -> Tensor:
    """(B,) bool, true for that share of faces."""
    return uniform(keys, stream, 1)[:, 0] < share


def _either(first: Tensor, one: Seen, other: Seen) -> Seen:
    """`one` where `first` (B,) is true, else `other`."""
    planes = torch.where(first[:, None, None, None], one.planes, other.planes)
    return Seen(planes, torch.where(first[:, None], one.exposure, other.exposure))
