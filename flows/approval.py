"""A promotion that waits for a person, as a Prefect flow: suspended until somebody answers on its page.

`lldif approve` answers the same request; the flow, resumed later, finds it settled. Whatever comes before the wait is
done again when the flow resumes, and finds its own request in the ledger.
"""

import os
from datetime import timedelta
from typing import Any

from prefect import flow
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput

from flows import live, promotion
from flows import policy as policy_file
from flows.project import Failed
from flows.promotion import Wish

DEPLOYMENT = "promotion/promotion"
PATIENCE = timedelta(days=30)


class Answer(RunInput):
    """What the page asks for."""

    approve: bool
    who: str
    reason: str = ""


@flow(name="promotion", flow_run_name="promotion-{experiment}", result_serializer="json", persist_result=True)
def await_approval(experiment: str = "demo", version: int | None = None) -> dict[str, Any]:
    """Judge a version and, where every gate passes, wait for a person's word. Raises Failed."""
    policy = policy_file.load()
    candidate = promotion.choose(policy, experiment, version)
    entry = promotion.promote(policy, experiment, candidate, Wish(require_approval=True))
    if entry.kind == "request":
        answer = suspend_flow_run(wait_for_input=Answer, timeout=int(PATIENCE.total_seconds()))
        entry = promotion.approve(policy, experiment, answer.who, answer.reason, reject=not answer.approve)
    return entry.model_dump(mode="json")


def announce(experiment: str, version: int) -> None:
    """Say how the request is answered; where a Prefect server knows the deployment, a run of it waits there too."""
    live.current().say(f"awaits a person's word: 'lldif approve {experiment}', or with --reject")
    if "PREFECT_API_URL" not in os.environ:
        return
    from prefect.deployments import run_deployment
    from prefect.exceptions import ObjectNotFound

    try:
        run: Any = run_deployment(DEPLOYMENT, parameters={"experiment": experiment, "version": version}, timeout=0)
    except ObjectNotFound:
        return
    except OSError as error:
        raise Failed(f"Prefect at {os.environ['PREFECT_API_URL']}: {error}", "infrastructure") from None
    live.current().say(f"or on Prefect's page of the flow run {run.name}, once a worker has it")
