"""What the ledger says of one version, in the words of the answer."""

from dataclasses import dataclass

from flows import ledger
from flows.ledger import Entry, Identity

PROMOTED, REJECTED, AWAITS, ROLLED_BACK = "promoted", "rejected", "awaits approval", "rolled back"
LAPSED = "no longer awaits approval"  # another version became champion meanwhile, or was asked for instead
WORDS: dict[str, str] = {
    "promotion": PROMOTED,
    "approval": PROMOTED,
    "override": PROMOTED,
    "request": AWAITS,
    "rejection": REJECTED,
    "refusal": REJECTED,
    "rollback": ROLLED_BACK,
}


@dataclass(frozen=True)
class Account:
    """Decision and verdict."""

    decision: str | None  # None: nobody has decided
    judged: Entry | None  # the entry that holds the verdict


def account(entries: tuple[Entry, ...], experiment: str, candidate: Identity) -> Account:
    last = ledger.last_decision(entries, experiment, candidate)
    if last is None:
        return Account(None, None)
    mine = [entry for entry in entries if entry.experiment == experiment and entry.candidate == candidate]
    judged = next((entry for entry in reversed(mine) if entry.kind in WORDS and entry.kind != "rollback"), None)
    if last.kind == "rollback" and last.candidate == candidate:
        return Account(PROMOTED, judged)
    if last.kind == "request" and last != ledger.standing(entries, experiment).request:
        return Account(LAPSED, judged)
    return Account(WORDS[last.kind], judged)
