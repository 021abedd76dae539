"""The Prefect flow: a task per stage, then register, gate, promote. Only paths and small records cross tasks."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, TaskRun
from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS

from flows import (
    accounts,
    live,
    project,
    projection,
    promotion,
    report,
    result,
    staging,
    tracking,
    verdicts,
    versioning,
)
from flows import policy as policy_file
from flows.desk import desk
from flows.judgement import Judgement
from flows.project import Failed
from flows.promotion import Wish
from flows.tracking import Version
from flows.versioning import StageRun

RETRY_SECONDS = 10


def start_server() -> None:
    """Start the server that Prefect keeps for a run where none is named. Raises Failed.

    Ctrl-C reaches every process of a terminal. This one must not hear it: the run has yet to tell it how it ended.
    """
    with ThreadPoolExecutor(1) as apart:
        try:
            apart.submit(_start_deaf).result()
        except RuntimeError:
            waited = PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
            raise Failed(
                f"Prefect: its server did not start within {waited} s: wait longer by"
                " PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, or name one that runs in PREFECT_API_URL",
                "infrastructure",
            ) from None


def _start_deaf() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # of this thread, and of what it starts
    get_client(sync_client=True)


def worth_a_retry(_task: Any, _run: TaskRun, state: State[Any]) -> bool:
    """Infrastructure may mend itself; bad data, a bad config and a bug will not."""
    return isinstance(state.data, Failed) and state.data.kind == "infrastructure"


@flow(name="retrain", flow_run_name="retrain-{experiment}", result_serializer="json", persist_result=True)
def retrain(experiment: str = "demo", publish: bool = False, retries: int = 2) -> dict[str, Any]:
    """Bring every stage up to date, register the model, judge it, and promote it if every gate passes.

    With `publish`, dvc.lock and *.dvc are committed at the end. Raises Failed.
    """
    with staging.locked(project.ROOT / "state" / "run.lock", "another run is at work in this clone"):
        return _retrain(experiment, publish, {"retries": retries, "retry_delay_seconds": RETRY_SECONDS})


def _retrain(experiment: str, publish: bool, options: dict[str, Any]) -> dict[str, Any]:
    runs = _run_stages(experiment, options)
    version = register.with_options(**options)(experiment)
    judged = gate.with_options(**options)(experiment, version)
    answer = promote.with_options(**options)(experiment, version, judged, runs)
    write_report.with_options(**options)(experiment, answer["version"])
    tell_prefect(answer)
    if publish:
        answer["commit"] = publish_versions(experiment, answer["version"])
    return answer


def _run_stages(experiment: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Every stage in order. DVC is asked once for all, and again for a stage only where what it reads was made anew."""
    stale, made = versioning.stale(experiment), set[str]()
    runs = []
    for spec in project.stages(experiment):
        due = spec.target in stale or not made.isdisjoint(spec.dependencies)
        runs.append(run_stage.with_options(name=spec.name, **options)(experiment, spec.name, due))
        if runs[-1]["status"] == "ran":
            made |= set(spec.outputs)
    return runs


@task(task_run_name="{stage}@{experiment}", retry_condition_fn=worth_a_retry, result_serializer="json")
def run_stage(experiment: str, stage: str, due: bool) -> dict[str, Any]:
    """One DVC stage, where it is due; its reports go to MLflow as far as it can be reached."""
    spec = next(spec for spec in project.stages(experiment) if spec.name == stage)
    try:
        with live.step(stage) as step:
            done = versioning.reproduce(spec, step.view.progress) if due else StageRun(stage, "cached", 0.0)
            step.status = done.word
            return asdict(done)
    finally:
        if due and stage in projection.PROJECTED:
            _project_if_reachable(experiment)


def _project_if_reachable(experiment: str) -> None:
    policy = policy_file.load()
    try:
        with tracking.reachable(policy) as client:
            projection.project_runs(client, policy, experiment)
    except Failed as error:
        live.current().say(f"not in MLflow yet: {error}")


@task(task_run_name="register@{experiment}", retry_condition_fn=worth_a_retry, result_serializer="json")
def register(experiment: str) -> dict[str, Any]:
    """The model's version in the registry: found by its weights, or made."""
    policy = policy_file.load()
    with live.step("register"), tracking.reachable(policy) as client:
        runs = projection.project_runs(client, policy, experiment)
        return asdict(tracking.register(client, policy, experiment, runs["train_diffusion"]))


@task(task_run_name="gate@{experiment}", retry_condition_fn=worth_a_retry, result_serializer="json")
def gate(experiment: str, version: dict[str, Any]) -> dict[str, Any] | None:
    """Candidate against champion on the test split; None where the ledger has decided about the version before."""
    candidate = Version(**version)
    policy = policy_file.load()
    with live.step("gate") as step:
        with desk(policy, experiment) as at:
            account = accounts.account(at.book.entries(), experiment, candidate.identity)
            champion = at.standing.champion
        if account.decision:
            step.status = "up to date"
            return None
        rival = f"version {champion.version}" if champion else "no champion"
        step.detail(f"version {candidate.number} against {rival}, on the test split")
        return promotion.judge(policy, experiment, candidate, Wish()).model_dump(mode="json")


@task(task_run_name="promote@{experiment}", retry_condition_fn=worth_a_retry, result_serializer="json")
def promote(
    experiment: str, version: dict[str, Any], judged: dict[str, Any] | None, runs: list[dict[str, Any]]
) -> dict[str, Any]:
    """Enter the decision; the aliases follow. Judged again where somebody else became champion meanwhile."""
    candidate = Version(**version)
    policy = policy_file.load()
    with live.step("promote"):
        if judged:
            promotion.promote(policy, experiment, candidate, Wish(), Judgement.model_validate_json(json.dumps(judged)))
        return result.of(policy, experiment, [StageRun(**run) for run in runs], candidate)


@task(task_run_name="publish@{experiment}")
def publish_versions(experiment: str, version: int) -> str:
    """Commit what DVC says the outputs are."""
    with live.step("publish"):
        return project.publish(f"Publish {experiment} version {version}")


@task(task_run_name="report@{experiment}", retry_condition_fn=worth_a_retry)
def write_report(experiment: str, version: int) -> None:
    """The page about this experiment, in reports/ and with the run that the version came from."""
    policy = policy_file.load()
    with live.step("report"), tracking.reachable(policy) as client:
        page = report.write(policy, experiment)
        tracking.attach(client, policy, experiment, version, page)


def tell_prefect(answer: dict[str, Any]) -> None:
    """Artifacts for whoever opens the run in Prefect's pages."""
    name = answer["experiment"]
    create_table_artifact(answer["stages"], key=f"{name}-stages", description="Stages: what ran, what was up to date")
    create_table_artifact(result.scores_table(answer), key=f"{name}-scores", description="Accuracy by exposure")
    create_markdown_artifact(verdict(answer), key=f"{name}-verdict", description="The gates' verdict")


def verdict(answer: dict[str, Any]) -> str:
    alias = f", @{answer['alias']}" if answer["alias"] else ""
    title = f"## {answer['decision']}: {answer['model']} version {answer['version']}{alias}"
    return "\n".join([title, "", *verdicts.table(answer["gates"])])
