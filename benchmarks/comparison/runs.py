"""Runs: trained by the stages themselves, judged on one split, several processes side by side."""

import fcntl
import functools
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from io import FileIO
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch

from benchmarks.comparison.jobs import SPLITS, Arena, Job, digest, run_folder, say
from benchmarks.comparison.methods import GROUPS
from benchmarks.machine import processor
from components import atomic, experiment
from components.config import ConfigError, parse
from components.data.table import Faces, class_counts, read_known, read_split
from components.learning import evaluation, inference
from components.learning.compute import device, prepare
from components.learning.evaluation import Resampling
from components.learning.inference import Model
from components.learning.metrics import score
from components.learning.training import DivergedError
from components.lowlight.table import DarkFaces, read_dark
from components.model.presets import cost
from components.records import DataError, Score
from components.stages.darken import darken_by_gamma
from components.stages.evaluate import Evaluation, probed_at

Line = dict[str, Any]
PREDICTIONS, ANSWERS = "predictions.parquet", "answers"  # the file of a judgement, and its one model's name in it
BEGAN = "commit"  # the file that says whose code trained, in a run's folder; it goes with borrowed weights
UNKNOWN = "unknown"  # in its place
# one line each; anything else is a bug. What one method has no room for on a GPU, another may have
EXPECTED = (ConfigError, DataError, DivergedError, OSError, torch.OutOfMemoryError)


def execute(job: Job) -> None:
    """Train and judge; leaves line.json and predictions.parquet in the split's folder. Goes on where a kill left it.

    Whoever asks for a run that another process is at waits for it, and finds it trained.
    """
    with alone(job.folder.with_suffix(".lock"), job.title):
        _execute(job)


@contextmanager
def alone(path: Path, title: str) -> Iterator[None]:
    """Hold the lock at `path`, which a killed process lets go of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{title}: another process is at it; waiting")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _execute(job: Job) -> None:
    params = parse(experiment.Experiment, job.content, Path(job.arena.experiment))
    if job.lender and not job.folder.exists():
        with alone(job.lender.folder.with_suffix(".lock"), job.lender.title):
            borrow(job, job.lender)
    lay_out(job.arena.data, job.folder)
    if not (job.folder / BEGAN).exists():  # code that kept no note of itself may have begun it
        begun = any((job.folder / stage).exists() for stage in job.method.stages)
        atomic.write_text(job.folder / BEGAN, f"{UNKNOWN if begun else commit()}\n")
    asker = multiprocessing.parent_process()  # none where whoever asked does the run itself
    for stage in job.method.stages:
        state = job.folder / stage
        if (state / "done").exists():
            continue
        with stopwatch(job.folder / "seconds.json") as lap:
            for report in experiment.STAGES[stage].run(experiment.given(params, stage), Path(), job.folder, state):
                lap()
                figures = " ".join(f"{name} {value:.3f}" for name, value in report.metrics.items())
                say(f"{job.title}: {stage} {report.step}/{report.total} {figures}")
                if asker and not asker.is_alive():
                    sys.exit(f"{job.title}: whoever asked for this run is gone")
        (state / "done").touch()
    prepare(params.compute)  # where all was trained before, no stage has set the threads
    job.judgement.mkdir(exist_ok=True)
    atomic.write_text(job.judgement / "line.json", json.dumps(judged(job), sort_keys=True) + "\n")


def borrow(job: Job, lender: Job) -> None:
    """Begin with all that the lender trained: what is left of the last stage is its temperature and its file.

    Raises DataError where the lender is not trained, or no longer here.
    """
    last = job.method.stages[-1]
    if not (lender.folder / last / "done").exists():
        raise DataError(f"{lender.folder}: {lender.title}, whose weights are asked, has not been trained here")
    unfinished = job.folder.with_suffix(".borrowing")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(lender.folder, unfinished, symlinks=True, ignore=shutil.ignore_patterns(*SPLITS))
    (unfinished / last / "done").unlink()
    unfinished.rename(job.folder)


def lay_out(data: Path, folder: Path) -> None:
    """What the trainings read, in a folder of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    for table in ("faces", "dark_valid", "dark_test"):
        name = f"{table}.parquet"
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(os.path.relpath(data / name, folder))
    atomic.write_text(folder / "best.json", '{"parameters": {}}\n')  # what a sweep without trials leaves


