"""Ray Tune runs the jobs of a sweep: where and when; whatever it must remember is in the journal.

Ray's own restore is not used. It goes back to a snapshot taken now and then; the journal knows of every epoch.
"""

import itertools
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from components.config import ConfigError
from components.stages import sweep
from components.stages.sweep import METRIC, Job, Material, Params
from flows.sweep.journal import SEARCH, Journal, Standing
from flows.sweep.place import Place

ROOT = Path(__file__).resolve().parent.parent.parent
SLACK_BYTES = 150_000_000  # of the object store, beside what trials share
RAY_FOLDER = "ray"
KNOCK_SECONDS = 10.0

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_DEDUP_LOGS", "0")


@dataclass(frozen=True)
class Cluster:
    """A Ray to run jobs on, and what of it each gets."""

    params: Params
    material: Any  # a reference into the object store: read once on each node
    place: Place
    gpus_per_trial: float


@contextmanager
def cluster(params: Params, material: Material, place: Place) -> Iterator[Cluster]:
    """The Ray that RAY_ADDRESS names, which is left as it was; else one of our own, which ends with the block.

    Raises ConfigError where no cluster answers, or no node of it could ever run a trial.
    """
    import ray

    if "RAY_ADDRESS" in os.environ:
        packages = {"py_modules": [str(ROOT / name) for name in ("components", "flows")], "excludes": ["__pycache__"]}
        address = os.environ["RAY_ADDRESS"]
        try:
            knock(address)
            ray.init(log_to_driver=False, logging_level=logging.ERROR, runtime_env=packages)
        except ConnectionError as error:
            wants = "where it wants a token, RAY_AUTH_MODE=token gives it yours"
            raise ConfigError(f"RAY_ADDRESS: no Ray cluster answers at {address}; {wants}") from error
    else:
        ray.init(
            address="local",  # and not whatever cluster happens to run on this machine
            num_cpus=len(os.sched_getaffinity(0)),
            include_dashboard=False,
            object_store_memory=2 * material.size_bytes + SLACK_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
        )
    # what fails is in the journal; the whole of it, with its traceback, beside Ray's own state
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    try:
        gpus = check_resources(params, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        yield Cluster(params, ray.put(material), place, gpus)
    finally:
        ray.shutdown()


def knock(address: str) -> None:
    """Raises ConnectionError where nobody listens: Ray would go on asking for many minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if port.isdigit():  # "auto" and "local" are Ray's own words
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()
        except OSError as error:
            raise ConnectionError(str(error)) from error


def check_resources(params: Params, nodes: list[dict[str, float]]) -> float:
    """The GPUs that a trial gets. Raises ConfigError where no node has all that a trial asks for: Ray would wait."""
    config = params.sweep
    cpus, gpus = (max(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU"))
    if config.cpus_per_trial > cpus:
        raise ConfigError(f"sweep.cpus_per_trial: {config.cpus_per_trial}: the largest node has {cpus:.0f}")
    if config.gpus_per_trial and not gpus:
        sys.stderr.write(
            f"sweep: gpus_per_trial is {config.gpus_per_trial:g}, and there is no GPU: trials run on CPUs\n"
        )
        return 0.0
    if config.gpus_per_trial > gpus:
        raise ConfigError(f"sweep.gpus_per_trial: {config.gpus_per_trial:g}: the node with most has {gpus:.0f}")
    beside = max(node.get("CPU", 0.0) for node in nodes if node.get("GPU", 0.0) >= config.gpus_per_trial)
    if config.cpus_per_trial > beside:
        wants = f"{config.cpus_per_trial}: with gpus_per_trial {config.gpus_per_trial:g}"
        raise ConfigError(f"sweep.cpus_per_trial: {wants}, the largest node has {beside:.0f}")
    return config.gpus_per_trial


def run(cluster: Cluster, journal: Journal, jobs: Iterator[Job], stops_early: bool) -> None:
    """Train every job, each asked for when there is room for it; with `stops_early` as the params' scheduler says."""
    from ray import tune

    scheduler = scheduler_of(cluster.params, journal, stops_early)
    first = next(jobs, None)
    if first is None:
        return
    trainable = tune.with_resources(
        tune.with_parameters(
            _train,
            material=cluster.material,
            params=cluster.params,
            place=cluster.place,
            gpus=cluster.gpus_per_trial,
        ),
        {"CPU": cluster.params.sweep.cpus_per_trial, "GPU": cluster.gpus_per_trial},
    )
    results = cluster.place.at(RAY_FOLDER)
    results.remove()
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            num_samples=sys.maxsize,
            search_alg=_supply(itertools.chain([first], jobs)),
            scheduler=scheduler,
            reuse_actors=True,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=results.folder,
            storage_filesystem=results.filesystem,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=cluster.params.sweep.retries),
            callbacks=[_listener(journal, cluster.place)],
        ),
    )
    tuner.fit()


