"""What makes honest probabilities of logits: a temperature, and how much rarer classes gain."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LOWEST, HIGHEST = 0.05, 20.0


@dataclass(frozen=True)
class Calibration:
    """Logits are divided by the temperature (Guo et al. ICML 2017); then each class gains its offset."""

    temperature: float
    offsets: tuple[float, ...]  # (K,)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits, or log-probabilities, (N, K) to probabilities (N, K), where they are."""
        return (logits.float() / self.temperature + torch.tensor(self.offsets, device=logits.device)).softmax(dim=1)


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The temperature that logits (N, K) are to be divided by so that the targets (N, K), shares, are likeliest.

    Rounded, so that it does not carry the last bits of a search; between .05 and 20.
    """

    from scipy.optimize import minimize_scalar  # slow, and every stage would wait for it
    from scipy.special import log_softmax

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits.astype(np.float64) / np.exp(log_temperature), axis=1)
        return -float((targets * scaled).sum(axis=1).mean())

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    return round(float(np.exp(found.x)), 3)


def adjusted(log_shares: np.ndarray, strength: float) -> tuple[float, ...]:
    """Offsets (K,) from the classes' log shares of the training faces (K,): logit adjustment after training.

    At strength 1 the answer is the one for classes equally common, at 0 the one for what was trained on (Menon et al.
    ICLR 2021, section 4.1).
    """
    return tuple(round(0.0 - strength * float(share), 4) for share in log_shares)
