"""How fast the recogniser trains, beside a ResNet-18 of equal operations in the same run.

    python -m benchmarks.training                         # CPU: one thread, then two; about 2 minutes
    python -m benchmarks.training --preset base --compile # with a GPU, where there is one

A step is the stage's own: faces darkened on the device, forward, backward and optimisers, in bfloat16. The two networks
take turns, and of each the best round counts: other work on the machine only ever makes a round slower. One thread is
measured in processor seconds, which other work stretches less; more threads, or a GPU, in seconds.
"""

import argparse
import bisect
import datetime
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.darken import processor
from components import experiment
from components.data.faces import EMOTIONS, render_faces
from components.data.table import Faces
from components.learning.batches import Batch, Batches, epoch_batches
from components.learning.compute import Compute, device, prepare
from components.learning.optim import optimizers
from components.model.baselines import Plain, ResNet18
from components.model.lldif import FacesConfig, ModelConfig
from components.model.presets import cost

PARAMS = Path(__file__).resolve().parents[1] / "params" / "ferplus-mini.yaml"
BATCH = {"cpu": 128, "cuda": 1024}
STEPS, ROUNDS = 5, 6
DRAWN = 512
Clock = Callable[[], float]
SHAPE = (48, 48, 1)


@dataclass(frozen=True)
class Seconds:
    """Of one step: making its batch, and learning from it."""

    data: float
    compute: float

    @property
    def step(self) -> float:
        return self.data + self.compute


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="tiny", choices=["tiny", "small", "base"])
    parser.add_argument("--landmarks", default="none", choices=["none", "own"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--compile", action="store_true", help="both networks through torch.compile")
    chosen = parser.parse_args()
    name = torch.cuda.get_device_name() if device().type == "cuda" else f"{processor()}, {os.cpu_count()} cores"
    print(f"{datetime.date.today()}, {name}, torch {torch.__version__}; {chosen.preset}, landmarks {chosen.landmarks}")
    faces = grey_faces(STEPS * BATCH[device().type])
    params = experiment.load(PARAMS)
    llformer = {"preset": chosen.preset, "landmarks": chosen.landmarks, "images": "own", "drop_path": 0.0}
    model = params.model.model_copy(update={"llformer": type(params.model.llformer).model_validate(llformer)})
    for threads in chosen.threads if device().type == "cpu" else chosen.threads[:1]:
        prepare(Compute(seed=1, threads=threads, precision="bfloat16"))
        networks = rivals(model)
        rounds = measure(networks, params, faces, chosen.compile, clock_of(threads))
        print(f"\n{threads} thread{'s' * (threads > 1)}" if device().type == "cpu" else "\nCUDA")
        print("| network | parameters | MFLOP | faces/s | data | compute |\n|---|---|---|---|---|---|")
        for label, network in networks.items():
            print(row(label, network, rounds[label]))
        ours, theirs = (min(seconds.step for seconds in rounds[label]) for label in networks)
        print(f"plain / ResNet-18: {theirs / ours:.2f} (aim: at least 0.7)", flush=True)


def rivals(model: ModelConfig) -> dict[str, nn.Module]:
    """The plain recogniser, and the ResNet-18 whose operations are nearest to its."""
    faces, image = FacesConfig(classes=EMOTIONS, shape=SHAPE), torch.zeros(1, SHAPE[2], *SHAPE[:2], dtype=torch.uint8)
    plain = Plain(model, faces)
    aim = cost(plain, image)[1]

    def operations(width: int) -> int:
        return cost(ResNet18(model, faces, width), image)[1]

    above = bisect.bisect_left(range(257), aim, lo=3, key=operations)  # they grow with the width
    width = min((above - 1, above), key=lambda width: abs(operations(width) - aim))
    return {"plain": plain, f"ResNet-18, width {width}": ResNet18(model, faces, width)}


def measure(
    networks: dict[str, nn.Module], params: experiment.Experiment, faces: Faces, compiled: bool, clock: Clock
) -> dict[str, list[Seconds]]:
    """ROUNDS times in turn; the first round of each, which warms up, is left out."""
    learners = {label: learner(network, params, compiled) for label, network in networks.items()}
    rounds: dict[str, list[Seconds]] = {label: [] for label in networks}
    for number in range(ROUNDS + 1):
        for label, learn in learners.items():
            seconds = one_round(learn, stream(params, faces, number), clock)
            if number:
                rounds[label].append(seconds)
    return rounds


def learner(network: nn.Module, params: experiment.Experiment, compiled: bool) -> Callable[[Batch], None]:
    """One step of training on a batch."""
    network.to(device()).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimisers = optimizers(network, params.optim)
    answer = torch.compile(network) if compiled else network

    def learn(batch: Batch) -> None:
        for optimiser in optimisers:
            optimiser.zero_grad()
        with torch.autocast(device().type, torch.bfloat16):
            loss = F.cross_entropy(answer(batch.images), batch.targets)
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()

    return learn


def one_round(learn: Callable[[Batch], None], batches: Iterator[Batch], clock: Clock) -> Seconds:
    """Means over STEPS steps."""
    data = compute = 0.0
    for _ in range(STEPS):
        start = clock()
        batch = next(batches)
        ready = clock()
        learn(batch)
        data, compute = data + ready - start, compute + clock() - ready
    return Seconds(data / STEPS, compute / STEPS)


def stream(params: experiment.Experiment, faces: Faces, number: int) -> Iterator[Batch]:
    """Batches of the stage, of epoch `number`."""
    config: Batches = params.batches.model_copy(update={"size": BATCH[device().type]})
    return epoch_batches(faces, faces.votes, config, params.camera, 1, number, device())


def grey_faces(count: int) -> Faces:
    """Embedded faces as FER+ has them: grey, 48 px; some hundreds, again and again under other names."""
    drawn = list(render_faces(1, "train", DRAWN))
    each = np.arange(count) % DRAWN
    images = np.ascontiguousarray(np.stack([face.pixels for face in drawn])[each, 8:56, 8:56, 1:2])
    labels = np.array([face.label for face in drawn])[each]
    names = [str(number) for number in range(count)]
    return Faces(names, images, labels, np.eye(len(EMOTIONS), dtype=np.float32)[labels], EMOTIONS)


def clock_of(threads: int) -> Clock:
    if device().type == "cpu":
        return time.process_time if threads == 1 else time.perf_counter

    def when_all_is_done() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return when_all_is_done


def row(label: str, network: nn.Module, rounds: list[Seconds]) -> str:
    image = torch.zeros(1, SHAPE[2], *SHAPE[:2], dtype=torch.uint8, device=device())
    parameters, operations = cost(network, image)
    best = min(rounds, key=lambda seconds: seconds.step)
    rate = BATCH[device().type] / best.step
    shares = f"{best.data / best.step:.0%} | {best.compute / best.step:.0%}"
    return f"| {label} | {parameters:,} | {operations / 1e6:.1f} | {rate:,.0f} | {shares} |"


if __name__ == "__main__":
    main()
