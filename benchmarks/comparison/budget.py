"""What a number of minutes pays for: each method's speed is tried briefly, then epochs, seeds and faces are chosen."""

import itertools
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.comparison.jobs import Arena, say
from benchmarks.comparison.methods import Method
from benchmarks.comparison.runs import lay_out
from components import atomic, experiment
from components.config import parse
from components.data.table import ROW_GROUP

LEAST_EPOCHS = 8  # below, methods differ by how fast they begin
TRIED_FACES, TRIED_WATCHED = 1024, 128
OVERHEAD_SECONDS = 20.0  # of a run: start, validation, calibration, predictions


@dataclass(frozen=True)
class Plan:
    """Every method sees `faces` training faces `epochs` times, under `seeds` seeds."""

    epochs: int
    seeds: int
    faces: int
    tuning_epochs: int  # of each method's trials together

    def seconds(self, speeds: Mapping[str, float], workers: int) -> float:
        """Of all runs, from faces/s of each method, `workers` of them side by side."""
        epochs = self.seeds * self.epochs + self.tuning_epochs
        every_run = sum(epochs * self.faces / speed + self.seeds * OVERHEAD_SECONDS for speed in speeds.values())
        return every_run / min(workers, self.seeds * len(speeds))


def plans(wanted: Plan, fewer_faces: bool) -> list[Plan]:
    """From what was asked for to the least that tells anything: epochs go first, then seeds, then faces if they may."""
    epochs = range(wanted.epochs, min(LEAST_EPOCHS, wanted.epochs) - 1, -1)
    seeds = range(wanted.seeds, 0, -1)
    whole = [replace(wanted, epochs=e, seeds=s) for s, e in itertools.product(seeds, epochs)]
    if not fewer_faces:
        return whole
    halvings = itertools.takewhile(lambda faces: faces >= TRIED_FACES, (wanted.faces >> n for n in range(1, 32)))
    return [*whole, *(replace(whole[-1], faces=faces) for faces in halvings)]


def affordable(choices: Sequence[Plan], speeds: Mapping[str, float], workers: int, minutes: float) -> Plan:
    """The first that fits into the minutes, or the last where none does."""
    return next((plan for plan in choices if plan.seconds(speeds, workers) <= 60 * minutes), choices[-1])


def measured(arena: Arena, methods: Sequence[Method]) -> dict[str, float]:
    """Training faces per second of each method, one after the other, on a cut of the data: a few seconds each."""
    cut = _cut(arena)
    speeds = {}
    for method in methods:
        speeds[method.name] = _speed(replace(arena, data=cut), method)
        say(f"{method.name}: {speeds[method.name]:.0f} faces/s")
    return speeds


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


def _speed(arena: Arena, method: Method) -> float:
    """From how long epochs of each stage take after its first, which warms up; a stage counts by its share of them."""
    job = arena.job(replace(method, prior_share=0.5), seed=1, epochs=6)
    folder = arena.root / "tried" / method.name
    shutil.rmtree(folder, ignore_errors=True)
    lay_out(arena.data, folder)
    params = parse(experiment.Experiment, job.content, Path(arena.experiment))
    seconds = 0.0
    for stage, share in zip(method.stages, method.epochs(arena.content, 100).values(), strict=True):
        reported = []
        for _ in experiment.STAGES[stage].run(experiment.given(params, stage), Path(), folder, folder / stage):
            reported.append(time.monotonic())
        seconds += share / 100 * (reported[-1] - reported[0]) / (len(reported) - 1)
    shutil.rmtree(folder)
    return pq.read_metadata(arena.data / "faces.parquet").num_rows / seconds


def faces_place(content: Mapping[str, Any]) -> str | None:
    """Where the params file says how many training faces there are, if it can."""
    return next((f"ingest.{key}" for key in ("train", "train_limit") if key in content["ingest"]), None)
