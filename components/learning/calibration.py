"""Temperature scaling: one number that makes a model's confidence honest (Guo et al. ICML 2017)."""

import numpy as np
from scipy.special import log_softmax

LOWEST, HIGHEST = 0.05, 20.0


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that logits (N, K) are to be divided by so that the labels (N,) are likeliest.

    Rounded, so that it does not carry the last bits of a search; between .05 and 20.
    """

    from scipy.optimize import minimize_scalar  # slow, and every stage would wait for it

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits.astype(np.float64) / np.exp(log_temperature), axis=1)
        return -float(scaled[np.arange(len(labels)), labels].mean())

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    return round(float(np.exp(found.x)), 3)
