"""The nightly deployment, on a real server: inactive as it comes; activated, it is scheduled; a worker can run it."""

import time
from typing import Any

import httpx
from clones import Clone


def post(clone: Clone, path: str, content: dict[str, Any]) -> Any:
    done = httpx.post(f"{clone.environment['PREFECT_API_URL']}/{path}", json=content, timeout=60)
    done.raise_for_status()
    return done.json()


def scheduled(clone: Clone, deployment: str) -> int:
    query = {
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}, "deployment_id": {"any_": [deployment]}},
    }
    return len(post(clone, "flow_runs/filter", query))


def test_retrain_is_deployed_inactive_scheduled_when_activated_and_run_by_a_worker(clone: Clone):
    clone.git("add", "dvc.lock")
    clone.git("commit", "-q", "-m", "lock")
    clone.run("prefect", "work-pool", "create", "lldif", "--type", "process")
    clone.run("prefect", "--no-prompt", "deploy", "--all")
    (deployment,) = post(clone, "deployments/filter", {})
    assert deployment["name"] == "retrain"
    (schedule,) = deployment["schedules"]
    assert (schedule["schedule"]["cron"], schedule["active"]) == ("0 2 * * *", False)
    assert scheduled(clone, deployment["id"]) == 0

    address = f"{clone.environment['PREFECT_API_URL']}/deployments/{deployment['id']}/schedules/{schedule['id']}"
    httpx.patch(address, json={"active": True}, timeout=60).raise_for_status()
    deadline = time.monotonic() + 60
    while scheduled(clone, deployment["id"]) == 0:
        assert time.monotonic() < deadline, "an active cron yields no scheduled run"
        time.sleep(0.5)
    httpx.patch(address, json={"active": False}, timeout=60).raise_for_status()

    run = post(clone, f"deployments/{deployment['id']}/create_flow_run", {"parameters": {"publish": True}})
    clone.run("prefect", "worker", "start", "--pool", "lldif", "--run-once")
    deadline = time.monotonic() + 120
    while True:
        state = httpx.get(f"{clone.environment['PREFECT_API_URL']}/flow_runs/{run['id']}").json()["state"]
        if state["type"] in ("COMPLETED", "FAILED", "CRASHED"):
            break
        assert time.monotonic() < deadline, state
        time.sleep(0.5)
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
