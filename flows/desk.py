"""Where decisions are entered: ledger and registry of one experiment, in agreement."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flows import following, ledger, live, staging, storage, tracking
from flows.ledger import Draft, Entry, Ledger, Standing
from flows.policy import Policy
from flows.project import ROOT


@dataclass(frozen=True)
class Desk:
    """Ledger and registry of one experiment, held by one process of this machine at a time."""

    client: Any
    book: Ledger
    experiment: str
    model: str
    repaired: str | None  # what a killed command had left, in one line

    @property
    def standing(self) -> Standing:
        return ledger.standing(self.book.entries(), self.experiment)

    def commit(self, draft: Callable[[tuple[Entry, ...]], Draft]) -> Entry:
        """Enter a decision and let the registry follow; again where another machine decided meanwhile."""
        entry = self.book.append(draft)
        followed = -1
        while followed != self.standing.entry:
            entries = self.book.entries()
            followed = ledger.standing(entries, self.experiment).entry
            following.follow(self.client, entries, self.experiment, self.model)
        return entry


def open_ledger(policy: Policy) -> Ledger:
    return Ledger(storage.at(policy.ledger.uri))


@contextmanager
def desk(policy: Policy, experiment: str, mending: bool = False) -> Iterator[Desk]:
    """Registry and ledger in agreement. Raises Failed where they are not, unless a person is `mending` just that."""
    lock = ROOT / "state" / f"promotion-{experiment}.lock"
    book, model = open_ledger(policy), policy.registry.model_name(experiment)
    with staging.locked(lock, "another command decides"), tracking.reachable(policy) as client:
        try:
            repaired = following.repair(client, book.entries(), experiment, model)
        except following.Astray:
            if not mending:
                raise
            repaired = None
        if repaired:
            live.current().say(repaired)
        yield Desk(client, book, experiment, model, repaired)
