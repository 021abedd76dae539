"""What Ray and early stopping save: a sweep against the same trials one after another, each in full, without Ray.

`python -m benchmarks.sweep demo --trials 12 --epochs-per-trial 9`, where the stages before the sweep have run. The loop
trains with as many threads as there are cores, the sweep a trial on each core; the sweep's time counts Ray's start and
its end. Both draw the same trials and train on the same faces, read once. Only a machine with nothing else to do
measures anything; its load is told with the figures. Confirmation is no part of it: it would be the same for both.
"""

import argparse
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import processor
from components import experiment as params_file
from components.config import parse, read_yaml
from components.stages import sweep
from components.stages.sweep import Job, Material, Params
from flows import project
from flows.sweep.draw import draw
from flows.sweep.journal import SEARCH, Standing, trial_name

LARGEST_SHARE_OF_EPOCHS, LARGEST_SHARE_OF_SECONDS = 0.5, 0.7  # what is aimed at


@dataclass(frozen=True)
class Measured:
    """Seconds of wall time and epochs trained."""

    seconds: float
    epochs: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs-per-trial", type=int, default=9)
    given = parser.parse_args()
    params = params_of(given.experiment, given.trials, given.epochs_per_trial)
    folder = project.runs_folder(given.experiment)
    before = os.getloadavg()[0]
    swept = by_ray(params, folder)
    looped = one_after_another(params, folder)
    machine = {"cores": len(os.sched_getaffinity(0)), "processor": processor()}
    machine["load_before"] = round(before, 1)
    print(json.dumps(compared(swept, looped) | {"machine": machine, "trials": given.trials}, indent=1))


def params_of(experiment: str, trials: int, epochs_per_trial: int) -> Params:
    """The experiment's own search, with ASHA and no retries, of so many trials of so many epochs."""
    path = project.params_path(experiment)
    content = read_yaml(path)
    content["sweep"] |= {
        "trials": trials,
        "epochs": None,
        "minutes": None,
        "epochs_per_trial": epochs_per_trial,
        "searcher": "random",
        "scheduler": "asha",
        "retries": 0,
    }
    made = params_file.given(parse(params_file.Experiment, content, path), "sweep")
    assert isinstance(made, Params)
    return made


def by_ray(params: Params, folder: Path) -> Measured:
    began = time.perf_counter()
    from flows.sweep.search import search  # the import of Ray is a part of its start

    with tempfile.TemporaryDirectory() as state:
        going = search(params, folder, Path(state), confirms=False)
        while True:
            try:
                next(going)
            except StopIteration as ended:
                standing: Standing = ended.value
                break
    return Measured(time.perf_counter() - began, standing.epochs[SEARCH])


def one_after_another(params: Params, folder: Path) -> Measured:
    began = time.perf_counter()
    whole = params.model_copy(
        update={"sweep": params.sweep.model_copy(update={"cpus_per_trial": len(os.sched_getaffinity(0))})}
    )
    material, epochs = Material.read(folder), 0
    for number in range(params.sweep.trials):
        parameters = draw(params, number, [])
        job = Job(trial_name(number), number, parameters, params.compute.seed, params.sweep.epochs_per_trial)
        with tempfile.TemporaryDirectory() as state:
            epochs += sum(1 for _ in sweep.train(whole, job, material, Path(state), lambda path: None))
    return Measured(time.perf_counter() - began, epochs)


def compared(swept: Measured, looped: Measured) -> dict[str, Any]:
    """The figures, and whether they are what is aimed at."""
    epochs, seconds = swept.epochs / looped.epochs, swept.seconds / looped.seconds
    return {
        "sweep": {"seconds": round(swept.seconds, 1), "epochs": swept.epochs},
        "loop": {"seconds": round(looped.seconds, 1), "epochs": looped.epochs},
        "epochs_saved": looped.epochs - swept.epochs,
        "share_of_epochs": round(epochs, 3),
        "share_of_seconds": round(seconds, 3),
        "aimed_at": epochs <= LARGEST_SHARE_OF_EPOCHS and seconds <= LARGEST_SHARE_OF_SECONDS,
    }


if __name__ == "__main__":
    main()
