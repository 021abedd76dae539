"""Training as a generator of reports: it knows no tracker, scheduler or bar; whoever iterates listens."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from components.data.table import Faces
from components.learning import checkpoint
from components.learning.batches import Batch, Batches, TrainingFaces, batch_count, epoch_batches, on_device
from components.learning.compute import Compute, autocast, device
from components.learning.metrics import accuracy
from components.learning.optim import OptimConfig, optimizers, rate
from components.lowlight.camera import Camera
from components.lowlight.table import DarkFaces
from components.records import Report

Loss = Callable[[Batch, float], tuple[Tensor, Tensor]]  # with the share of the training that is done -> total, logits
Answer = Callable[[Tensor, Tensor], Tensor]  # images, labels -> logits


class DivergedError(ValueError):
    """The loss is no longer a number; the message says at which epoch."""


@dataclass(frozen=True)
class Learner:
    """A network, what it minimises, and how it answers while it is followed."""

    network: nn.Module
    loss: Loss
    answer: Answer


@dataclass(frozen=True)
class Course:
    """What a training goes through, whatever the network."""

    stage: str
    epochs: int
    compute: Compute
    batches: Batches
    camera: Camera
    optim: OptimConfig
    darker_views: bool = False  # whether the loss wants a second, darker photograph of each face
    epochs_before: int = 0  # of an earlier stage, and
    epochs_after: int = 0  # of a later one, that share one schedule of the learning rate with this course
    seen_before: int = 0  # epochs of earlier trainings whose dark images are not to be met again


def fit(
    learner: Learner,
    train: Faces,
    targets: np.ndarray,
    watch: DarkFaces,
    course: Course,
    path: Path,
    keep: Callable[[Path], None] | None = None,
) -> Iterator[Report]:
    """Train the learner's network in place towards `targets` (N, K), one report an epoch; go on from the checkpoint at
    `path` where there is one. `keep` is given each checkpoint as soon as it stands: to take it where another machine
    finds it.

    The report of an epoch comes before its checkpoint: whoever keeps reports cuts them to the checkpoint's epoch on
    resume (`epochs_done`), and the repeated epoch gives the same report again.

    Raises DivergedError.
    """
    network = learner.network
    network.to(device()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimisers = optimizers(network, course.optim)
    faces = on_device(train, targets, device())
    history: list[dict[str, float]] = []
    if path.exists():
        tensors, notes = checkpoint.read(path)
        checkpoint.restore(tensors, network, optimisers)
        history = notes["history"]
    for epoch in range(len(history), course.epochs):
        metrics = train_epoch(learner, optimisers, faces, course, epoch)
        metrics["valid_accuracy"] = watch_accuracy(learner, watch)
        yield Report(course.stage, epoch + 1, course.epochs, metrics)
        history = [*history, metrics]
        checkpoint.write(path, checkpoint.capture(network, optimisers), {"history": history})
        if keep is not None:
            keep(path)


def train_epoch(
    learner: Learner, optimisers: list[Optimizer], train: TrainingFaces, course: Course, epoch: int
) -> dict[str, float]:
    """One pass over the training faces. Returns the means of loss and accuracy, and the last learning rate's share."""
    learner.network.train()
    per_epoch = batch_count(len(train.labels), course.batches)
    totals = torch.zeros(3, dtype=torch.float64, device=device())
    share = 0.0
    all_epochs = course.epochs_before + course.epochs + course.epochs_after
    seed, seen = course.compute.seed, course.seen_before + epoch
    stream = epoch_batches(train, course.batches, course.camera, seed, seen, course.darker_views)
    for step, batch in enumerate(stream, start=epoch * per_epoch):
        share = rate(step + course.epochs_before * per_epoch, all_epochs * per_epoch, course.optim)
        for group in itertools.chain.from_iterable(optimiser.param_groups for optimiser in optimisers):
            group["lr"] = group["highest"] * share
        total, logits = learn(learner.loss, optimisers, batch, step / (course.epochs * per_epoch), course.compute)
        right = (logits.argmax(dim=1) == batch.labels).double()
        # on the device: a figure asked for at each step would make it wait
        totals += torch.stack([total.detach().double() * len(right), right.sum(), torch.ones_like(right).sum()])
    mean_loss, mean_accuracy = (totals[:2] / totals[2]).tolist()
    if not math.isfinite(mean_loss):
        raise DivergedError(f"{course.stage}: loss is {mean_loss} in epoch {epoch + 1}: lower the learning rate")
    return {"loss": mean_loss, "train_accuracy": mean_accuracy, "rate_share": share}


def learn(
    loss: Loss, optimisers: list[Optimizer], batch: Batch, progress: float, compute: Compute
) -> tuple[Tensor, Tensor]:
    """One step; returns the loss and the logits."""
    for optimiser in optimisers:
        optimiser.zero_grad()
    with autocast(compute):
        total, logits = loss(batch, progress)
    total.backward()
    for optimiser in optimisers:
        optimiser.step()
    return total, logits


def epoch_history(path: Path) -> list[dict[str, float]]:
    """The figures of every epoch that the checkpoint at `path` holds; none where there is no checkpoint."""
    history: list[dict[str, float]] = checkpoint.read(path)[1]["history"] if path.exists() else []
    return history


def epochs_done(path: Path) -> int:
    return len(epoch_history(path))


def watch_accuracy(learner: Learner, watch: DarkFaces) -> float:
    learner.network.eval()
    labels = torch.from_numpy(watch.labels)
    with torch.no_grad():
        parts = zip(images_of(watch).split(256), labels.split(256), strict=True)
        logits = [learner.answer(images.to(device()), right.to(device())).cpu() for images, right in parts]
    return accuracy(torch.cat(logits).argmax(dim=1).numpy(), watch.labels)


def images_of(faces: DarkFaces) -> Tensor:
    """(N, C, H, W) uint8."""
    return torch.from_numpy(faces.images).permute(0, 3, 1, 2).contiguous()
