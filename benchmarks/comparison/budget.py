"""What a number of minutes pays for: each method's speed is tried briefly, then epochs, seeds and faces are chosen."""

import itertools
import multiprocessing
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.comparison.jobs import Arena, say
from benchmarks.comparison.methods import Method
from benchmarks.comparison.runs import lay_out
from components import atomic, experiment
from components.config import parse
from components.data.table import ROW_GROUP, read_split
from components.learning import inference
from components.learning.compute import device

LEAST_EPOCHS = 8  # below, methods differ by how fast they begin
TRIED_FACES, TRIED_WATCHED = 1024, 128
START_SECONDS = 10.0  # of a run: a process, its imports, its tables
PROBES = 20  # answers to each judged face, about, that say what LLDif's prior is worth


@dataclass(frozen=True)
class Cost:
    """What a method takes on this machine beside as many others as will run beside it."""

    training: float  # seconds a face; 0 where another's weights are asked
    answer: float  # seconds a face of one side, by one chain
    answers_an_epoch: int  # on valid, to follow the training
    answers_at_the_end: int  # calibrated on valid, judged over the ladder and in the other darkness, probed

    def seconds(self, epochs: int, faces: int) -> float:
        """Of one run."""
        answers = self.answers_at_the_end + epochs * self.answers_an_epoch
        return START_SECONDS + epochs * faces * self.training + answers * self.answer


@dataclass(frozen=True)
class Plan:
    """Every method sees `faces` training faces `epochs` times, under `seeds` seeds."""

    epochs: int
    seeds: int
    faces: int
    trials: int  # of each method
    trial_epochs: int

    def seconds(self, costs: Mapping[str, Cost], workers: int) -> float:
        """Of all runs, `workers` of them side by side."""
        every = sum(self.seeds * cost.seconds(self.epochs, self.faces) for cost in costs.values())
        tuned = [cost for cost in costs.values() if cost.training]  # whose weights are asked has been tuned already
        every += sum(self.trials * cost.seconds(self.trial_epochs, self.faces) for cost in tuned)
        return every / min(workers, self.seeds * len(costs))


def plans(wanted: Plan, fewer_faces: bool) -> list[Plan]:
    """From what was asked for to the least that tells anything: epochs go first, then seeds, then faces if they may."""
    epochs = range(wanted.epochs, min(LEAST_EPOCHS, wanted.epochs) - 1, -1)
    seeds = range(wanted.seeds, 0, -1)
    whole = [replace(wanted, epochs=e, seeds=s) for s, e in itertools.product(seeds, epochs)]
    if not fewer_faces:
        return whole
    halvings = itertools.takewhile(lambda faces: faces >= TRIED_FACES, (wanted.faces >> n for n in range(1, 32)))
    return [*whole, *(replace(whole[-1], faces=faces) for faces in halvings)]


def affordable(choices: Sequence[Plan], costs: Mapping[str, Cost], workers: int, minutes: float) -> Plan:
    """The first that fits into the minutes, or the last where none does."""
    return next((plan for plan in choices if plan.seconds(costs, workers) <= 60 * minutes), choices[-1])


def measured(arena: Arena, methods: Sequence[Method], workers: int) -> dict[str, Cost]:
    """What each method takes, on a cut of the data: some seconds each, `workers` of them side by side."""
    cut = replace(arena, data=_cut(arena))
    rows = {name: pq.read_metadata(arena.data / f"dark_{name}.parquet").num_rows for name in ("valid", arena.split)}
    rungs = len(arena.content["darken"]["exposures"])
    tries = [(cut, method, copy) for copy in range(-(-workers // len(methods))) for method in methods]
    if workers == 1:
        found = [_tried(*one) for one in tries]
    else:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            found = list(pool.map(_tried, *zip(*tries, strict=True)))
    costs = {}
    for (_, method, _), (training, answer) in zip(tries, found, strict=True):
        content = method.applied(arena.content, LEAST_EPOCHS)
        chains = content["diffusion"]["samples"] if method.trains == "lldif" else 1
        sides = 2 if content["inference"]["flip_average"] else 1
        ladders = rows["valid"] + rows[arena.split] + rows[arena.split] // rungs
        probed = PROBES * rows[arena.split] // rungs if method.trains == "lldif" else 0
        watched = 0 if method.asks else chains * rows["valid"] // rungs
        at_the_end = chains * sides * ladders + probed
        costs[method.name] = Cost(0.0 if method.asks else training, answer / (chains * sides), watched, at_the_end)
        say(f"{method.name}: {1 / training:.0f} faces/s in training, answers {1 / answer:.0f} faces/s")
    return costs


def _cut(arena: Arena) -> Path:
    """The first faces of train and of valid, as a table of their own."""
    folder = arena.root / "tried" / arena.data.name
    faces = pq.read_table(arena.data / "faces.parquet")
    dark = pq.read_table(arena.data / "dark_valid.parquet")
    splits = faces["split"].to_numpy(zero_copy_only=False)
    parts = {
        "faces": faces.take((splits == "train").nonzero()[0][:TRIED_FACES]),
        "dark_valid": dark.slice(0, TRIED_WATCHED),
    }
    for name, table in parts.items():
        with atomic.replacing(folder / f"{name}.parquet") as temporary:
            pq.write_table(table, temporary, row_group_size=ROW_GROUP)
    return folder


def _tried(arena: Arena, method: Method, copy: int) -> tuple[float, float]:
    """Seconds of training a face, and of answering for one as the method does.

    From how long epochs of each stage take after its first, which warms up; a stage counts by its share of them.
    """
    job = arena.job(replace(method, prior_share=0.5, asks=""), seed=1, epochs=6)
    folder = arena.root / "tried" / f"{method.name}-{copy}"
    shutil.rmtree(folder, ignore_errors=True)
    lay_out(arena.data, folder)
    params = parse(experiment.Experiment, job.content, Path(arena.experiment))
    seconds = 0.0
    for stage, share in zip(method.stages, method.epochs(arena.content, 100).values(), strict=True):
        reported = []
        for _ in experiment.STAGES[stage].run(experiment.given(params, stage), Path(), folder, folder / stage):
            reported.append(time.monotonic())
        seconds += share / 100 * (reported[-1] - reported[0]) / (len(reported) - 1)
    model = inference.load(folder / f"{method.trains}.safetensors")
    model.network.to(device())
    images = read_split(folder / "faces.parquet", "train").images
    inference.predict(model, images)
    began = time.monotonic()
    inference.predict(model, images)
    answering = time.monotonic() - began
    shutil.rmtree(folder)
    return seconds / len(images), answering / len(images)


def faces_place(content: Mapping[str, Any]) -> str | None:
    """Where the params file says how many training faces there are, if it can."""
    return next((f"ingest.{key}" for key in ("train", "train_limit") if key in content["ingest"]), None)