@contextmanager
def stopwatch(path: Path) -> Iterator[Callable[[], None]]:
    """Seconds of work, on disk at every lap, so that a run that goes on knows those of its first attempt."""
    before, began = json.loads(path.read_text()) if path.exists() else 0.0, time.monotonic()

    def lap() -> None:
        atomic.write_text(path, json.dumps(before + time.monotonic() - began))

    yield lap
    lap()


def judged(job: Job) -> Line:
    """The run's JSON line: no path of this machine, and no list of figures but evaluation's own.

    Date, machine, threads and commit are of the judging; seconds, and the commit where it began, of the training.
    """
    model = inference.load(job.folder / f"{job.method.trains}.safetensors")
    train = class_counts(job.folder / "faces.parquet")["train"]
    height, width, channels = model.faces.shape
    network = model.network.requires_grad_(False)
    parameters, flops = cost(network, torch.zeros(1, channels, height, width, dtype=torch.uint8))
    network.to(device())
    flops *= 2 if model.flip_average else 1  # an answer is of the face and its mirror image
    faces = read_split(job.folder / "faces.parquet", job.arena.split)
    dark = read_dark(job.folder / f"dark_{job.arena.split}.parquet")
    ladder = evaluation.of(dark, inference.predict(model, dark.images))
    evaluation.write(job.judgement / PREDICTIONS, {ANSWERS: ladder})
    scores = [*evaluation.scores(ladder), in_other_darkness(model, faces)]
    return {
        "experiment": job.arena.experiment,
        "preset": job.content["model"]["llformer"]["preset"],
        "sizes": digest(job.arena.sizes),
        "precision": job.content["compute"]["precision"],
        "split": job.arena.split,
        "method": job.method.name,
        "seed": job.seed,
        "trial": job.trial,
        "trials": job.trials,
        "changes": job.changes,
        "epochs": job.epochs,
        "faces_seen": epochs_trained(job) * sum(train.values()),
        "seconds": round(json.loads((job.folder / "seconds.json").read_text()), 1),
        "parameters": parameters,
        "flops": flops,
        "scores": [_rounded(asdict(score)) for score in scores],
        "probes": probed(job, model, faces, dark),
        "temperature": model.calibration.temperature,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "threads": job.content["compute"]["threads"],
        "commit": commit(),
        "trained": (job.folder / BEGAN).read_text().strip(),
        "digest": job.digest,
    }


def epochs_trained(job: Job) -> int:
    """Counted in what the trainings left, not taken from what was asked for."""
    names = ("baseline",) if job.method.trains == "baseline" else ("prior", "lldif")
    return sum(len(json.loads((job.folder / f"{name}_history.json").read_text())) for name in names)


def in_other_darkness(model: Model, faces: Faces) -> Score:
    """Under gamma, scaling and Gaussian noise, which no training sees."""
    return score(evaluation.GAMMA, inference.predict(model, darken_by_gamma(faces)), faces.labels, faces.votes)


def probed(job: Job, model: Model, faces: Faces, dark: DarkFaces) -> dict[str, Any] | None:
    """What LLDif's prior is worth, where a params file's evaluation would ask; nothing of what has no prior."""
    if job.method.trains != "lldif":
        return None
    wants = Evaluation.model_validate(job.content["evaluation"])
    subjects, _ = read_known(job.folder / "faces.parquet", job.arena.split)
    how = Resampling.of(faces.ids, subjects, wants.resamples, wants.confidence, job.seed)
    stage_one = inference.load(job.folder / "prior.safetensors")
    stage_one.network.to(device())
    return probed_at(dark.rung(wants.confusion_at), model, stage_one, faces, dark, how, job.seed)


def _rounded(score: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 5) if isinstance(value, float) else value for name, value in score.items()}


def machine() -> str:
    if device().type == "cuda":
        return torch.cuda.get_device_name()
    return f"{processor()}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}"


