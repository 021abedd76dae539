"""Who is champion: every way to decide it. A decision is an entry in the ledger; the registry follows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from components.gates import power
from flows import accounts, evidence, following, judgement, ledger, lineage, live, project, tracking
from flows.desk import desk, open_ledger
from flows.judgement import Judgement
from flows.ledger import Draft, Entry, Identity, Kind, Standing
from flows.lineage import HeldOut
from flows.policy import Policy
from flows.project import Failed
from flows.tracking import Version

FLOW = "flow"  # who decides where no person does


class Outdated(Exception):
    """Somebody else became champion since the candidate was judged."""


@dataclass(frozen=True)
class Wish:
    """Who wants a version to become champion, and how."""

    who: str = FLOW
    reason: str = ""
    override: bool = False  # whatever the gates say, and beyond the looks that the test set may serve
    require_approval: bool = False


def choose(policy: Policy, experiment: str, number: int | None) -> Version:
    """The version that was asked for by name, or the newest that was not rolled back. Raises Failed."""
    model = policy.registry.model_name(experiment)
    entries = open_ledger(policy).entries()
    with tracking.reachable(policy) as client:
        numbers = tracking.versions(client, model)
        found = [tracking.version(client, model, one) for one in (numbers if number is None else [number])]
    if number is not None and found[0] is None:
        raise Failed(f"{model} has no version {number}: there is {', '.join(map(str, numbers)) or 'none'}", "config")
    shunned = ledger.standing(entries, experiment).rolled_back
    for version in found:
        if version and (number is not None or version.identity not in shunned):
            return version
    raise Failed(f"{model} has no version to promote: 'lldif run {experiment}' makes one", "config")


def judge(policy: Policy, experiment: str, candidate: Version, wish: Wish) -> Judgement:
    """Score candidate and champion on the same test faces, after a look was entered, and let every gate speak.

    Raises Failed: the test set has served its looks, the champion is gone or does not load, the registry is away.
    """
    with desk(policy, experiment, mending=wish.override) as at:
        identity = at.standing.champion
        champion = tracking.version(at.client, at.model, identity.version) if identity else None
    if champion and champion.identity != identity:
        champion = None  # gone, and its number taken: only an override comes to here
    test = lineage.held_out(experiment)
    facts = {"data": test.digests, "policy_sha256": judgement.policy_sha256(policy)}

    def look(entries: tuple[Entry, ...]) -> Draft:
        check_looks(policy, experiment, entries, test, wish)
        rival = f"version {champion.number}" if champion else "nobody"
        return draft("look", experiment, candidate, identity, wish.who, f"scored against {rival}", facts)

    look(open_ledger(policy).entries())  # said before two models are loaded for nothing
    for line in power.foreseen(policy.gates, test.faces, test.persons) if champion else ():
        live.current().say(line)
    found = evidence.gather(policy, experiment, candidate, champion, lambda: open_ledger(policy).append(look))
    error = found.evidence.soundness.load_error if found.evidence.soundness else None
    if error and wish.override:
        raise Failed(f"{error}: what does not load is not promoted", "data")
    return judgement.of(policy, found, candidate.identity, identity, test)


def check_looks(policy: Policy, experiment: str, entries: tuple[Entry, ...], test: HeldOut, wish: Wish) -> None:
    """Raises Failed where the test set has served as often as the policy allows."""
    served, allowed = ledger.looks(entries, test.faces_sha256), policy.gates.holdout.looks
    if served >= allowed and not wish.override:
        raise Failed(
            f"runs/{experiment}/dark_test.parquet: its faces were looked at {served} times, gates.holdout.looks allows "
            f"{allowed}: bring new data, or 'lldif promote {experiment} VERSION --override --reason TEXT'",
            "data",
        )


def promote(policy: Policy, experiment: str, candidate: Version, wish: Wish, judged: Judgement | None = None) -> Entry:
    """Judge, unless that was done, and decide; again whenever somebody else becomes champion in between.

    What was decided about this candidate against this champion, by the same policy on the same faces, stands.
    """
    while True:
        settled = _settled(policy, experiment, candidate, wish)
        if settled:
            return settled
        judged = judged or judge(policy, experiment, candidate, wish)
        try:
            with desk(policy, experiment, mending=wish.override) as at:
                return at.commit(_decision(experiment, candidate, wish, judged))
        except Outdated:
            judged = None


def _settled(policy: Policy, experiment: str, candidate: Version, wish: Wish) -> Entry | None:
    """The decision that stands, if there is one."""
    with desk(policy, experiment, mending=wish.override) as at:
        entries, standing = at.book.entries(), at.standing
    last = ledger.last_decision(entries, experiment, candidate.identity)
    if last is None or standing.champion == candidate.identity:
        return last if not wish.override or _follows(policy, experiment) else None
    if wish.who == FLOW:
        return last  # only a person asks twice
    if wish.override or last.kind not in ("request", "rejection") or last.champion != standing.champion:
        return None
    if last.kind == "request" and last != standing.request:
        return None
    test_sha256 = lineage.held_out(experiment).sha256
    same = last.policy_sha256 == judgement.policy_sha256(policy) and last.data.get("dark_test") == test_sha256
    return last if same else None


def _follows(policy: Policy, experiment: str) -> bool:
    """Whether the registry stands where the ledger says."""
    model = policy.registry.model_name(experiment)
    with tracking.reachable(policy) as client:
        return following.trouble(client, open_ledger(policy).entries(), experiment, model) is None


def _decision(
    experiment: str, candidate: Version, wish: Wish, judged: Judgement
) -> Callable[[tuple[Entry, ...]], Draft]:
    kind: Kind = "rejection"
    if wish.override:
        kind = "override"
    elif judged.promote:
        kind = "request" if wish.require_approval else "promotion"
    why = f"{wish.reason} (the gates: {judged.why})" if wish.override else judged.why

    def decide(entries: tuple[Entry, ...]) -> Draft:
        if ledger.standing(entries, experiment).champion != judged.champion:
            raise Outdated
        return draft(kind, experiment, candidate, judged.champion, wish.who, why, judged.facts())

    return decide


def approve(policy: Policy, experiment: str, who: str, reason: str, reject: bool = False) -> Entry:
    """A person's answer to the request that is open. Raises Failed where none is, or the model does not load."""
    request = ledger.standing(open_ledger(policy).entries(), experiment).request
    if request is None:
        raise Failed(f"{experiment}: nothing awaits approval", "config")
    candidate = choose(policy, experiment, request.candidate.version)
    if not reject:
        evidence.check_loads(policy, candidate)
    why = reason or ("refused" if reject else "approved")
    facts = request.model_dump(include={"gates", "measured", "policy_sha256", "data"})

    def answer(entries: tuple[Entry, ...]) -> Draft:
        now = ledger.standing(entries, experiment)
        if now.request != request:
            raise Failed(f"{experiment}: entry {now.entry} has settled the request meanwhile", "data")
        return draft("refusal" if reject else "approval", experiment, candidate, now.champion, who, why, facts)

    with desk(policy, experiment) as at:
        return at.commit(answer)


