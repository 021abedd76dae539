"""A whole sweep: the search, then the confirmation of its best; goes on where a killed one left off."""

import math
import os
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import redirect_stdout
from pathlib import Path

from components.stages.sweep import Job, Material, Params
from flows.sweep import engine, verdict
from flows.sweep.draw import draw
from flows.sweep.journal import CONFIRMATION, SEARCH, Journal, Standing, trial_name
from flows.sweep.place import Place

BEAT_SECONDS = 0.5


def search(params: Params, folder: Path, state: Path, confirms: bool) -> Generator[Standing, None, Standing]:
    """Yields how it stands about twice a second while jobs are at work, and returns it when all have ended.

    Raises DataError, ConfigError and what Ray raises.
    """
    journal = Journal(state / "sweep.jsonl")
    if not _is_complete(params, journal.standing, confirms):
        ended = _in_a_thread(lambda: _work(params, folder, state, journal, confirms))
        while (error := _wait(ended)) is BUSY:
            yield journal.copy()
        if isinstance(error, BaseException):
            raise error
    return journal.copy()


BUSY = object()


def _in_a_thread(work: Callable[[], None]) -> "queue.Queue[BaseException | None]":
    """Where it will say how it ended."""
    ended: queue.Queue[BaseException | None] = queue.Queue()

    def run() -> None:
        try:
            work()
            ended.put(None)
        except BaseException as error:  # whatever it is, it belongs to whoever iterates
            ended.put(error)

    threading.Thread(target=run, daemon=True).start()
    return ended


def _wait(ended: "queue.Queue[BaseException | None]") -> object:
    try:
        return ended.get(timeout=BEAT_SECONDS)
    except queue.Empty:
        return BUSY


def _work(params: Params, folder: Path, state: Path, journal: Journal, confirms: bool) -> None:
    if _most_trials(params) > 1:
        draw(params, 1, [])  # a space of which nothing is allowed is told before Ray starts
    # Ray tells of dead workers on standard output, which carries the answer; the journal tells of them too
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere),
        engine.cluster(params, Material.read(folder), Place.of(state)) as cluster,
    ):
        journal.opened(SEARCH)
        engine.run(cluster, journal, _trials(params, journal), stops_early=True)
        if confirms:
            journal.opened(CONFIRMATION)
            engine.run(cluster, journal, _confirmations(params, journal), stops_early=False)


def _trials(params: Params, journal: Journal) -> Iterator[Job]:
    """Those that were under way, then new ones, as long as the budget lasts; the defaults in any case."""
    standing = journal.standing
    yield from [one.job for one in standing.trials() if _goes_on(journal, one.job)]
    while (number := len(standing.trials())) < _most_trials(params):
        if number and engine.is_spent(params, standing):
            return
        parameters = draw(params, number, standing.trials())
        job = Job(trial_name(number), number, parameters, params.compute.seed, params.sweep.epochs_per_trial)
        journal.wants(job)
        yield job


def _most_trials(params: Params) -> float:
    """Without a number one for each epoch of the budget, or trials that fail at once, and spend none, would never end;
    minutes pass by themselves.
    """
    return params.sweep.trials or params.sweep.epochs or math.inf


def _confirmations(params: Params, journal: Journal) -> Iterator[Job]:
    for job in verdict.confirmations(params, journal.standing.trials()):
        if job.name not in journal.standing.trainings:
            journal.wants(job)
        if _goes_on(journal, job):
            yield job


def _goes_on(journal: Journal, job: Job) -> bool:
    """Whether a job has anything left to train; one that was killed after its last epoch has not."""
    one = journal.standing.trainings[job.name]
    if not one.has_ended and one.epochs >= job.epochs:
        journal.ended(job.name, "finished")
    return not one.has_ended


def _is_complete(params: Params, standing: Standing, confirms: bool) -> bool:
    """Whether nothing is left to train: then Ray need not start."""
    trials = standing.trials()
    drawn = len(trials) >= _most_trials(params) or (bool(trials) and engine.is_spent(params, standing))
    if not drawn or not all(one.has_ended for one in trials):
        return False
    if not confirms or not trials:
        return True
    wanted = [standing.trainings.get(job.name) for job in verdict.confirmations(params, trials)]
    return all(one is not None and one.has_ended for one in wanted)
