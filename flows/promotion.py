"""Who is champion: every way to decide it. A decision is an entry in the ledger; the registry follows."""

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from components.config import Config
from components.gates.judging import judge as judge_evidence
from components.gates.verdict import decide
from components.records import file_sha256
from flows import evidence, following, ledger, project, staging, storage, tracking
from flows.ledger import Draft, Entry, Identity, Kind, Ledger
from flows.policy import Policy
from flows.project import ROOT, Failed
from flows.tracking import Version

FLOW = "flow"  # who decides where no person does
PROMOTED, REJECTED, AWAITS, ROLLED_BACK = "promoted", "rejected", "awaits approval", "rolled back"
WORDS: dict[str, str] = {
    "promotion": PROMOTED,
    "approval": PROMOTED,
    "override": PROMOTED,
    "request": AWAITS,
    "rejection": REJECTED,
    "refusal": REJECTED,
    "rollback": ROLLED_BACK,
}


class Outdated(Exception):
    """Somebody else became champion since the candidate was judged."""


class Judgement(Config):
    """What the gates say of a candidate against the champion of the moment."""

    candidate: Identity
    champion: Identity | None
    promote: bool
    why: str
    gates: tuple[dict[str, Any], ...]
    measured: dict[str, Any]
    policy_sha256: str
    test_sha256: str


@dataclass(frozen=True)
class Wish:
    """How somebody wants a version to become champion."""

    who: str = FLOW
    reason: str = ""
    override: bool = False  # whatever the gates say, and beyond the looks of the test set
    require_approval: bool = False


@dataclass(frozen=True)
class Account:
    """What the ledger says of a version."""

    decision: str | None  # None: nobody has decided
    judged: Entry | None  # the entry that holds its verdict


def open_ledger(policy: Policy) -> Ledger:
    return Ledger(storage.at(policy.ledger.uri))


def account(entries: tuple[Entry, ...], experiment: str, candidate: Identity) -> Account:
    last = ledger.last_decision(entries, experiment, candidate)
    mine = [entry for entry in entries if entry.experiment == experiment and entry.candidate == candidate]
    judged = next((entry for entry in reversed(mine) if entry.kind in WORDS and entry.kind != "rollback"), None)
    if last is None:
        return Account(None, None)
    if last.kind == "rollback":
        return Account(ROLLED_BACK if last.candidate != candidate else PROMOTED, judged)
    return Account(WORDS[last.kind], judged)


def judge(policy: Policy, experiment: str, candidate: Version, wish: Wish) -> Judgement:
    """Score candidate and champion on the same test faces, after a look was entered, and let every gate speak.

    Raises Failed: the test set has served its looks, the champion does not load, or the registry is away.
    """
    with settled(policy, experiment, wish) as (client, entries):
        identity = ledger.standing(entries, experiment).champion
        champion = _found(client, candidate.name, identity, wish)
    test_sha256 = file_sha256(project.runs_folder(experiment) / "dark_test.parquet")
    facts: dict[str, Any] = {"policy_sha256": policy_sha256(policy), "test_sha256": test_sha256}
    rival = f"version {champion.number}" if champion else "nobody"
    look = _draft("look", candidate, identity, wish, f"against {rival}", facts)

    def enter_look(entries: tuple[Entry, ...]) -> Draft:
        check_looks(policy, experiment, test_sha256, entries, wish.override)
        return look

    check_looks(policy, experiment, test_sha256, entries, wish.override)  # before two models are loaded for nothing
    found = evidence.gather(policy, experiment, candidate, champion, lambda: open_ledger(policy).append(enter_look))
    verdicts = judge_evidence(policy.gates, found.evidence, policy.gates.holdout.alpha_share)
    decision = decide(verdicts, policy.gates, champion is not None)
    soundness = found.evidence.soundness
    if soundness and soundness.load_error and wish.override:
        raise Failed(f"{soundness.load_error}: such a model is never promoted", "data")
    measured = {"test_accuracy": found.accuracy, "latency_milliseconds": found.latency_milliseconds}
    return Judgement(
        candidate=candidate.identity,
        champion=identity,
        promote=decision.promote,
        why=decision.why,
        gates=tuple(plain(asdict(verdict)) for verdict in verdicts),
        measured=plain(measured),
        **facts,
    )


def _found(client: Any, model: str, identity: Identity | None, wish: Wish) -> Version | None:
    """The champion as it lies in the registry; one that is gone is passed over only by a person's override."""
    version = tracking.version(client, model, identity.version) if identity else None
    return version if version and version.identity == identity else None


def check_looks(
    policy: Policy, experiment: str, test_sha256: str, entries: tuple[Entry, ...], override: bool
) -> None:
    """Raises Failed where the test set has served as often as the policy allows."""
    served, allowed = ledger.looks(entries, test_sha256), policy.gates.holdout.looks
    if served >= allowed and not override:
        other = f"'lldif promote {experiment} VERSION --override --reason TEXT' promotes all the same"
        raise Failed(
            f"runs/{experiment}/dark_test.parquet: looked at {served} times, allowed is {allowed} "
            f"(gates.holdout.looks): bring new data; {other}",
            "data",
        )


def policy_sha256(policy: Policy) -> str:
    return ledger.sha256_of(policy.gates.model_dump(mode="json"))


def plain(tree: Any) -> Any:
    """JSON, where a figure that does not exist is null."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(name): clean(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [clean(one) for one in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.loads(json.dumps(clean(tree)))


def _draft(
    kind: Kind, candidate: Version, champion: Identity | None, wish: Wish, why: str, facts: dict[str, Any]
) -> Draft:
    source = project.provenance()
    known = {name.removesuffix("_sha256"): candidate.tags[name] for name in ("faces_sha256",) if name in candidate.tags}
    test = {"dark_test": facts["test_sha256"]} if "test_sha256" in facts else {}
    return Draft(
        kind=kind,
        experiment=experiment_of(candidate),
        registered=candidate.name,
        candidate=candidate.identity,
        champion=champion,
        who=wish.who,
        why=why,
        decision=WORDS.get(kind, ""),
        gates=facts.get("gates", ()),
        measured=facts.get("measured", {}),
        policy_sha256=facts.get("policy_sha256", ""),
        params_sha256=candidate.tags.get("params_sha256", ""),
        data=known | test,
        commit=source.commit,
        dirty=source.dirty,
    )
