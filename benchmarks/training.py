"""How fast both stages and the plain recogniser train, each beside a ResNet-18 of equal operations in the same run.

    python -m benchmarks.training                         # CPU: one thread, then two; about 6 minutes
    python -m benchmarks.training --preset base --compile # with a GPU, where there is one

A step is the stage's own: faces darkened on the device, forward, backward and optimisers; that of stage 1 encodes the
dark and the clean view, that of stage 2 asks its teacher for Z and unrolls the chain. The networks take turns, and of
each the best round counts: other work on the machine only ever makes a round slower. One thread is measured in
processor seconds, which other work stretches less; more threads, or a GPU, in seconds. Operations are those of a
forward pass on one face.
"""

import argparse
import bisect
import datetime
import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.machine import processor
from components import experiment
from components.data.faces import EMOTIONS, render_faces
from components.data.table import Faces
from components.learning import losses
from components.learning.batches import Batch, Batches, TrainingFaces, epoch_batches, on_device
from components.learning.compute import device, meant, prepare
from components.learning.objective import Objective
from components.learning.optim import optimizers
from components.learning.training import Loss, learn
from components.model.baselines import Plain, ResNet18
from components.model.lldif import FacesConfig, LLDif, ModelConfig, StageOne
from components.model.presets import cost

PARAMS = Path(__file__).resolve().parents[1] / "params" / "ferplus-mini.yaml"
BATCH = {"cpu": 128, "cuda": 1024}
STEPS, ROUNDS = 5, 6
DRAWN = 512
EQUAL = "ResNet-18 of as many operations"
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
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--compile", action="store_true", help="all but our stages through torch.compile")
    chosen = parser.parse_args()
    name = torch.cuda.get_device_name() if device().type == "cuda" else f"{processor()}, {os.cpu_count()} cores"
    print(f"{datetime.date.today()}, {name}, torch {torch.__version__}, {meant(chosen.precision)}; ", end="")
    print(f"{chosen.preset}, landmarks {chosen.landmarks}")
    faces = grey_faces(STEPS * BATCH[device().type])
    params = experiment.load(PARAMS)
    compute = params.compute.model_validate({**params.compute.model_dump(), "precision": chosen.precision})
    params = params.model_copy(update={"compute": compute})
    llformer = {
        "preset": chosen.preset,
        "modulation": "residual",
        "landmarks": chosen.landmarks,
        "images": "own",
        "drop_path": 0.0,
    }
    model = params.model.model_copy(update={"llformer": type(params.model.llformer).model_validate(llformer)})
    for threads in chosen.threads if device().type == "cpu" else chosen.threads[:1]:
        prepare(compute.model_copy(update={"seed": 1, "threads": threads}))
        rivals = rivals_of(model, params)
        rounds = measure(rivals, params, faces, chosen.compile, clock_of(threads))
        print(f"\n{threads} thread{'s' * (threads > 1)}" if device().type == "cpu" else "\nCUDA")
        print("| network | parameters | MFLOP | faces/s | data | compute |\n|---|---|---|---|---|---|")
        for label, rival in rivals.items():
            print(row(label, rival, rounds[label]))
        best = {label: min(seconds.step for seconds in found) for label, found in rounds.items()}
        for ours, theirs in itertools.pairwise(best):
            if theirs.startswith(EQUAL):
                print(f"{ours} / {theirs}: {best[theirs] / best[ours]:.2f} (aim: at least 0.7)", flush=True)


@dataclass(frozen=True)
class Rival:
    network: nn.Module
    loss: Loss
    inputs: tuple[Tensor, ...]  # of one face

    def cost(self) -> tuple[int, int]:
        """Parameters, and operations of a forward pass on one face."""
        return cost(self.network, *(one.to(next(self.network.parameters()).device) for one in self.inputs))


