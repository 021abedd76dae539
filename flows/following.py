"""The registry follows the ledger: aliases first, then what its pages say, last a mark of how far it has come.

The mark tells a crash from a hand. Where it stands behind the ledger, whoever made the entry did not get to the end,
and the next command finishes the work. Where it does not, and an alias stands elsewhere, somebody moved it.
"""

from typing import Any

from flows import card, ledger, tracking
from flows.ledger import Entry, Standing
from flows.project import Failed
from flows.tracking import CHAMPION, PREVIOUS, Pointers


class Astray(Failed):
    """Registry and ledger differ, and no crash explains it."""


def follow(client: Any, entries: tuple[Entry, ...], experiment: str, model: str) -> None:
    """Bring aliases, descriptions and the mark to where the ledger stands; all of it may be done twice."""
    standing = ledger.standing(entries, experiment)
    wanted, there = targets(standing), tracking.pointers(client, model)
    for alias in (PREVIOUS, CHAMPION):  # in this order: a crash in between leaves the champion where it was
        if there.aliases.get(alias) != wanted[alias]:
            tracking.set_alias(client, model, alias, wanted[alias])
    new = unfollowed(entries, experiment, there.followed)
    touched = {entry.candidate for entry in new}
    if new:
        waited = ledger.standing(entries[: entries.index(new[0])], experiment).request
        touched |= {waited.candidate} if waited else set()
    if any(entry.kind == "rollback" for entry in new):
        touched |= standing.rolled_back
    for number in sorted({identity.version for identity in touched}):
        version = tracking.version(client, model, number)
        if version:
            tracking.describe(client, version, *card.of(entries, experiment, version))
    if there.followed != standing.entry:
        tracking.set_followed(client, model, standing.entry)


def unfollowed(entries: tuple[Entry, ...], experiment: str, mark: int) -> list[Entry]:
    """The decisions that the registry has not followed yet."""
    mine = [entry for entry in entries if entry.experiment == experiment and entry.kind in ledger.DECISIONS]
    return [entry for entry in mine if entry.number > mark]


def targets(standing: Standing) -> dict[str, int | None]:
    """Where the aliases belong."""
    champion, previous = standing.champion, standing.previous
    return {CHAMPION: champion.version if champion else None, PREVIOUS: previous.version if previous else None}


def repair(client: Any, entries: tuple[Entry, ...], experiment: str, model: str) -> str | None:
    """Finish what a killed command left, and say so in one line. Raises Astray."""
    there, standing = tracking.pointers(client, model), ledger.standing(entries, experiment)
    line = _trouble(client, entries, experiment, model, there)
    if line:
        raise Astray(line, "data")
    if there.followed == standing.entry:
        return None
    follow(client, entries, experiment, model)
    where = f"@{CHAMPION} is version {standing.champion.version}" if standing.champion else f"there is no @{CHAMPION}"
    return f"{model}: brought to entry {standing.entry}, which a command that was killed had not finished: {where}"


def trouble(client: Any, entries: tuple[Entry, ...], experiment: str, model: str) -> str | None:
    """One line where registry and ledger differ in a way that no crash explains."""
    return _trouble(client, entries, experiment, model, tracking.pointers(client, model))


def _trouble(client: Any, entries: tuple[Entry, ...], experiment: str, model: str, at: Pointers) -> str | None:
    standing, mark, there = ledger.standing(entries, experiment), at.followed, at.aliases
    if mark > standing.entry:
        return (
            f"{model} has followed entry {mark}, and the ledger's last decision is {standing.entry}: entries are lost"
        )
    champion = standing.champion
    if champion and not _is_there(client, model, champion):
        other = (
            f"'lldif rollback {experiment}'"
            if standing.previous
            else f"'lldif promote {experiment} VERSION --override'"
        )
        return f"{model} version {champion.version} is champion and gone from the registry: {other} settles it"
    wanted = targets(standing)
    # a command may have been killed before or after any move since the mark
    explained = [wanted]
    for entry in unfollowed(entries, experiment, mark):
        explained.append(targets(ledger.standing(entries[: entries.index(entry)], experiment)))
    for alias in (CHAMPION, PREVIOUS):
        if there.get(alias) not in [one[alias] for one in explained]:
            return _moved(experiment, model, alias, there.get(alias), wanted[alias])
    return None


def _is_there(client: Any, model: str, identity: ledger.Identity) -> bool:
    version = tracking.version(client, model, identity.version)
    return version is not None and version.identity == identity


def _moved(experiment: str, model: str, alias: str, there: int | None, wanted: int | None) -> str:
    at = f"@{alias} is version {there}" if there else f"there is no @{alias}"
    says = f"version {wanted}" if wanted else "none"
    back = (
        f"'lldif rollback {experiment} --to {wanted} --reason TEXT' puts it back" if wanted else "take the alias away"
    )
    keep = f", 'lldif promote {experiment} {there} --override --reason TEXT' keeps it" if there else ""
    return f"{model}: {at}, and the ledger says {says}: moved by hand; {back}{keep}"
