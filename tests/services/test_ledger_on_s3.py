"""The ledger on a real S3 server: Ceph's object gateway on loopback. 40 s. Run by `make test-services`."""

import multiprocessing
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import ceph
import pytest

from flows import storage
from flows.ledger import Draft, Entry, Identity, Ledger, standing
from flows.project import Failed
from flows.storage import AlreadyThere

pytestmark = pytest.mark.service

ROUNDS = 100
PLACE = "s3://ledger/lldif"


@pytest.fixture(scope="module")
def server() -> Iterator[ceph.Ceph]:
    if ceph.missing():
        packages = " ".join(ceph.PACKAGES)
        pytest.fail(f"no {', '.join(ceph.missing())}: apt-get install --no-install-recommends {packages}")
    folder = Path(tempfile.mkdtemp(prefix="ceph"))  # short: sockets have names of 107 bytes at most
    running = ceph.Ceph(folder)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def bucket(server: ceph.Ceph, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="ledger")
    yield
    for one in client.list_objects_v2(Bucket="ledger").get("Contents", []):
        client.delete_object(Bucket="ledger", Key=one["Key"])
    client.delete_bucket(Bucket="ledger")


def promotion(candidate: int, champion: Identity | None) -> Draft:
    return Draft(
        kind="promotion",
        experiment="demo",
        registered="lldif-demo",
        candidate=Identity(version=candidate, weights_sha256=f"{candidate:064x}"),
        champion=champion,
        who="ada",
        why="it is better",
    )


class Lost(Exception):
    """Somebody else was promoted in this round."""


def race(me: int, rounds: int, barrier: Any, wins: Any) -> None:
    book = Ledger(storage.at(PLACE))
    for turn in range(rounds):
        barrier.wait()
        before = standing(book.entries(), "demo").champion
        barrier.wait()

        def claim(entries: tuple[Entry, ...], before: Identity | None = before, turn: int = turn) -> Draft:
            if standing(entries, "demo").champion != before:
                raise Lost
            return promotion(2 * turn + me + 1, before)

        try:
            book.append(claim)
        except Lost:
            continue
        wins.put((turn, me))


def test_of_two_promotions_at_once_exactly_one_wins_in_each_of_100_rounds():
    processes = multiprocessing.get_context("spawn")
    barrier, wins = processes.Barrier(2), processes.SimpleQueue()
    racers = [processes.Process(target=race, args=(me, ROUNDS, barrier, wins)) for me in range(2)]
    for racer in racers:
        racer.start()
    won = [wins.get() for _ in range(ROUNDS)]
    for racer in racers:
        racer.join()
    assert wins.empty()
    assert sorted(turn for turn, _ in won) == list(range(ROUNDS))
    entries, faults = Ledger(storage.at(PLACE)).verified()
    assert faults == []
    assert [entry.number for entry in entries] == list(range(1, ROUNDS + 1))


def test_a_key_that_is_taken_keeps_its_content():
    place = storage.at(PLACE)
    place.create("a.json", b"first")
    place.create("a.json", b"first")  # the repetition of a lost answer
    with pytest.raises(AlreadyThere):
        place.create("a.json", b"second")
    assert place.read(place.list_keys()) == [b"first"]


def test_a_byte_changed_by_somebody_with_the_keys_is_found():
    book = Ledger(storage.at(PLACE))
    book.append(lambda _: promotion(1, None))
    client = boto3.client("s3")
    name = {"Bucket": "ledger", "Key": "lldif/000001.json"}
    content = client.get_object(**name)["Body"].read()
    client.put_object(**name, Body=content.replace(b'"ada"', b'"eve"'))
    assert "000001.json: changed after it was written" in Ledger(storage.at(PLACE)).verified()[1][0]


def test_a_bucket_that_is_none_is_one_line():
    with pytest.raises(Failed, match="NoSuchBucket"):
        storage.at("s3://nothing/lldif").list_keys()
