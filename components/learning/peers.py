"""How each peer learns: one training after another, each with its share of the epochs."""

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.learning import losses
from components.learning.batches import Batch
from components.learning.objective import Objective
from components.learning.training import Loss
from components.model.baselines import MEMBERS, PEERS, Ensemble, Peer, Plain, RestoredFirst
from components.model.lldif import FacesConfig, ModelConfig

TEACHER_SHARE = 1 / 3  # of a distilled peer's epochs, which its teacher sees clean faces in
SOFTNESS = 2.0  # temperature of the teacher's answers; their loss has the labels' weight
RESTORATION_WEIGHT = 1.0


@dataclass(frozen=True)
class Phase:
    """One training; its network is frozen for those after it."""

    name: str
    network: nn.Module
    loss: Loss
    epochs: int
    clean: bool = False  # whether it is followed, and its peer calibrated, on clean faces


def phases(
    peer: Peer, config: ModelConfig, faces: FacesConfig, epochs: int, objective: Objective
) -> tuple[nn.Module, list[Phase]]:
    """The peer, and the trainings that make it, in order; together they take `epochs` epochs."""
    network = PEERS[peer](config, faces)
    if peer == "clean_ceiling":
        return network, [_on_clean_faces(peer, network, epochs, objective)]
    if peer == "distilled":
        teacher, first = Plain(config, faces), max(1, round(TEACHER_SHARE * epochs))
        return network, [
            _on_clean_faces("teacher", teacher, first, objective),
            Phase(peer, network, lambda batch, _: distilled(network, teacher, batch, objective), epochs - first),
        ]
    if isinstance(network, Ensemble):
        ends = [round(number * epochs / MEMBERS) for number in range(MEMBERS + 1)]
        shares = [end - begin for begin, end in itertools.pairwise(ends)]
        members = list(zip(network.members, shares, strict=True))
        return network, [_plain(f"{peer}_{n}", *member, objective) for n, member in enumerate(members, start=1)]
    if isinstance(network, RestoredFirst):
        return network, [Phase(peer, network, lambda batch, _: restored(network, batch, objective), epochs)]
    return network, [_plain(peer, network, epochs, objective)]


def _plain(name: str, network: nn.Module, epochs: int, objective: Objective) -> Phase:
    return Phase(name, network, lambda batch, _: losses.plain(network, batch, objective), epochs)


def _on_clean_faces(name: str, network: nn.Module, epochs: int, objective: Objective) -> Phase:
    return Phase(name, network, lambda batch, _: clean(network, batch, objective), epochs, clean=True)


def clean(network: nn.Module, batch: Batch, objective: Objective) -> tuple[Tensor, Tensor]:
    """Recognise faces that were never darkened."""
    logits = network(batch.clean)
    return objective(logits, batch.targets), logits


def restored(network: RestoredFirst, batch: Batch, objective: Objective) -> tuple[Tensor, Tensor]:
    """Recognise, and come near the clean image: mean absolute difference of the planes seen."""
    seen = network.restored(network.see(batch.images))
    logits = network.classify_restored(seen)
    off = F.l1_loss(seen.planes, network.see(batch.clean).planes)
    return objective(logits, batch.targets) + RESTORATION_WEIGHT * off, logits


def distilled(student: nn.Module, teacher: nn.Module, batch: Batch, objective: Objective) -> tuple[Tensor, Tensor]:
    """Recognise the dark face, and answer as the teacher does to the clean one (Hinton et al. 2015)."""
    with torch.no_grad():
        answers = teacher(batch.clean)
    logits = student(batch.images)
    return objective(logits, batch.targets) + losses.distillation(logits, answers, SOFTNESS), logits
