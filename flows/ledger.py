"""Every look at a test set and every decision about a model, in a chain that only grows.

Entry 000007.json is canonical JSON with the hash of entry 6 in it. Whoever creates the next number first has decided;
everybody else reads on and thinks again. What a decision leads to, the standing, follows from the entries alone.
"""

import datetime
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, ValidationError

from components.config import Config
from flows.project import Failed
from flows.storage import AlreadyThere, Storage

START = "0" * 64  # stands where the first entry would name the one before
KEY = re.compile(r"\d{6,}\.json")

Kind = Literal["look", "request", "promotion", "approval", "override", "rejection", "refusal", "rollback"]
DECISIONS = ("request", "promotion", "approval", "override", "rejection", "refusal", "rollback")
CROWNING = ("promotion", "approval", "override", "rollback")  # each makes its candidate champion


class Identity(Config):
    """A model version that cannot be mistaken for another one, should the registry be made anew."""

    version: int = Field(ge=1)
    weights_sha256: str


class Draft(Config):
    """What somebody wants to enter."""

    kind: Kind
    experiment: str
    registered: str  # the registered model's name
    candidate: Identity
    champion: Identity | None  # whom the candidate met, or took over from
    who: str  # "flow", or a person's name
    why: str
    decision: str = ""  # in a word, of the kinds that decide
    gates: tuple[dict[str, Any], ...] = ()  # every gate's verdict
    measured: dict[str, Any] = Field(default_factory=dict)  # accuracy by exposure, latency
    policy_sha256: str = ""
    params_sha256: str = ""
    data: dict[str, str] = Field(default_factory=dict)  # sha256 by name: "test_faces" are those looked at
    commit: str = ""
    dirty: bool = False


class Entry(Draft):
    """One link of the chain."""

    number: int = Field(ge=1)
    id: str  # tells two attempts to enter the same thing apart
    time: str  # UTC
    before: str  # sha256 of the entry before
    sha256: str  # of all the rest


@dataclass(frozen=True)
class Standing:
    """Where an experiment stands after all its entries."""

    champions: tuple[Identity, ...]  # oldest first; what was rolled back is gone from here
    rolled_back: frozenset[Identity]
    request: Entry | None  # a promotion that awaits a person's word; a later one takes its place
    entry: int  # the number of the last decision, 0 where there is none

    @property
    def champion(self) -> Identity | None:
        return self.champions[-1] if self.champions else None

    @property
    def previous(self) -> Identity | None:
        """Whom a rollback goes back to."""
        return self.champions[-2] if len(self.champions) > 1 else None


class Ledger:
    """The entries in a storage; what was read once is kept, since it cannot change."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._entries: list[Entry] = []

    def entries(self) -> tuple[Entry, ...]:
        """All entries, with every link of the chain examined. Raises Failed where it is broken."""
        keys = self._keys()
        entries, faults = examine(keys, self.storage.read(keys[len(self._entries) :]), self._entries)
        if faults:
            raise Failed(f"{self.storage.uri}/{faults[0]}; 'lldif history --verify' says more", "data")
        self._entries = entries
        return tuple(entries)

    def verified(self) -> tuple[tuple[Entry, ...], list[str]]:
        """Every entry that can be read, all read again, and one line for whatever is wrong."""
        keys = self._keys()
        entries, faults = examine(keys, self.storage.read(keys), [])
        return tuple(entries), [f"{self.storage.uri}/{fault}" for fault in faults]

    def append(self, draft: Callable[[tuple[Entry, ...]], Draft]) -> Entry:
        """Enter what `draft` makes of the entries so far.

        It is asked again whenever somebody else was faster, and may raise where there is nothing left to enter.
        """
        while True:
            entries = self.entries()
            entry = link(draft(entries), entries[-1] if entries else None)
            try:
                self.storage.create(key_of(entry.number), canonical(entry.model_dump(mode="json")))
            except AlreadyThere:
                continue
            return entry

    def _keys(self) -> list[str]:
        return sorted((key for key in self.storage.list_keys() if KEY.fullmatch(key)), key=lambda key: int(key[:-5]))


def key_of(number: int) -> str:
    return f"{number:06d}.json"


def link(draft: Draft, before: Entry | None) -> Entry:
    """The draft as the entry that follows `before`."""
    content = draft.model_dump(mode="json") | {
        "number": before.number + 1 if before else 1,
        "id": uuid.uuid4().hex,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "before": before.sha256 if before else START,
    }
    return Entry.model_validate_json(canonical(content | {"sha256": _sha256(content)}))


def canonical(content: Any) -> bytes:
    """The one way to write a tree of JSON: sorted keys, no blanks, ASCII."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sha256_of(content: Any) -> str:
    """Of a tree of JSON."""
    return hashlib.sha256(canonical(content)).hexdigest()