def commit() -> str:
    """Of this code, marked where the tree differs from it; UNKNOWN outside a repository."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN


def run(jobs: Sequence[Job], out: Path, workers: int) -> list[str]:
    """Do every job that has no line in `out` yet, so many at a time; each adds its line. Returns a line per failure.

    Raises DataError, before anything is trained, where `out` has one of these runs by other settings or faces.
    """
    known = {(line["digest"], line["split"]) for line in lines(out)}
    refuse_twins(jobs, out)
    left = [job for job in jobs if (job.digest, job.arena.split) not in known]
    add, failures = functools.partial(collect, out=out), list[str]()
    if workers == 1:
        for job in left:
            if failure := attempt(execute, job) or attempt(add, job):
                failures.append(failure)
        return failures
    context, running = multiprocessing.get_context("spawn"), dict[SpawnProcess, Job]()
    while left or running:
        while left and len(running) < workers:
            process = context.Process(target=_in_its_own_process, args=(left[0],), daemon=True)
            process.start()
            running[process] = left.pop(0)
        connection.wait([process.sentinel for process in running])
        for process in [process for process in running if not process.is_alive()]:
            job = running.pop(process)
            if process.exitcode:
                failures.append(f"{job.title}: failed")
            elif failure := attempt(add, job):
                failures.append(failure)
    return failures


def refuse_twins(jobs: Sequence[Job], out: Path) -> None:
    """A second line of one method and seed would make no table."""
    there = {(line["method"], line["seed"], line["trial"]): line["digest"] for line in lines(out)}
    for job in jobs:
        if there.get((job.method.name, job.seed, job.trial), job.digest) != job.digest:
            raise DataError(
                f"{out}: holds a line of {job.title} by other settings or faces: allowed are those of today's params"
                " file and --raw, or another --out"
            )


def refuse_strangers(arena: Arena, out: Path) -> None:
    """Lines that this params file and these faces would not make are of another comparison. Raises DataError."""
    known = {method.name: method for method in GROUPS["all"]}
    for line in lines(out):
        method = known.get(line["method"])
        if line["trial"] is None and (
            method is None or arena.job(method, line["seed"], line["epochs"], line["changes"]).digest != line["digest"]
        ):
            raise DataError(
                f"{out}: holds a line of {line['method']} seed {line['seed']} by other settings or faces: allowed are"
                " those of today's params file, --threads and --raw, or another --out"
            )


def attempt(work: Callable[[Job], None], job: Job) -> str | None:
    """A line of what failed, where the others can go on."""
    try:
        work(job)
    except EXPECTED as error:
        return f"{job.title}: {' '.join(str(error).split())}"
    return None


def _in_its_own_process(job: Job) -> None:
    failure = attempt(execute, job)
    if failure:
        sys.exit(failure)  # said on standard error, where the others' progress is


def collect(job: Job, out: Path) -> None:
    """Add the job's line to the end of `out`, unless another process that wanted this run has added it."""
    text = (job.judgement / "line.json").read_bytes()
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a+b", buffering=0) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.seek(0)
        there = stream.read()
        found = [line for line in map(read_line, there.splitlines()) if line]  # what is broken is told to who reads it
        if (job.digest, job.arena.split) in [(line.get("digest"), line.get("split")) for line in found]:
            return
        fresh = not there or there.endswith(b"\n")  # else a kill left half a line, or a hand took its end
        append(stream, text if fresh else b"\n" + text)


def append(stream: FileIO, text: bytes) -> None:
    """All of `text` to the file's end, or nothing where the disk is full. Raises OSError."""
    end = stream.seek(0, os.SEEK_END)
    try:
        while text:
            text = text[stream.write(text) :]
        os.fsync(stream.fileno())  # over a network a full disk is only said here
    except BaseException:
        stream.truncate(end)
        raise


def judgement(root: Path, line: Line) -> Path:
    """The folder with the predictions behind a line, where it ran; what was trained on lies in the folder above."""
    return run_folder(root, line["digest"]) / line["split"]


def lines(out: Path) -> list[Line]:
    """Empty before the first. Raises DataError where a line is no run's."""
    if not out.exists():
        return []
    with out.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)  # half a line is then one that nobody is writing
        texts = stream.read().splitlines(keepends=True)
    found = [read_line(text) for text in texts]
    if None in found:
        first = found.index(None)
        what = "no JSON of a run" if texts[first].endswith(b"\n") else "unfinished, as a kill or a full disk leaves it"
        raise DataError(
            f"{out}: line {first + 1} is {what}: remove it: a run that was trained under --root is not trained again"
        )
    return [line for line in found if line is not None]


def read_line(text: bytes) -> Line | None:
    """None where it is no JSON object."""
    try:
        found = json.loads(text)
    except ValueError:  # bytes that are no text too
        return None
    return found if isinstance(found, dict) else None