def rollback(policy: Policy, experiment: str, to: int | None, who: str, reason: str) -> Entry:
    """Back to the champion before, or to any that once was. Raises Failed where there is none, or it does not load."""
    with desk(policy, experiment, mending=True) as at:
        entries, standing = at.book.entries(), at.standing
        astray = following.trouble(at.client, entries, experiment, at.model)
    target = _rollback_target(entries, experiment, standing, to)
    if target == standing.champion and not astray:
        raise Failed(f"{experiment}: version {target.version} is champion", "config")
    version = choose(policy, experiment, target.version)
    if version.identity != target:
        raise Failed(f"{version.name} version {target.version} is another model than the one that was champion", "data")
    evidence.check_loads(policy, version)

    def back(entries: tuple[Entry, ...]) -> Draft:
        if ledger.standing(entries, experiment).champion != standing.champion:
            raise Failed(f"{experiment}: another version became champion meanwhile; nothing was rolled back", "data")
        return draft("rollback", experiment, version, standing.champion, who, reason, {})

    with desk(policy, experiment, mending=True) as at:
        return at.commit(back)


def _rollback_target(entries: tuple[Entry, ...], experiment: str, standing: Standing, to: int | None) -> Identity:
    if to is None:
        if standing.previous is None:
            raise Failed(f"{experiment}: there is no champion before this one to go back to", "config")
        return standing.previous
    crowned = [e.candidate for e in entries if e.experiment == experiment and e.kind in ledger.CROWNING]
    target = next((one for one in reversed(crowned) if one.version == to), None)
    if target is None:
        known = ", ".join(str(number) for number in sorted({one.version for one in crowned})) or "none"
        raise Failed(f"{experiment}: version {to} never was champion: allowed is {known}", "config")
    return target


def draft(
    kind: Kind,
    experiment: str,
    candidate: Version,
    champion: Identity | None,
    who: str,
    why: str,
    facts: dict[str, Any],
) -> Draft:
    """`facts`: what is known beyond the candidate's own lineage, by name of the entry's fields."""
    source, tags = project.provenance(), candidate.tags
    trained_on = {
        name.removesuffix("_sha256"): tags[name] for name in ("faces_sha256", "dark_valid_sha256") if name in tags
    }
    return Draft(
        kind=kind,
        experiment=experiment,
        registered=candidate.name,
        candidate=candidate.identity,
        champion=champion,
        who=who,
        why=why,
        decision=accounts.WORDS.get(kind, ""),
        params_sha256=tags.get("params_sha256", ""),
        commit=source.commit,
        dirty=source.dirty,
        data=trained_on | facts.get("data", {}),
        **{name: value for name, value in facts.items() if name != "data"},
    )
