"""Stage 2's diffusion over the prior: from pure noise to Z-hat, given what the dark image says."""

import copy
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from components.config import Config
from components.lowlight.noise import normal
from components.model.schedule import predicted_z0, sample, schedule

REVERSE_NOISE = 37  # a stream of random numbers beside those of the camera, the losses and the batches


class DiffusionConfig(Config):
    """The chain: its length, what the denoiser predicts, and what is made of Z-hat at inference."""

    form: Literal["chain", "mlp"]  # mlp: the same layers, asked once and given no noise, as an ablation
    steps: int = Field(ge=1, le=64)  # T
    beta_low: float = Field(gt=0, lt=1)  # of the first step; a Z-hat that is drawn is no finer than its noise
    beta_high: float = Field(gt=0, lt=1)  # of the last step
    predicts: Literal["z0", "noise"]
    blocks: int = Field(ge=1)
    reverse_noise: bool  # each step draws from its posterior (Ho et al. 2020); else it takes the mean [D]
    samples: int = Field(ge=1, le=8)  # K, the chains that are averaged
    voice: float = Field(ge=0, lt=1)  # share of the answer that is Z-hat's own, by the classes' prompts it is near to

    @model_validator(mode="after")
    def _noise_grows(self) -> "DiffusionConfig":
        if self.beta_low > self.beta_high:
            raise ValueError(f"beta_low: allowed is at most beta_high, {self.beta_high}")
        return self

    @model_validator(mode="after")
    def _an_mlp_is_given_no_noise(self) -> "DiffusionConfig":
        if self.form == "mlp" and self.predicts == "noise":
            raise ValueError("predicts: with form mlp, allowed is z0")
        if self.form == "mlp" and self.reverse_noise:
            raise ValueError("reverse_noise: with form mlp, allowed is false")
        return self


class Denoiser(nn.Module):
    """concat(Z_t, t, c) -> linear layers [D], in residual blocks and with a last one of our own -> Z_0 or the noise."""

    def __init__(self, channels: int, config: DiffusionConfig) -> None:
        super().__init__()
        self.config = config
        self.plan = schedule(config.steps, config.beta_low, config.beta_high)
        self.enter = nn.Sequential(nn.Linear(2 * channels + 1, channels), nn.LeakyReLU(0.1))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, channels), nn.LeakyReLU(0.1)) for _ in range(config.blocks)
        )
        self.leave = nn.Linear(channels, channels)

    def forward(self, start: Tensor, condition: Tensor, keys: Tensor) -> Tensor:
        """Z-hat (B, C) from chains that start at `start` (B, C), given `condition` (B, C).

        Where steps are draws, the noise is a function of `keys` (B,) int64.
        """
        if self.config.form == "mlp":
            return self.predict(torch.zeros_like(start), 0, condition)
        noise = None
        if self.config.reverse_noise:
            drawn = normal(keys, REVERSE_NOISE, self.plan.steps * start.shape[1])
            noise = drawn.view(len(keys), self.plan.steps, -1).movedim(1, 0)
        return sample(lambda z, t: self.z0(z, t, condition), start, self.plan, noise)

    def asked_in(self, steps: int) -> "Denoiser":
        """The same weights, in another number of steps T than they were trained in."""
        other = copy.copy(self)
        other.plan = schedule(steps, self.config.beta_low, self.config.beta_high)
        return other

    def z0(self, z_t: Tensor, t: int, condition: Tensor) -> Tensor:
        """The Z_0 (B, C) that Z_t (B, C) of step t, counted from 0, comes from."""
        predicted = self.predict(z_t, t, condition)
        return predicted if self.config.predicts == "z0" else predicted_z0(z_t, predicted, self.plan.abar[t])

    def predict(self, z_t: Tensor, t: int, condition: Tensor) -> Tensor:
        """Z_0 or the noise (B, C), as configured, of z_t (B, C) of step t, counted from 0 and told as (t + 1) / T."""
        time = torch.full_like(z_t[:, :1], (t + 1) / self.plan.steps)
        x = self.enter(torch.cat([z_t, time, condition], dim=1))
        for block in self.blocks:
            x = x + block(x)
        return self.leave(x)  # (B, C)
