"""`lldif sweep`: a search beside the pipeline. What it finds lies under state/; nothing of DVC's is touched."""

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components import atomic
from components import experiment as params_file
from components.config import ConfigError, parse, read_yaml
from components.learning import compute
from components.stages.sweep import METRIC, Params
from flows import policy, project, projection, staging, sweep_runs, sweep_view, tracking
from flows.project import ROOT, Failed, StageSpec
from flows.sweep import verdict
from flows.sweep.journal import CONFIRMATION, SEARCH, Standing, rows
from flows.sweep.stage import write

UPLOAD_SECONDS = 10.0  # MLflow is told no more often


def explore(experiment: str, changes: Mapping[str, Any], adopts: bool) -> dict[str, Any]:
    """Search, or go on with the same search, and say what was found. Raises Failed.

    `changes` are of the sweep section; with `adopts` the winner goes into the params file.
    """
    spec = next(spec for spec in project.stages(experiment) if spec.name == "sweep")
    spec = dataclasses.replace(spec, name="explore")
    with staging.one_line_errors() as explain:
        params = _params(experiment, changes)
        rules = policy.load()
        content = params.model_dump(mode="json")
        fingerprint = project.fingerprint(spec, content, staging.torch_version(), compute.kind())
    if explain:
        raise explain[0]
    state = staging.STATE / fingerprint
    (staging.STATE / "latest").mkdir(parents=True, exist_ok=True)
    state.mkdir(exist_ok=True)
    atomic.write_text(staging.STATE / "latest" / spec.target, fingerprint)
    with staging.locked(state / "lock", f"the same sweep of {experiment} is being run by another process"):
        return _explored(spec, params, state, Upload(rules, spec, fingerprint, content), adopts)


def _params(experiment: str, changes: Mapping[str, Any]) -> Params:
    """Raises ConfigError where nothing would end the search, or nothing is to be searched."""
    path = project.params_path(experiment)
    content = read_yaml(path)
    whole = parse(params_file.Experiment, content, path)
    if changes:
        content = whole.model_dump(mode="json")
        whole = parse(params_file.Experiment, content | {"sweep": content["sweep"] | dict(changes)}, path)
    budget = whole.sweep
    if not (budget.trials or budget.epochs or budget.minutes):
        raise ConfigError(f"{path}: sweep.trials: 0 and no other budget: give --trials N, --epochs N or --minutes M")
    if not (budget.trials or budget.space):
        raise ConfigError(f"{path}: sweep.space: empty: needed is at least one parameter")
    given = params_file.given(whole, "sweep")
    assert isinstance(given, Params)
    return given


def _explored(spec: StageSpec, params: Params, state: Path, upload: "Upload", adopts: bool) -> dict[str, Any]:
    began = time.time()
    with staging.one_line_errors() as explain:
        standing = _searched(spec, params, state, upload)
        trials = rows(standing.trials(), standing.confirmations())
        best = verdict.best(standing.trials(), standing.confirmations())
        write(state / "trials.json", trials)
        write(state / "best.json", best)
    failed = explain[0] if explain else None
    outcome = {
        "stage": spec.target,
        "ok": failed is None,
        "error": str(failed) if failed else None,
        "class": failed.kind if failed else None,
        "seconds": round(time.time() - began, 1),
        "artifacts": [],
    }
    write(state / "outcome.json", outcome)
    if failed:
        upload.end("FAILED")
        raise failed
    upload.conclude(standing, best)
    adopted = adopts and best["trial"] != 0
    if adopted:
        adopt(project.params_path(spec.experiment), best["parameters"])
    return _answer(spec, params, state, standing, best, adopted, upload)


def _searched(spec: StageSpec, params: Params, state: Path, upload: "Upload") -> Standing:
    from flows.sweep.search import search  # with Ray, which takes seconds to import

    going = search(params, project.runs_folder(spec.experiment), state, confirms=True)
    try:
        with sweep_view.shown(spec.experiment, params) as view:
            while True:
                try:
                    standing = next(going)
                except StopIteration as ended:
                    view.show(ended.value)
                    return ended.value
                view.show(standing)
                upload.now_and_then(standing)
    except BaseException as error:
        upload.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise


