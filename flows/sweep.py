"""Ray Tune searches the parameters of stage 2 on valid, inside one stage.

The truth of a trial is state/trials/<id>/: its checkpoint, reports.jsonl and, once it has ended, trial.json.
"""

import json
import logging
import os
import queue
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from components import atomic
from components.records import DataError, Report
from components.stages import sweep
from components.stages.sweep import Domain, IntegerRange, Params, Range

ROOT = Path(__file__).resolve().parent.parent
METRIC = "valid_accuracy"
FIRST_TAG = {"random": 0, "tpe": 1}
OBJECT_STORE_BYTES = 150_000_000  # what a trial is told is small: it reads the faces itself
# from Ray's thread to whoever iterates; None: it has ended
EVENTS: "queue.Queue[Report | None]" = queue.Queue()

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")


def run(params: Params, raw: Path, folder: Path, state: Path) -> Iterator[Report]:
    """faces.parquet, dark_valid.parquet, prior.safetensors -> best.json, trials.json.

    With no trials, best.json changes nothing and Ray is not started. Raises DataError where every trial failed.
    """
    trials: list[dict[str, Any]] = []
    if params.sweep.trials:
        trials = yield from search(params, folder, state)
    total = max(1, params.sweep.trials * params.sweep.epochs)
    yield Report("sweep", total, total)
    _write_json(folder / "trials.json", trials)
    _write_json(folder / "best.json", best(trials))


