"""What recognising well means: the loss of logits against labels or votes, with rare classes at their weight."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from components.config import Config
from components.data.table import Faces
from components.learning.compute import device


class ObjectiveConfig(Config):
    """Shared by all trainings, the baseline's too: what differs between models is not what they aim at."""

    targets: Literal["label", "votes"]  # one class each, or the shares of what people said
    balance: Literal["none", "class_weights", "logit_adjustment"]
    strength: float = Field(ge=0, le=2)  # of the balance; 1 is full


@dataclass(frozen=True)
class Objective:
    """The config, and how common each class is among the training faces: log shares (K,), on the device of training."""

    config: ObjectiveConfig
    log_shares: Tensor

    @classmethod
    def of(cls, config: ObjectiveConfig, faces: Faces) -> "Objective":
        return cls(config, torch.from_numpy(log_shares(faces, config)).float().to(device()))

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean over the faces, from logits (B, K) and targets (B, K) that sum to 1."""
        strength = self.config.strength
        if self.config.balance == "logit_adjustment":  # Menon et al. ICLR 2021
            return F.cross_entropy(logits + strength * self.log_shares, targets)
        if self.config.balance == "class_weights":
            weights = (-strength * self.log_shares).exp()
            each = (targets @ weights) / (self.log_shares.exp() @ weights)  # 1 on average
            return (F.cross_entropy(logits, targets, reduction="none") * each).mean()
        return F.cross_entropy(logits, targets)


def log_shares(faces: Faces, config: ObjectiveConfig) -> np.ndarray:
    """(K,) float64: how common each class is among what training aims at; one that is absent counts as one face."""
    shares = targets_of(faces, config).mean(axis=0).astype(np.float64)
    return np.log(np.maximum(shares, 1 / len(faces.labels)))


def targets_of(faces: Faces, config: ObjectiveConfig) -> np.ndarray:
    """(N, K) float32: what training aims at."""
    return faces.votes if config.targets == "votes" else np.eye(len(faces.classes), dtype=np.float32)[faces.labels]
