"""What the gates say of what was gathered, as a record that crosses processes."""

import json
import math
from dataclasses import asdict
from typing import Any

from components.config import Config
from components.gates.judging import judge
from components.gates.verdict import decide
from flows import ledger
from flows.evidence import Gathered
from flows.ledger import Identity
from flows.lineage import HeldOut
from flows.policy import Policy
from flows.project import Failed


class Judgement(Config):
    """The verdict on a candidate against the champion of the moment."""

    candidate: Identity
    champion: Identity | None
    promote: bool
    why: str
    gates: tuple[dict[str, Any], ...]
    measured: dict[str, Any]
    policy_sha256: str
    data: dict[str, str]  # sha256 by name

    def facts(self) -> dict[str, Any]:
        """What an entry of the ledger keeps."""
        return self.model_dump(include={"gates", "measured", "policy_sha256", "data"})


def of(policy: Policy, found: Gathered, candidate: Identity, champion: Identity | None, test: HeldOut) -> Judgement:
    """Raises Failed where candidate and champion did not answer the same faces."""
    try:
        verdicts = judge(policy.gates, found.evidence, policy.gates.holdout.alpha_share)
    except ValueError as error:
        raise Failed(f"candidate and champion cannot be compared: {error}", "data") from None
    decision = decide(verdicts, policy.gates, champion is not None)
    measured = {"test_accuracy": found.accuracy, "latency_milliseconds": found.latency_milliseconds}
    return Judgement(
        candidate=candidate,
        champion=champion,
        promote=decision.promote,
        why=decision.why,
        gates=tuple(plain(asdict(verdict)) for verdict in verdicts),
        measured=plain(measured),
        policy_sha256=policy_sha256(policy),
        data=test.digests,
    )


def policy_sha256(policy: Policy) -> str:
    """Of what the gates go by."""
    return ledger.sha256_of(policy.gates.model_dump(mode="json"))


def plain(tree: Any) -> Any:
    """JSON, where a figure that does not exist is null."""
    if isinstance(tree, dict):
        return {str(name): plain(value) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(value) for value in tree]
    if isinstance(tree, float) and not math.isfinite(tree):
        return None
    return json.loads(json.dumps(tree))