def _train(config: dict[str, Any], material: Material, params: Params, place: Place, gpus: float) -> None:
    """One job, in a worker of Ray's."""
    from ray import tune

    claim(gpus)
    job = Job(**config["job"])
    own = place.at(f"trials/{job.name}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        own.fetch(folder)

        def keep(path: Path) -> None:
            own.keep(path, str(path.relative_to(folder)))

        for report in sweep.train(params, job, material, folder, keep):
            tune.report({"epoch": report.step, "metrics": dict(report.metrics), METRIC: report.metrics[METRIC]})


def claim(gpus: float) -> None:
    """Take the share of a GPU that this process was given, and no more of its memory."""
    if not gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch looks: a trial that asked for no GPU takes none
    elif gpus < 1:
        import torch

        torch.cuda.set_per_process_memory_fraction(gpus)


def _supply(jobs: Iterator[Job]) -> Any:
    """The searcher that Ray asks for the next job."""
    from ray.tune.search import Searcher

    class Supply(Searcher):
        def suggest(self, trial_id: str) -> Any:
            job = next(jobs, None)
            return Searcher.FINISHED if job is None else {"job": asdict(job)}

        def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
            pass  # the journal was told

        def save(self, checkpoint_path: str) -> None:
            pass

        def restore(self, checkpoint_path: str) -> None:
            pass

        __reduce__ = _nothing

    return Supply(metric=METRIC, mode="max")


def _nothing(self: object) -> tuple[Any, ...]:
    """What Ray's snapshots hold of our objects: nobody reads them, and a journal is no thing to copy."""
    return object, ()


def _name(trial: Any) -> str:
    return str(trial.config["job"]["name"])


def scheduler_of(params: Params, journal: Journal, stops_early: bool) -> Any:
    """ASHA (Li et al. 2020) or none, and the end of every trial once the budget is spent.

    ASHA begins with all that the journal knows, in the order in which it came: after a kill its rungs stand as before.
    """
    from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

    config = params.sweep
    with_asha = stops_early and config.scheduler == "asha"

    class Scheduler(AsyncHyperBandScheduler):
        def on_trial_add(self, controller: Any, trial: Any) -> None:
            super().on_trial_add(controller, _as_job(trial))

        def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
            if result.get("done"):  # the last report once more
                return str(TrialScheduler.CONTINUE)
            name = _name(trial)
            journal.reported(name, result["epoch"], _metrics(result))
            if result["epoch"] >= trial.config["job"]["epochs"]:
                return str(TrialScheduler.CONTINUE)  # it ends by itself, once its last checkpoint stands
            if with_asha and super().on_trial_result(controller, _as_job(trial), result) == TrialScheduler.STOP:
                journal.ended(name, "stopped", "asha")
                return str(TrialScheduler.STOP)
            if stops_early and is_spent(params, journal.standing):
                journal.ended(name, "stopped", "budget")
                return str(TrialScheduler.STOP)
            return str(TrialScheduler.CONTINUE)

        def on_trial_complete(self, controller: Any, trial: Any, result: dict[str, Any]) -> None:
            pass  # its last rung was its last report

        def on_trial_remove(self, controller: Any, trial: Any) -> None:
            pass

        __reduce__ = _nothing

    asha: dict[str, Any] = {"grace_period": config.grace_epochs, "reduction_factor": config.reduction_factor}
    scheduler = Scheduler("epoch", METRIC, "max", max_t=config.epochs_per_trial, **asha)
    if with_asha:
        _replay(AsyncHyperBandScheduler, scheduler, journal)
    return scheduler


def _as_job(trial: Any) -> Any:
    """A trial by the name of its job: Ray's own name for it is another in each session."""
    return SimpleNamespace(trial_id=_name(trial))


def _replay(base: Any, scheduler: Any, journal: Journal) -> None:
    """Give ASHA what it was given before, and end the trials that it then had no time to stop."""
    standing = journal.copy()
    for training in standing.trials():
        base.on_trial_add(scheduler, None, SimpleNamespace(trial_id=training.job.name))
    for name, epoch in standing.reports:
        training = standing.trainings[name]
        if training.is_trial and epoch < training.job.epochs:
            result = {"epoch": epoch, METRIC: training.history[epoch][METRIC]}
            decision = base.on_trial_result(scheduler, None, SimpleNamespace(trial_id=name), result)
            if decision == "STOP" and not training.has_ended and epoch == training.epochs:
                journal.ended(name, "stopped", "asha")


def is_spent(params: Params, standing: Standing) -> bool:
    """Whether the search's budget in epochs or in minutes is spent."""
    config = params.sweep
    epochs = sum(one.epochs for one in standing.trials())
    seconds = standing.spent() if standing.phase == SEARCH else standing.seconds[SEARCH]
    return (config.epochs is not None and epochs >= config.epochs) or (
        config.minutes is not None and seconds >= 60 * config.minutes
    )


def _listener(journal: Journal, place: Place) -> Any:
    """Ray's callback that keeps in the journal how every job began and ended."""
    from ray import tune

    class Listener(tune.Callback):
        def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            journal.began(_name(trial))

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            if not journal.standing.trainings[_name(trial)].has_ended:
                journal.ended(_name(trial), "finished")
            self._forget(trial)

        def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            journal.died(_name(trial), _last_line(trial))

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            journal.ended(_name(trial), "failed", error=_last_line(trial))
            self._forget(trial)

        def _forget(self, trial: Any) -> None:
            """What a resume would have needed."""
            place.at(f"trials/{_name(trial)}").remove()

        __reduce__ = _nothing

    return Listener()


def _metrics(result: dict[str, Any]) -> dict[str, float]:
    """Ours, of the many that Ray adds its own to; it joins nested names by a slash."""
    ours = "metrics/"
    return {name.removeprefix(ours): float(value) for name, value in result.items() if name.startswith(ours)}


def _last_line(trial: Any) -> str:
    """Why it died, as the last line of its traceback says."""
    lines = Path(trial.error_file).read_text(encoding="utf-8").strip().splitlines()
    return lines[-1].strip()[:300]