class Upload:
    """MLflow is told how a sweep stands; where it does not answer, that waits."""

    def __init__(self, rules: policy.Policy, spec: StageSpec, fingerprint: str, content: dict[str, Any]) -> None:
        self.rules, self.spec, self.fingerprint, self.content = rules, spec, fingerprint, content
        self.told_at = 0.0
        self.standing: Standing | None = None
        self.run: str | None = None
        self.error: Failed | None = None

    def now_and_then(self, standing: Standing) -> None:
        self.standing = standing
        if standing.trainings and time.monotonic() - self.told_at > UPLOAD_SECONDS:
            self._tell("RUNNING")
            self.told_at = time.monotonic()

    def end(self, status: str) -> None:
        """The sweep ended without an answer."""
        if self.standing is not None:
            self._tell(status)

    def conclude(self, standing: Standing, best: dict[str, Any]) -> None:
        self.standing = standing
        self._tell("FINISHED", best)

    def _begun(self, client: Any, folder: str) -> str:
        """The sweep's run, made or found; a kill may have kept its parameters from it."""
        run = tracking.run_by(client, folder, stage="explore", fingerprint=self.fingerprint)
        run = run or projection.begin_run(client, folder, self.spec, self.fingerprint)
        projection.log_sections(client, run, self.spec, self.content)
        return run

    def _tell(self, status: str, best: dict[str, Any] | None = None) -> None:
        assert self.standing is not None
        trials = rows(self.standing.trials(), self.standing.confirmations(), with_times=True)
        try:
            with tracking.reachable(self.rules) as client:
                folder = tracking.experiment_of(client, self.rules, self.spec.experiment)
                self.run = self.run or self._begun(client, folder)
                sweep_runs.fill(client, folder, self.run, self.spec.experiment, trials, is_over=status != "RUNNING")
                if best is not None and "concluded" not in client.get_run(self.run).data.tags:
                    sweep_runs.conclude(client, self.run, trials, best)
                    client.set_tag(self.run, "concluded", "true")
                client.set_terminated(self.run, status) if status != "RUNNING" else client.update_run(self.run, status)
                self.error = None
        except Failed as error:
            self.error = error


def _answer(
    spec: StageSpec,
    params: Params,
    state: Path,
    standing: Standing,
    best: dict[str, Any],
    adopted: bool,
    upload: Upload,
) -> dict[str, Any]:
    told = rows(standing.trials(), standing.confirmations())
    return {
        "experiment": spec.experiment,
        "fingerprint": state.name,
        "trials": [
            {
                **{name: value for name, value in row.items() if name != "history"},
                "confirmations": [
                    {"seed": one["seed"], "status": one["status"], METRIC: one[METRIC]} for one in row["confirmations"]
                ],
            }
            for row in told
        ],
        "best": best,
        "epochs": {
            "spent": standing.epochs[SEARCH],
            "in_full": params.sweep.epochs_per_trial * len(told),
            "confirmation": standing.epochs[CONFIRMATION],
        },
        "seconds": {phase: round(seconds, 1) for phase, seconds in standing.seconds.items()},
        "adopted": adopted,
        "state": str(state.relative_to(ROOT)),
        "mlflow_run": upload.run if upload.error is None else None,
        "mlflow_error": str(upload.error) if upload.error else None,
    }


def adopt(path: Path, parameters: Mapping[str, Any]) -> None:
    """Write the parameters, by their dotted places, into a params file, and leave all else of it as it stands."""
    import yaml

    text = path.read_text(encoding="utf-8")
    spans = []
    for name, value in parameters.items():
        node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
        for part in name.split("."):
            node = next(child for key, child in node.value if key.value == part)
        spans.append((node.start_mark.index, node.end_mark.index, _yaml(value)))
    for start, end, value in sorted(spans, reverse=True):
        text = text[:start] + value + text[end:]
    atomic.write_text(path, text)


def _yaml(value: Any) -> str:
    """One value as YAML would have it: 1e-07 needs a point there, and "no" its quotes."""
    import yaml

    return yaml.safe_dump(value).removesuffix("\n").removesuffix("\n...")