def rivals_of(model: ModelConfig, params: experiment.Experiment) -> dict[str, Rival]:
    """Stage 1, stage 2 and the plain recogniser, each before the ResNet-18 whose operations are nearest to its."""
    faces, image = FacesConfig(classes=EMOTIONS, shape=SHAPE), torch.zeros(1, SHAPE[2], *SHAPE[:2], dtype=torch.uint8)
    objective = Objective(params.objective, torch.zeros(len(EMOTIONS)))

    def operations(width: int) -> int:
        return cost(ResNet18(model, faces, width), image)[1]

    def followed_by_a_resnet(label: str, ours: Rival) -> dict[str, Rival]:
        aim = ours.cost()[1]
        above = bisect.bisect_left(range(257), aim, lo=3, key=operations)  # they grow with the width
        width = min((above - 1, above), key=lambda width: abs(operations(width) - aim))
        return {label: ours, f"{EQUAL} as {label}, width {width}": plainly(ResNet18(model, faces, width))}

    def plainly(network: nn.Module) -> Rival:
        return Rival(network, lambda batch, _: losses.plain(network, batch, objective), (image,))

    stage_one, of_stage_one = StageOne(model, faces), params.train_prior.loss
    first = Rival(
        stage_one,
        lambda batch, _: losses.stage_one(stage_one, batch, of_stage_one, objective),
        (image, torch.zeros(1, dtype=torch.int64)),
    )
    teacher, stage_two = StageOne(model, faces), LLDif(model, params.diffusion, faces)
    stage_two.start_from(teacher, params.train_diffusion.warm_start, params.train_diffusion.frozen_encoder)
    teacher.to(device()).requires_grad_(False).eval()
    config = params.train_diffusion.loss
    second = Rival(
        stage_two,
        lambda batch, done: losses.stage_two(stage_two, teacher, batch, done, config, objective),
        (image,),
    )
    ours = {"LLDif, stage 1": first, "LLDif, stage 2": second, "plain": plainly(Plain(model, faces))}
    return {name: rival for label, one in ours.items() for name, rival in followed_by_a_resnet(label, one).items()}


def measure(
    rivals: dict[str, Rival], params: experiment.Experiment, faces: Faces, compiled: bool, clock: Clock
) -> dict[str, list[Seconds]]:
    """ROUNDS times in turn; the first round of each, which warms up, is left out."""
    steps = {label: step_of(rival, params, compiled) for label, rival in rivals.items()}
    rounds: dict[str, list[Seconds]] = {label: [] for label in rivals}
    there = on_device(faces, faces.votes, device())
    for number in range(ROUNDS + 1):
        for label, step in steps.items():
            seconds = one_round(step, stream(params, there, number), clock)
            if number:
                rounds[label].append(seconds)
    return rounds


def step_of(rival: Rival, params: experiment.Experiment, compiled: bool) -> Callable[[Batch], object]:
    """One step of training on a batch."""
    network = rival.network
    network.to(device()).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimisers = optimizers(network, params.optim)
    if compiled:
        network.compile()  # a call of it: the losses of our stages ask their parts

    return lambda batch: learn(rival.loss, optimisers, batch, 0.5, params.compute)


def one_round(step: Callable[[Batch], object], batches: Iterator[Batch], clock: Clock) -> Seconds:
    """Means over STEPS steps."""
    data = compute = 0.0
    for _ in range(STEPS):
        start = clock()
        batch = next(batches)
        ready = clock()
        step(batch)
        data, compute = data + ready - start, compute + clock() - ready
    return Seconds(data / STEPS, compute / STEPS)


def stream(params: experiment.Experiment, faces: TrainingFaces, number: int) -> Iterator[Batch]:
    """Batches of the stage, of epoch `number`."""
    config: Batches = params.batches.model_copy(update={"size": BATCH[device().type]})
    return epoch_batches(faces, config, params.camera, 1, number)


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


def row(label: str, rival: Rival, rounds: list[Seconds]) -> str:
    parameters, operations = rival.cost()
    best = min(rounds, key=lambda seconds: seconds.step)
    rate = BATCH[device().type] / best.step
    shares = f"{best.data / best.step:.0%} | {best.compute / best.step:.0%}"
    return f"| {label} | {parameters:,} | {operations / 1e6:.1f} | {rate:,.0f} | {shares} |"


if __name__ == "__main__":
    main()
