"""Death at every write of a decision, with versions that hold no model: the next command sets it right. 60 s.

What real processes do when they are killed is in test_killed_promotions.py.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from registry import MODEL, Place

from flows import desk, history, ledger, promotion, tracking
from flows.ledger import Entry
from flows.storage import Folder

WRITES = (
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_registered_model_tag",
    "update_model_version",
    "set_model_version_tag",
    "delete_model_version_tag",
)


class Killed(BaseException):
    """What no handler of ours may catch."""


class Mortal:
    """Counts the writes of storage and registry, and dies before or after one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, dies_at: int, after: bool) -> None:
        self.dies_at, self.after, self.writes = dies_at, after, 0
        create, reachable = Folder.create, tracking.reachable

        @contextmanager
        def mortal_client(policy: Any) -> Iterator[Any]:
            with reachable(policy) as client:
                for name in WRITES:
                    setattr(client, name, self.counted(getattr(client, name)))
                yield client

        monkeypatch.setattr(Folder, "create", self.counted(create))
        monkeypatch.setattr(tracking, "reachable", mortal_client)

    def counted(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            self.writes += 1
            here = self.writes == self.dies_at
            if here and not self.after:
                raise Killed
            done = write(*arguments, **named)
            if here:
                raise Killed
            return done

        return wrapped


def promote_third(place: Place) -> Entry:
    return place.promote(place.version(3))


def roll_back(place: Place) -> Entry:
    return promotion.rollback(place.policy, "demo", None, "grace", "it dazzles")


def approve(place: Place) -> Entry:
    place.promote(place.version(3), require_approval=True)
    return promotion.approve(place.policy, "demo", "grace", "")


def reject(place: Place) -> Entry:
    place.shares_right[3] = 0.1
    return promote_third(place)


@pytest.fixture
def two_champions(place: Place) -> Place:
    """Version 2 is champion, 1 was, and 3 would be."""
    for share_right in (0.5, 0.7):
        place.promote(place.register(share_right))
    place.register(0.9)
    return place


@pytest.mark.parametrize(
    ("decide", "after"),
    [
        (promote_third, False),
        (promote_third, True),
        (roll_back, False),
        (roll_back, True),
        (approve, False),
        (reject, True),
    ],
)
def test_whoever_dies_at_any_write_leaves_what_the_next_command_sets_right(
    two_champions: Place, decide: Callable[[Place], Entry], after: bool, monkeypatch: pytest.MonkeyPatch
):
    place, dies_at, finished = two_champions, 0, False
    spare = {path: path.read_bytes() for path in place.folder.rglob("*") if path.is_file()}
    while not finished:
        dies_at += 1
        restore(place, spare)
        with monkeypatch.context() as dying:
            mortal = Mortal(dying, dies_at, after)
            try:
                decide(place)
                finished = True
            except Killed:
                pass
        check_champion_is_there(place)
        found = history.verify(place.policy, "demo")
        assert found.faults == (), (dies_at, found)
        assert len(found.repaired) <= 1
        assert all("\n" not in line for line in found.repaired)
        champion = ledger.standing(place.book.entries(), "demo").champion
        assert champion is not None
        assert place.aliases()["champion"] == champion.version
        assert history.verify(place.policy, "demo").repaired == ()
    assert mortal.writes < mortal.dies_at
    assert dies_at > 5  # there was something to die at


def restore(place: Place, spare: dict[Any, bytes]) -> None:
    for path in place.folder.rglob("*"):
        if path.is_file() and path not in spare:
            path.unlink()
    for path, content in spare.items():
        path.write_bytes(content)


def check_champion_is_there(place: Place) -> None:
    """Whatever happened, the alias points at a version that may serve: the old champion or the new one."""
    champion = place.aliases()["champion"]
    assert champion in (1, 2, 3)
    assert tracking.version(place.client, MODEL, champion) is not None


def die_at(monkeypatch: pytest.MonkeyPatch, place: Place, write: int) -> None:
    with monkeypatch.context() as dying:
        Mortal(dying, write, after=False)
        with pytest.raises(Killed):
            promote_third(place)


def test_a_repair_says_what_it_did_in_one_line(two_champions: Place, monkeypatch: pytest.MonkeyPatch, capfd: Any):
    place = two_champions
    die_at(monkeypatch, place, 3)  # after look and promotion, before any alias
    assert place.aliases()["champion"] == 2
    capfd.readouterr()
    with desk.desk(place.policy, "demo"):
        pass
    line = "lldif-demo: brought to entry 6, which a command that was killed had not finished: @champion is version 3\n"
    assert capfd.readouterr().err == line
    assert place.aliases() == {"champion": 3, "previous": 2}


def test_after_a_death_the_same_command_goes_on_and_decides_once(two_champions: Place, monkeypatch: pytest.MonkeyPatch):
    place = two_champions
    die_at(monkeypatch, place, 4)
    entry = promote_third(place)
    assert (entry.kind, entry.number) == ("promotion", 6)
    assert [one.kind for one in place.book.entries()].count("promotion") == 3
    assert place.aliases() == {"champion": 3, "previous": 2}


def test_an_alias_moved_by_hand_after_a_death_is_not_taken_for_the_crash(
    two_champions: Place, monkeypatch: pytest.MonkeyPatch
):
    place = two_champions
    die_at(monkeypatch, place, 3)
    tracking.set_alias(place.client, MODEL, "champion", 1)
    assert "moved by hand" in history.verify(place.policy, "demo").faults[0]
    assert place.aliases()["champion"] == 1
