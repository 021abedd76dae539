"""The ledger for people: a line for each decision, one version's verdict in sentences, and the proof of it all."""

from dataclasses import dataclass
from typing import Any

from flows import accounts, following, ledger, tracking, verdicts
from flows.desk import desk, open_ledger
from flows.ledger import Entry
from flows.policy import Policy
from flows.project import Failed


@dataclass(frozen=True)
class Verification:
    """What became of the proof."""

    entries: tuple[Entry, ...]
    faults: tuple[str, ...]  # of the chain, or of aliases that stand elsewhere
    repaired: tuple[str, ...]  # what killed commands had left and is finished now

    def as_json(self) -> dict[str, Any]:
        return {
            "entries": [entry.model_dump(mode="json") for entry in self.entries],
            "verified": not self.faults,
            "repaired": list(self.repaired),
            "faults": list(self.faults),
        }


def verify(policy: Policy, experiment: str | None) -> Verification:
    """Read the whole chain again, and hold every experiment's aliases against it; finish what was left unfinished."""
    entries, faults = open_ledger(policy).verified()
    shown = of(entries, experiment)
    repaired = []
    names = {experiment} if experiment else {entry.experiment for entry in shown} | _registered(policy)
    for name in [] if faults else sorted(names):
        try:
            with desk(policy, name) as at:
                repaired += [at.repaired] if at.repaired else []
        except following.Astray as error:
            faults.append(str(error))
    return Verification(shown, tuple(faults), tuple(repaired))


def _registered(policy: Policy) -> set[str]:
    """Experiments that the registry knows: of a ledger that lost its entries nothing else would tell."""
    if not tracking.is_there(policy):
        return set()
    with tracking.reachable(policy) as client:
        return tracking.experiments(client, policy)


def of(entries: tuple[Entry, ...], experiment: str | None) -> tuple[Entry, ...]:
    return tuple(entry for entry in entries if experiment in (None, entry.experiment))


def text(entries: tuple[Entry, ...]) -> str:
    """A line for each entry."""
    lines = [
        f"{entry.number:>6}  {entry.time[:16].replace('T', ' ')}  {entry.experiment:<12}  {entry.kind:<9}  "
        f"version {entry.candidate.version:<4} {_who(entry)}: {entry.why}"
        for entry in entries
    ]
    return "\n".join(lines) or "the ledger is empty"


def _who(entry: Entry) -> str:
    rival = f"over version {entry.champion.version}, " if entry.champion and entry.kind != "look" else ""
    return f"{rival}by {entry.who}"


def story(entries: tuple[Entry, ...], experiment: str, number: int) -> str:
    """All that was decided about one version, and the verdict in sentences. Raises Failed where nothing was."""
    about = [e for e in of(entries, experiment) if number in (e.candidate.version, _left(e)) and e.kind != "look"]
    if not about:
        raise Failed(f"{experiment}: nothing was decided about version {number}", "config")
    identity = next((e.candidate for e in reversed(about) if e.candidate.version == number), about[-1].champion)
    assert identity is not None
    account = accounts.account(entries, experiment, identity)
    standing = ledger.standing(entries, experiment)
    champion = ", champion now" if standing.champion == identity else ""
    lines = [f"{experiment} version {number}: {account.decision}{champion}", "", *text(tuple(about)).splitlines()]
    if account.judged:
        rival = account.judged.champion
        met = f"against version {rival.version}" if rival else "with no champion to compare with"
        lines += ["", f"The gates in entry {account.judged.number}, {met}:", *verdicts.sentences(account.judged.gates)]
        lines += ["", *_provenance(account.judged)]
    return "\n".join(lines)


def _left(entry: Entry) -> int | None:
    """Whom a rollback left."""
    return entry.champion.version if entry.kind == "rollback" and entry.champion else None


def _provenance(entry: Entry) -> list[str]:
    data = ", ".join(f"{name} {sha256[:12]}" for name, sha256 in sorted(entry.data.items()))
    dirty = " with changes" if entry.dirty else ""
    return [
        f"weights {entry.candidate.weights_sha256[:12]}, parameters {entry.params_sha256[:12]}, "
        f"policy {entry.policy_sha256[:12]}, commit {entry.commit[:12]}{dirty}",
        f"data: {data}",
    ]


def decided(entry: Entry) -> str:
    """What a command says of the entry that it made or found."""
    word = f"{entry.decision} to" if entry.kind == "rollback" else f"{entry.decision}:"
    head = f"{word} {entry.registered} version {entry.candidate.version} (entry {entry.number}): {entry.why}"
    return "\n".join([head, *verdicts.sentences(entry.gates)])