def _sha256(content: dict[str, Any]) -> str:
    return sha256_of({name: value for name, value in content.items() if name != "sha256"})


def examine(keys: Sequence[str], contents: Iterable[bytes], known: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """The entries behind `keys`, of which the first are `known`, and a line for whatever is wrong with them."""
    entries, faults = list(known), []
    there = set(keys)
    gone = [key_of(entry.number) for entry in known if key_of(entry.number) not in there]
    if gone:
        return entries, [f"{gone[0]}: gone"]
    number, before = len(known) + 1, entries[-1].sha256 if entries else START
    for key, content in zip(keys[len(known) :], contents, strict=True):
        if int(key[:-5]) != number:
            faults.append(f"{key_of(number)}: gone")
            number, before = int(key[:-5]), ""
        entry, fault = read_entry(content)
        if entry:
            fault = fault or _misplaced(entry, number, before, entries)
            entries.append(entry)
        if fault:
            faults.append(f"{key}: {fault}")
        number, before = number + 1, entry.sha256 if entry else ""
    return entries, faults


def read_entry(content: bytes) -> tuple[Entry | None, str]:
    """The entry, if it can be read at all, and what is wrong with its bytes."""
    try:
        entry = Entry.model_validate_json(content)
    except ValidationError as error:
        return None, f"not an entry: {' '.join(error.errors()[0]['msg'].split())}"
    plain = json.loads(content)
    if entry.sha256 != _sha256(plain) or canonical(plain) != content:
        return entry, "changed after it was written: its content does not have the hash that it names"
    return entry, ""


def _misplaced(entry: Entry, number: int, before: str, earlier: list[Entry]) -> str:
    if entry.number != number:
        return f"holds entry {entry.number}"
    if before and entry.before != before:
        return "does not follow the entry before it: that one has another hash"
    if entry.kind in CROWNING:
        champion = standing(earlier, entry.experiment).champion
        if entry.champion != champion:
            return f"takes over from {_named(entry.champion)}, but champion was {_named(champion)}"
    return ""


def _named(identity: Identity | None) -> str:
    return f"version {identity.version}" if identity else "nobody"


def standing(entries: Iterable[Entry], experiment: str) -> Standing:
    """Where an experiment stands after these entries."""
    champions: dict[Identity, None] = {}  # an ordered set, oldest first
    rolled_back: set[Identity] = set()
    last: Entry | None = None
    request: Entry | None = None
    for entry in entries:
        if entry.experiment != experiment or entry.kind not in DECISIONS:
            continue
        last = entry
        if entry.kind == "request":
            request = entry
        elif request and (entry.kind != "rejection" or entry.candidate == request.candidate):
            request = None  # answered, or judged against whom is champion no longer
        if entry.kind == "rollback":
            rolled_back |= _roll_back(champions, entry.candidate)
        if entry.kind in CROWNING:
            champions.pop(entry.candidate, None)
            champions[entry.candidate] = None
            rolled_back.discard(entry.candidate)
    return Standing(tuple(champions), frozenset(rolled_back), request, last.number if last else 0)


def _roll_back(champions: dict[Identity, None], to: Identity) -> set[Identity]:
    """Take away every champion after `to`, or the last one where `to` was itself rolled back; return them."""
    gone = set()
    while champions and next(reversed(champions)) != to:
        gone.add(champions.popitem()[0])
        if to not in champions:
            break
    return gone


def last_decision(entries: Iterable[Entry], experiment: str, candidate: Identity) -> Entry | None:
    """The newest decision about a version, whether it was the candidate or was rolled back."""
    about = [entry for entry in entries if entry.experiment == experiment and entry.kind in DECISIONS]
    for entry in reversed(about):
        if entry.candidate == candidate or (entry.kind == "rollback" and entry.champion == candidate):
            return entry
    return None


def looks(entries: Iterable[Entry], faces_sha256: str) -> int:
    """How often these test faces were looked at, by whatever experiment and in whatever light."""
    return sum(entry.kind == "look" and entry.data.get("test_faces") == faces_sha256 for entry in entries)
