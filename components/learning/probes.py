"""What the prior Z is worth: the model asked again with its Z-hat, its image or its label tampered with.

Accuracy alone does not say whether the recogniser listens to Z: a Z-hat may be constant, ignored, or the label in
disguise. Each probe changes one thing on the same faces, so that its difference to "one chain" is that thing's worth.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.learning.bootstrap import paired
from components.learning.calibration import Calibration
from components.learning.evaluation import Resampling, rounded
from components.learning.metrics import score
from components.model.lldif import STORED_STARTS, LLDif, StageOne

FACES_AT_ONCE = 256
STEPS = {"one_step": 1, "two_steps": 2, "four_steps": 4, "eight_steps": 8}


@dataclass(frozen=True)
class Probed:
    """Faces as the camera saw them, and in full light."""

    dark: np.ndarray  # (N, H, W, C) uint8
    clean: np.ndarray  # (N, H, W, C) uint8
    labels: np.ndarray  # (N,)
    votes: np.ndarray  # (N, K)


@dataclass(frozen=True)
class _Priors:
    """What both stages make of the faces, once for all probes."""

    chains: Tensor  # (STORED_STARTS, N, C_z): Z-hat of each chain
    by_steps: dict[str, Tensor]  # (N, C_z) each: Z-hat of the first chain in so many steps; an MLP has none
    taught: dict[str, Tensor]  # (N, C_z) each: Z of stage 1, by what it was told


@torch.no_grad()
def probe(
    network: LLDif, calibration: Calibration, stage_one: StageOne, faces: Probed, how: Resampling, seed: int
) -> dict[str, Any]:
    """{"lldif": {probe: {"accuracy", "nll"}}, "stage_one": {..}, "prior": {..}, "shuffled_gap": {..}}, rounded.

    A chain is also asked in 1, 2, 4 and 8 steps, whatever the T that it was trained in.
    prior: the standard deviation across faces, mean over the channels, of Z-hat (one chain) and of stage 1's Z, and
    that of Z-hat across chains; explained: the share of Z's variance over faces that Z-hat accounts for.
    shuffled_gap: accuracy and negative log-likelihood of one chain less those with another face's Z-hat, with paired
    intervals. Stage 1 is shown the image that its Z is made of, and asked without and with a wrong label where a label
    enters its Z; "dark_image" shows it the dark face under the same Z. Both networks are on one device.
    """
    priors = _priors(network, stage_one, faces)
    place = network.starts.device
    other = torch.from_numpy(derangement(len(faces.labels), seed)).to(place)
    answers = {name: _calibrated(logits, calibration) for name, logits in _of_lldif(network, faces, priors, other)}
    shown = _images(faces.clean if stage_one.config.prior.sees == "clean" else faces.dark, place)
    as_it_is = Calibration(1.0, (0.0,) * faces.votes.shape[1])
    taught = {name: _calibrated(_answers(stage_one, shown, z), as_it_is) for name, z in priors.taught.items()}
    in_the_dark = _answers(stage_one, _images(faces.dark, place), priors.taught["own_prior"])
    taught["dark_image"] = _calibrated(in_the_dark, as_it_is)
    gap = paired([answers["one_chain"]], [answers["shuffled"]], faces.labels, how.weights, how.confidence, faces.votes)
    return {
        "lldif": {name: _figures(given, faces) for name, given in answers.items()},
        "stage_one": {name: _figures(given, faces) for name, given in taught.items()},
        "prior": {
            "inferred_deviation": _deviation(priors.chains[0]),
            "true_deviation": _deviation(priors.taught["own_prior"]),
            "chain_deviation": round(float(priors.chains.std(dim=0, correction=0).mean()), 4),
            "explained": _explained(priors.taught["own_prior"], priors.chains[0]),
        },
        "shuffled_gap": {metric: rounded(gap[metric]) for metric in ("accuracy", "nll")},
    }


def derangement(count: int, seed: int) -> np.ndarray:
    """A permutation (count,) that leaves nothing in its place: one cycle through all."""
    order = np.random.Generator(np.random.Philox(seed)).permutation(count)
    result = np.empty(count, dtype=np.int64)
    result[order] = np.roll(order, 1)
    return result


def _priors(network: LLDif, stage_one: StageOne, faces: Probed) -> _Priors:
    place = network.starts.device
    labels = torch.from_numpy(faces.labels).to(place)
    everyone = torch.ones_like(labels, dtype=torch.bool)
    told = {"own_prior": (labels, everyone)}
    if stage_one.prior.config.label_input:
        wrong = (labels + 1) % faces.votes.shape[1]
        told |= {"without_label": (labels, ~everyone), "wrong_label": (wrong, everyone)}
    denoisers = {name: network.denoiser.asked_in(steps) for name, steps in STEPS.items()}
    if network.denoiser.config.form == "mlp":
        denoisers = {}
    chains: list[Tensor] = []
    by_steps: dict[str, list[Tensor]] = {name: [] for name in denoisers}
    taught: dict[str, list[Tensor]] = {name: [] for name in told}
    for part in torch.arange(len(labels)).split(FACES_AT_ONCE):
        dark, clean = _images(faces.dark[part], place), _images(faces.clean[part], place)
        condition = network.condition_of(network.restored(network.see(dark)))
        chains.append(torch.stack([network.infer_prior(condition, chain) for chain in range(STORED_STARTS)]))
        for name, denoiser in denoisers.items():
            by_steps[name].append(
                denoiser(network.starts[0].expand_as(condition), condition, torch.zeros_like(labels[part]))
            )
        seen_dark, seen_clean = stage_one.restored(stage_one.see(dark)), stage_one.see(clean)
        for name, (given, heard) in told.items():
            taught[name].append(stage_one.true_prior(seen_dark, seen_clean, given[part], heard[part]))
    whole = [{name: torch.cat(parts) for name, parts in found.items()} for found in (by_steps, taught)]
    return _Priors(torch.cat(chains, dim=1), *whole)


def _of_lldif(network: LLDif, faces: Probed, priors: _Priors, other: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Log-probabilities (N, K) by probe; `other` (N,) is another face for each."""
    dark, z = _images(faces.dark, network.starts.device), priors.chains[0]
    chains = [_answers(network, dark, one) for one in priors.chains]
    yield "one_chain", chains[0]
    yield "eight_chains", torch.stack(chains).logsumexp(dim=0) - np.log(len(chains))
    for name, own in priors.by_steps.items():
        yield name, _answers(network, dark, own)
    yield "zero", _answers(network, dark, torch.zeros_like(z))
    yield "mean", _answers(network, dark, z.mean(dim=0).expand_as(z))
    yield "shuffled", _answers(network, dark, z[other])
    yield "oracle", _answers(network, dark, priors.taught["own_prior"])
    yield "image_shuffled", _answers(network, dark[other], z)


