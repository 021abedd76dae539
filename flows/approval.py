"""A promotion that waits for a person, as a Prefect flow: suspended until somebody answers on its page.

`lldif approve` answers the same request; the flow, resumed later, finds it settled. Whatever comes before the wait is
done again when the flow resumes, and finds its own request in the ledger.
"""

import os
from datetime import timedelta
from typing import Any

from prefect import flow, task
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput

from flows import live, promotion, tracking
from flows import policy as policy_file
from flows.promotion import Wish

DEPLOYMENT = "promotion/promotion"
PATIENCE = timedelta(days=30)


class Answer(RunInput):
    """What the page asks for."""

    approve: bool
    who: str
    reason: str = ""


@task(task_run_name="choose@{experiment}", persist_result=True, result_serializer="json")
def choose(experiment: str, version: int | None) -> int:
    """Done once for a run: when it resumes, the newest version may be another."""
    return promotion.choose(policy_file.load(), experiment, version).number


@flow(name="promotion", flow_run_name="promotion-{experiment}", result_serializer="json", persist_result=True)
def await_approval(experiment: str = "demo", version: int | None = None) -> dict[str, Any]:
    """Judge a version and, where every gate passes, wait for a person's word. Raises Failed."""
    policy = policy_file.load()
    candidate = promotion.choose(policy, experiment, choose(experiment, version))
    entry = promotion.promote(policy, experiment, candidate, Wish(require_approval=True))
    if entry.kind == "request":
        answer = suspend_flow_run(wait_for_input=Answer, timeout=int(PATIENCE.total_seconds()))
        entry = promotion.approve(policy, experiment, answer.who, answer.reason, reject=not answer.approve)
    return entry.model_dump(mode="json")


def announce(experiment: str, version: int) -> None:
    """Say how the request is answered; where a Prefect server knows the deployment, a run of it waits there too.

    The request stands in the ledger, whatever becomes of the run.
    """
    live.current().say(f"awaits a person's word: 'lldif approve {experiment}', or with --reject")
    if "PREFECT_API_URL" not in os.environ:
        return
    from httpx import HTTPError
    from prefect.deployments import run_deployment
    from prefect.exceptions import ObjectNotFound

    try:
        run: Any = run_deployment(DEPLOYMENT, parameters={"experiment": experiment, "version": version}, timeout=0)
    except ObjectNotFound:
        return
    except HTTPError as error:
        address = tracking.public(os.environ["PREFECT_API_URL"])
        live.current().say(f"not on Prefect's pages: {address}: {error}")
        return
    live.current().say(f"or on Prefect's page of the flow run {run.name}, once a worker has it")
