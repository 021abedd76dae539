"""The chain: it only grows, one writer wins each number, and nothing in it changes unnoticed. 10 s of two cores."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import ledger
from flows.ledger import CROWNING, DECISIONS, Draft, Entry, Identity, Ledger, Standing, standing
from flows.project import Failed
from flows.storage import Folder

ROUNDS = 500


def version(number: int) -> Identity:
    return Identity(version=number, weights_sha256=f"{number:064x}")


def draft(kind: Any, candidate: int, champion: int | None, experiment: str = "demo", **more: Any) -> Draft:
    return Draft(
        kind=kind,
        experiment=experiment,
        registered=f"lldif-{experiment}",
        candidate=version(candidate),
        champion=version(champion) if champion else None,
        who="ada",
        why="it is better",
        **more,
    )


def enter(book: Ledger, *drafts: Draft) -> list[Entry]:
    return [book.append(lambda _, one=one: one) for one in drafts]


@pytest.fixture
def book(tmp_path: Path) -> Ledger:
    return Ledger(Folder(tmp_path / "ledger"))


def test_entries_are_numbered_and_each_names_the_hash_of_the_one_before(book: Ledger):
    first, second = enter(book, draft("promotion", 1, None), draft("rejection", 2, 1))
    assert (first.number, second.number) == (1, 2)
    assert (first.before, second.before) == (ledger.START, first.sha256)
    assert Ledger(book.storage).entries() == (first, second)
    assert book.storage.list_keys() == ["000001.json", "000002.json"]


class Lost(Exception):
    """Somebody else was promoted in this round."""


def race(folder: Path, me: int, rounds: int, barrier: Any, wins: Any) -> None:
    """In every round, try to become champion in place of the one that this round began with."""
    book = Ledger(Folder(folder))
    for turn in range(rounds):
        barrier.wait()
        before = standing(book.entries(), "demo").champion
        barrier.wait()
        candidate = 2 * turn + me + 1

        def claim(entries: tuple[Entry, ...], before: Identity | None = before, candidate: int = candidate) -> Draft:
            if standing(entries, "demo").champion != before:
                raise Lost
            return draft("promotion", candidate, before.version if before else None)

        try:
            book.append(claim)
        except Lost:
            continue
        wins.put((turn, me))


def test_of_two_promotions_at_once_exactly_one_wins_in_each_of_500_rounds(tmp_path: Path):
    processes = multiprocessing.get_context("spawn")
    barrier, wins = processes.Barrier(2), processes.SimpleQueue()
    racers = [processes.Process(target=race, args=(tmp_path, me, ROUNDS, barrier, wins)) for me in range(2)]
    for racer in racers:
        racer.start()
    won = [wins.get() for _ in range(ROUNDS)]
    for racer in racers:
        racer.join()
    assert wins.empty()
    assert sorted(turn for turn, _ in won) == list(range(ROUNDS))
    assert {me for _, me in won} == {0, 1}
    entries, faults = Ledger(Folder(tmp_path)).verified()
    assert faults == []
    assert [entry.number for entry in entries] == list(range(1, ROUNDS + 1))
    assert {(turn, me) for turn, me in won} == {divmod(entry.candidate.version - 1, 2) for entry in entries}


def test_whoever_comes_second_is_asked_again_with_what_the_first_entered(book: Ledger):
    seen = []

    def second(entries: tuple[Entry, ...]) -> Draft:
        seen.append(len(entries))
        if len(entries) == 0:
            enter(Ledger(book.storage), draft("promotion", 1, None))
        return draft("look", 2, 1)

    assert book.append(second).number == 2
    assert seen == [0, 1]


@pytest.fixture
def history(book: Ledger) -> Ledger:
    enter(book, *(draft("promotion", number, number - 1 or None) for number in range(1, 6)))
    return book


@pytest.mark.parametrize("number", range(1, 6))
def test_one_byte_changed_in_any_entry_is_found_at_any_place(history: Ledger, number: int):
    assert isinstance(history.storage, Folder)
    path = history.storage.path / f"00000{number}.json"
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        _, faults = history.verified()
        assert faults, changed
        assert any(path.name in fault for fault in faults)
        with pytest.raises(Failed, match="lldif history --verify"):
            Ledger(history.storage).entries()
    path.write_bytes(content)
    assert history.verified()[1] == []


def test_a_byte_too_many_is_found_though_it_means_nothing(history: Ledger):
    assert isinstance(history.storage, Folder)
    path = history.storage.path / "000002.json"
    path.write_bytes(path.read_bytes() + b"\n")
    assert "000002.json: changed after it was written" in history.verified()[1][0]


def test_an_entry_that_was_rewritten_with_its_hash_is_found_by_the_next_one(history: Ledger):
    assert isinstance(history.storage, Folder)
    path = history.storage.path / "000002.json"
    content = json.loads(path.read_bytes()) | {"why": "I say so"}
    content["sha256"] = ledger.sha256_of({name: value for name, value in content.items() if name != "sha256"})
    path.write_bytes(ledger.canonical(content))
    assert [fault.split(": ", 1) for fault in history.verified()[1]] == [
        [f"{history.storage.uri}/000003.json", "does not follow the entry before it: that one has another hash"]
    ]


def test_an_entry_that_is_gone_is_named(history: Ledger):
    assert isinstance(history.storage, Folder)
    (history.storage.path / "000002.json").unlink()
    entries, faults = history.verified()
    assert faults[0] == f"{history.storage.uri}/000002.json: gone"
    assert [entry.number for entry in entries] == [1, 3, 4, 5]
    with pytest.raises(Failed, match=r"000002\.json: gone"):
        history.entries()  # it has read that one before


def test_a_promotion_that_takes_over_from_somebody_else_than_the_champion_is_found(history: Ledger):
    enter(history, draft("promotion", 9, 4))
    assert history.verified()[1][0].endswith("000006.json: takes over from version 4, but champion was version 5")


def test_what_is_not_ours_in_the_storage_counts_for_nothing(history: Ledger):
    history.storage.create("README.md", b"what this is")
    assert len(history.verified()[0]) == 5


def stand(*steps: tuple[Any, int]) -> Standing:
    """The standing after these steps, each taking over from whoever is champion."""
    entries: list[Entry] = []
    for kind, candidate in steps:
        champion = standing(entries, "demo").champion
        one = draft(kind, candidate, champion.version if champion else None)
        entries.append(ledger.link(one, entries[-1] if entries else None))
    return standing(entries, "demo")


def test_a_rollback_goes_back_and_remembers_from_whom():
    after = stand(("promotion", 1), ("promotion", 2), ("promotion", 3), ("rollback", 1))
    assert (after.champion, after.previous) == (version(1), None)
    assert after.rolled_back == {version(2), version(3)}


def test_a_version_that_was_rolled_back_may_be_gone_back_to():
    after = stand(("promotion", 1), ("promotion", 2), ("rollback", 1), ("rollback", 2))
    assert after.champions == (version(2),)
    assert after.rolled_back == {version(1)}


def test_a_version_promoted_again_is_rolled_back_no_longer():
    after = stand(("promotion", 1), ("promotion", 2), ("rollback", 1), ("override", 2))
    assert after.champions == (version(1), version(2))
    assert after.rolled_back == frozenset()


def test_a_request_is_open_until_it_is_answered_or_another_version_is_champion():
    assert stand(("promotion", 1), ("request", 2)).request is not None
    for answer in ("approval", "refusal", "promotion", "rollback"):
        assert stand(("promotion", 1), ("request", 2), (answer, 2)).request is None
    for aside in ("look", "rejection"):
        assert stand(("promotion", 1), ("request", 2), (aside, 3)).request is not None
    assert stand(("promotion", 1), ("request", 2), ("rejection", 2)).request is None
    assert stand(("promotion", 1), ("request", 2), ("promotion", 3)).request is None
    later = stand(("promotion", 1), ("request", 2), ("request", 3)).request
    assert later is not None
    assert later.candidate == version(3)


@given(st.lists(st.tuples(st.sampled_from(DECISIONS), st.integers(1, 4)), max_size=12))
def test_whatever_happens_the_last_crowned_is_champion_and_nobody_is_both_champion_and_rolled_back(steps: Any):
    after = stand(*steps)
    crowned = [candidate for kind, candidate in steps if kind in CROWNING]
    assert after.champion == (version(crowned[-1]) if crowned else None)
    assert not after.rolled_back & set(after.champions)
    assert len(set(after.champions)) == len(after.champions)
    assert after.entry == len(steps)


def test_looks_are_counted_by_test_faces_whatever_the_experiment(book: Ledger):
    enter(
        book,
        draft("look", 1, None, data={"test_faces": "a"}),
        draft("look", 1, None, data={"test_faces": "a"}, experiment="other"),
        draft("look", 1, None, data={"test_faces": "b"}),
        draft("promotion", 1, None, data={"test_faces": "a"}),
    )
    assert ledger.looks(book.entries(), "a") == 2


def test_experiments_share_the_chain_and_nothing_else(book: Ledger):
    enter(book, draft("promotion", 1, None), draft("promotion", 7, None, experiment="other"), draft("rejection", 2, 1))
    assert standing(book.entries(), "demo").champion == version(1)
    assert standing(book.entries(), "other").champion == version(7)
    found = ledger.last_decision(book.entries(), "demo", version(2))
    assert found is not None
    assert found.kind == "rejection"


def test_a_version_that_was_left_by_a_rollback_was_decided_about_last_by_it(book: Ledger):
    enter(book, draft("promotion", 1, None), draft("promotion", 2, 1), draft("rollback", 1, 2))
    for number in (1, 2):
        found = ledger.last_decision(book.entries(), "demo", version(number))
        assert found is not None
        assert found.kind == "rollback"
    assert ledger.last_decision(book.entries(), "demo", version(3)) is None
