"""The nightly deployment, on a real server: inactive as it comes; activated, it is scheduled; a worker can run it."""

import re
import time
from typing import Any, Literal

import pytest
from clones import BETTER_THAN_MAJORITY, Clone
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import approval


def ask(clone: Clone, method: Literal["GET", "POST", "PATCH"], path: str, content: dict[str, Any] | None = None) -> Any:
    """As Prefect's own commands ask its server: once more where its database is busy (503)."""
    with SyncPrefectClient(clone.environment["PREFECT_API_URL"]) as client:
        done = client.request(method, f"/{path}", json=content)
    return done.json() if done.content else None


def post(clone: Clone, path: str, content: dict[str, Any]) -> Any:
    return ask(clone, "POST", path, content)


def deploy(clone: Clone) -> None:
    clone.run("prefect", "work-pool", "create", "lldif", "--type", "process", "--overwrite")
    clone.run("prefect", "--no-prompt", "deploy", "--all")


def state_after(clone: Clone, run: str, kinds: tuple[str, ...]) -> dict[str, Any]:
    """The state of a flow run once it is of one of these kinds."""
    deadline = time.monotonic() + 120
    while True:
        state = ask(clone, "GET", f"flow_runs/{run}")["state"]
        if state["type"] in kinds:
            return state
        assert time.monotonic() < deadline, state
        time.sleep(0.5)


def scheduled(clone: Clone, deployment: str) -> int:
    query = {
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}, "deployment_id": {"any_": [deployment]}},
    }
    return len(post(clone, "flow_runs/filter", query))


def test_retrain_is_deployed_inactive_scheduled_when_activated_and_run_by_a_worker(clone: Clone):
    clone.git("add", "dvc.lock")
    clone.git("commit", "-q", "-m", "lock")
    deploy(clone)
    deployments = {found["name"]: found for found in post(clone, "deployments/filter", {})}
    assert set(deployments) == {"retrain", "promotion"}
    deployment = deployments["retrain"]
    (schedule,) = deployment["schedules"]
    assert (schedule["schedule"]["cron"], schedule["active"]) == ("0 2 * * *", False)
    assert scheduled(clone, deployment["id"]) == 0

    its_schedule = f"deployments/{deployment['id']}/schedules/{schedule['id']}"
    ask(clone, "PATCH", its_schedule, {"active": True})
    deadline = time.monotonic() + 60
    while scheduled(clone, deployment["id"]) == 0:
        assert time.monotonic() < deadline, "an active cron yields no scheduled run"
        time.sleep(0.5)
    ask(clone, "PATCH", its_schedule, {"active": False})

    run = post(clone, f"deployments/{deployment['id']}/create_flow_run", {"parameters": {"publish": True}})
    clone.run("prefect", "worker", "start", "--pool", "lldif", "--run-once")
    state = state_after(clone, run["id"], ("COMPLETED", "FAILED", "CRASHED"))
    assert state["type"] == "COMPLETED", state


def test_the_flow_leaves_artifacts_for_stages_scores_and_verdict(finished: tuple[Clone, dict[str, Any]]):
    clone, answer = finished
    artifacts = {artifact["key"]: artifact for artifact in post(clone, "artifacts/latest/filter", {})}
    assert {"demo-stages", "demo-scores", "demo-verdict"} <= set(artifacts)
    assert f"version {answer['version']}" in artifacts["demo-verdict"]["data"]
    assert '"clean"' in str(artifacts["demo-scores"]["data"])
    names = {run["name"] for run in post(clone, "task_runs/filter", {})}
    stages = {f"{stage['name']}@demo" for stage in answer["stages"]}
    assert stages | {"register@demo", "gate@demo", "promote@demo"} <= names


def test_a_promotion_waits_on_its_page_in_prefect_and_goes_on_with_the_answer(clone: Clone):
    """A worker judges, the run is suspended; answered, a worker takes it up again and the version is champion."""
    clone.set_gates([BETTER_THAN_MAJORITY])
    clone.git("commit", "-q", "-a", "-m", "gates")
    twin = clone.twin()
    deploy(clone)
    said = clone.run("lldif", "promote", "demo", str(twin), "--require-approval")
    assert said.stdout.startswith(f"awaits approval: lldif-demo version {twin}")
    assert "'lldif approve demo'" in said.stderr
    name = re.search(r"the flow run (\S+),", said.stderr)
    assert name, said.stderr
    (run,) = post(clone, "flow_runs/filter", {"flow_runs": {"name": {"any_": [name[1]]}}})
    clone.run("prefect", "worker", "start", "--pool", "lldif", "--run-once")
    assert state_after(clone, run["id"], ("PAUSED", "COMPLETED", "FAILED", "CRASHED"))["name"] == "Suspended"
    assert clone.champion() == 1
    answer = {"approve": True, "who": "grace", "reason": "seen in the lab"}
    assert post(clone, f"flow_runs/{run['id']}/resume", {"run_input": answer})["status"] == "ACCEPT"
    clone.run("prefect", "worker", "start", "--pool", "lldif", "--run-once")
    state = state_after(clone, run["id"], ("COMPLETED", "FAILED", "CRASHED"))
    assert state["type"] == "COMPLETED", state
    assert clone.champion() == twin
    last = clone.answer("lldif", "history", "demo", "--json")["entries"][-1]
    assert (last["kind"], last["who"], last["why"]) == ("approval", "grace", "seen in the lab")


def test_what_a_command_has_answered_stands_when_the_run_that_waited_is_resumed(clone: Clone):
    """Nobody named a version, and a newer one came while the run waited: it goes on with its own."""
    clone.set_gates([BETTER_THAN_MAJORITY])
    clone.git("commit", "-q", "-a", "-m", "gates")
    twin = clone.twin()
    deploy(clone)
    known = len(clone.answer("lldif", "history", "demo", "--json")["entries"])
    (deployment,) = [found for found in post(clone, "deployments/filter", {}) if found["name"] == "promotion"]
    run = post(clone, f"deployments/{deployment['id']}/create_flow_run", {})["id"]
    clone.run("prefect", "worker", "start", "--pool", "lldif", "--run-once")
    assert state_after(clone, run, ("PAUSED", "COMPLETED", "FAILED", "CRASHED"))["name"] == "Suspended"
    clone.twin()
    clone.run("lldif", "approve", "demo", "--by", "ada")
    assert clone.champion() == twin
    answer = {"approve": False, "who": "eve"}
    assert post(clone, f"flow_runs/{run}/resume", {"run_input": answer})["status"] == "ACCEPT"
    clone.run("prefect", "worker", "start", "--pool", "lldif", "--run-once")
    state = state_after(clone, run, ("COMPLETED", "FAILED", "CRASHED"))
    assert state["type"] == "COMPLETED", state
    assert clone.champion() == twin
    entered = clone.answer("lldif", "history", "demo", "--json")["entries"][known:]
    assert [(entry["kind"], entry["candidate"]["version"], entry["who"]) for entry in entered] == [
        ("look", twin, "flow"),
        ("request", twin, "flow"),
        ("approval", twin, "ada"),
    ]


def test_a_request_whose_server_does_not_answer_is_told_in_lines(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    address = "http://ada:secret@127.0.0.1:1/api"
    monkeypatch.setenv("PREFECT_API_URL", address)
    with temporary_settings({PREFECT_API_URL: address}):
        approval.announce("demo", 2)
    assert [line.split(": ")[:2] for line in capfd.readouterr().err.splitlines()] == [
        ["awaits a person's word", "'lldif approve demo', or with --reject"],
        ["not on Prefect's pages", "http://127.0.0.1:1/api"],
    ]