def _answers(network: LLDif | StageOne, images: Tensor, z: Tensor) -> Tensor:
    found = []
    for some, own in zip(images.split(FACES_AT_ONCE), z.split(FACES_AT_ONCE), strict=True):
        seen = network.restored(network.see(some))
        answer = network.answer(seen, own) if isinstance(network, LLDif) else network.recognise(seen, own).logits
        found.append(answer.log_softmax(dim=1))
    return torch.cat(found)


def _images(images: np.ndarray, place: torch.device) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(place)


def _calibrated(logits: Tensor, calibration: Calibration) -> np.ndarray:
    return calibration.probabilities(logits).cpu().numpy()


def _figures(probabilities: np.ndarray, faces: Probed) -> dict[str, float]:
    one = score("probe", probabilities, faces.labels, faces.votes)
    return {"accuracy": round(one.accuracy, 4), "nll": round(one.nll, 4)}


def _deviation(z: Tensor) -> float:
    return round(float(z.std(dim=0, correction=0).mean()), 4)


def _explained(z: Tensor, inferred: Tensor) -> float:
    """1 for the true Z, 0 for its mean over faces, less for what is worse than that; over all channels together."""
    variance = float(z.var(dim=0, correction=0).mean())
    return round(1 - float((inferred - z).square().mean()) / variance, 4) if variance else 0.0