def best(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """The finished trial with the highest last accuracy on valid, of equals the first; no parameters without one."""
    finished = [one for one in trials if one["status"] == "finished"]
    if not finished:
        if trials:
            raise DataError(f"every trial of the sweep failed; the first: {trials[0]['error']}")
        return {"parameters": {}, "trial": None}
    won = max(finished, key=lambda one: (one["history"][-1][METRIC], -one["trial"]))
    return {"parameters": won["parameters"], "trial": won["trial"], METRIC: won["history"][-1][METRIC]}


def search(params: Params, folder: Path, state: Path) -> Generator[Report, None, list[dict[str, Any]]]:
    """Every trial, a report an epoch; goes on where a killed search left off."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            _tune(params, folder, state)
        except BaseException as error:  # whatever it is, it belongs to whoever iterates
            errors.append(error)
        finally:
            EVENTS.put(None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while (report := EVENTS.get()) is not None:
        yield report
    thread.join()
    if errors:
        raise errors[0]
    trials = [_trial(place, params.sweep.epochs) for place in (state / "trials").iterdir()]
    return sorted(trials, key=lambda one: one["trial"])


def _tune(params: Params, folder: Path, state: Path) -> None:
    import ray
    from ray import tune

    config = params.sweep
    local = {} if "RAY_ADDRESS" in os.environ else _local_cluster()
    ray.init(
        log_to_driver=False, logging_level=logging.ERROR, runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}}, **local
    )
    try:
        trainable = tune.with_resources(
            tune.with_parameters(_trainable, params=params, folder=folder, state=state),
            {"CPU": config.cpus_per_trial, "GPU": config.gpus_per_trial},
        )
        results = state / "ray"
        if tune.Tuner.can_restore(str(results / "sweep")):
            tuner = tune.Tuner.restore(str(results / "sweep"), trainable, resume_unfinished=True, resume_errored=True)
        else:
            tuner = tune.Tuner(
                trainable,
                param_space={name: _domain(domain) for name, domain in config.space.items()},
                tune_config=_tune_config(params),
                run_config=tune.RunConfig(
                    name="sweep",
                    storage_path=str(results),
                    verbose=0,
                    failure_config=tune.FailureConfig(max_failures=1),
                    callbacks=[_journal(state, config.trials * config.epochs, FIRST_TAG[config.searcher])],
                ),
            )
        tuner.fit()
    finally:
        ray.shutdown()


def _local_cluster() -> dict[str, Any]:
    return {
        "num_cpus": len(os.sched_getaffinity(0)),
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
    }


def _tune_config(params: Params) -> Any:
    from ray import tune
    from ray.tune.schedulers import AsyncHyperBandScheduler
    from ray.tune.search.basic_variant import BasicVariantGenerator
    from ray.tune.search.optuna import OptunaSearch

    config = params.sweep
    first = [sweep.defaults(params)]
    searcher: Any
    if config.searcher == "random":
        searcher = BasicVariantGenerator(points_to_evaluate=first, random_state=config.seed)
    else:
        searcher = OptunaSearch(points_to_evaluate=first, seed=config.seed)
    asha = AsyncHyperBandScheduler(time_attr="epoch", max_t=config.epochs) if config.scheduler == "asha" else None
    return tune.TuneConfig(
        metric=METRIC, mode="max", num_samples=config.trials, search_alg=searcher, scheduler=asha, reuse_actors=True
    )


def _domain(domain: Domain) -> Any:
    from ray import tune

    if isinstance(domain, Range):
        return (tune.uniform if domain.kind == "uniform" else tune.loguniform)(domain.low, domain.high)
    if isinstance(domain, IntegerRange):
        return tune.randint(domain.low, domain.high + 1)
    return tune.choice(list(domain.values))


def _trainable(choice: dict[str, Any], params: Params, folder: Path, state: Path) -> None:
    """One trial, in a worker of Ray's."""
    from ray import tune

    for report in sweep.trial(params, choice, folder, state / "trials" / tune.get_context().get_trial_id()):
        tune.report({"epoch": report.step, **report.metrics})


def _journal(state: Path, total: int, first: int) -> Any:
    """Ray's callback that keeps, in the driver, what every trial reported and how it ended.

    Ray stores it with the sweep, by value, so what it shares with this process it reaches by name.
    """
    from ray import tune

    class Journal(tune.Callback):
        def __init__(self) -> None:
            self.epochs: dict[int, int] = {}

        def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self._note(trial, "running", None)

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
        ) -> None:
            metrics = {name: float(result[name]) for name in ("loss", "train_accuracy", METRIC)}
            with (self._place(trial) / "reports.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"epoch": int(result["epoch"]), **metrics}) + "\n")
            self.epochs[self._number(trial)] = int(result["epoch"])
            step = min(sum(self.epochs.values()), total)
            _tell(Report("sweep", step, total, {"trial": self._number(trial), METRIC: metrics[METRIC]}))

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self._note(trial, "finished", None)

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            text = str(trial.get_error() or "").strip().splitlines()
            self._note(trial, "failed", text[-1] if text else "its worker died")

        def _note(self, trial: Any, status: str, error: str | None) -> None:
            note = {"trial": self._number(trial), "parameters": trial.config, "status": status, "error": error}
            _write_json(self._place(trial) / "trial.json", note)

        def _place(self, trial: Any) -> Path:
            place = state / "trials" / str(trial.trial_id)
            place.mkdir(parents=True, exist_ok=True)
            return place

        def _number(self, trial: Any) -> int:
            """In the order drawn, from 0: what Ray's tag begins with, counted from 0 or from 1."""
            return int(trial.experiment_tag.partition("_")[0]) - first

    return Journal()


def _tell(report: Report) -> None:
    EVENTS.put(report)


def _trial(place: Path, epochs: int) -> dict[str, Any]:
    """One trial as it goes into trials.json: an epoch that was repeated after a kill counts once."""
    lines = (
        (place / "reports.jsonl").read_text(encoding="utf-8").splitlines() if (place / "reports.jsonl").exists() else []
    )
    history = {report["epoch"]: report for report in map(json.loads, lines)}
    ended = _read_json(place / "trial.json")
    if ended["status"] == "finished" and len(history) < epochs:
        ended["status"] = "stopped"
    return {**ended, "history": [history[epoch] for epoch in sorted(history)]}


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _write_json(path: Path, value: object) -> None:
    atomic.write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")
