"""Objects are created once, whole, by one writer: in a folder and in a bucket. 5 s."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from flows import storage
from flows.ledger import Draft, Entry, Identity, Ledger
from flows.project import Failed
from flows.storage import AlreadyThere, Bucket, Folder, Storage


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server in this process."""
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bucket:
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"ledger-{abs(hash(tmp_path))}"
    boto3.client("s3").create_bucket(Bucket=name)
    found = storage.at(f"s3://{name}/some/where/")
    assert isinstance(found, Bucket)
    return found


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return Folder(tmp_path / "new" / "ledger") if request.param == "folder" else request.getfixturevalue("bucket")


def test_what_was_created_is_listed_and_read(place: Storage):
    assert place.list_keys() == []
    place.create("b.json", b"2")
    place.create("a.json", b"1")
    assert place.list_keys() == ["a.json", "b.json"]
    assert place.read(["b.json", "a.json"]) == [b"2", b"1"]


def test_a_key_that_is_taken_keeps_its_content(place: Storage):
    place.create("a.json", b"first")
    with pytest.raises(AlreadyThere, match=r"a\.json"):
        place.create("a.json", b"second")
    assert place.read(["a.json"]) == [b"first"]


def test_the_same_content_again_is_the_repetition_of_a_lost_answer(place: Storage):
    place.create("a.json", b"first")
    place.create("a.json", b"first")
    assert place.list_keys() == ["a.json"]


def test_a_key_that_is_missing_is_one_line(place: Storage):
    place.create("a.json", b"first")
    with pytest.raises(Failed) as failed:
        place.read(["nothing.json"])
    assert failed.value.kind == "infrastructure"
    assert "\n" not in str(failed.value)


def test_of_many_writers_one_succeeds(place: Storage):
    written = []

    def write(number: int) -> None:
        try:
            place.create("a.json", f"{number}".encode())
        except AlreadyThere:
            return
        written.append(number)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(written) == 1
    assert place.read(["a.json"]) == [f"{written[0]}".encode()]


def test_of_two_ledgers_in_one_bucket_one_wins_each_of_20_rounds(bucket: Bucket):
    barrier, wins = threading.Barrier(2), []

    def race(me: int) -> None:
        book = Ledger(bucket)
        for turn in range(20):
            barrier.wait()

            def claim(entries: tuple[Entry, ...], turn: int = turn) -> Draft:
                if len(entries) > turn:
                    raise InterruptedError
                one = Identity(version=2 * turn + me + 1, weights_sha256="0")
                return Draft(
                    kind="look", experiment="demo", registered="m", candidate=one, champion=None, who="ada", why=""
                )

            with contextlib.suppress(InterruptedError):
                book.append(claim)
                wins.append((turn, me))

    racers = [threading.Thread(target=race, args=(me,)) for me in range(2)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(turn for turn, _ in wins) == list(range(20))
    assert Ledger(bucket).verified()[1] == []


def test_a_writer_killed_before_the_name_is_there_leaves_nothing_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place = Folder(tmp_path)

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(os, "link", die)
    monkeypatch.setattr(Path, "unlink", die)  # a killed process tidies nothing up
    with pytest.raises(Killed):
        place.create("a.json", b"content")
    assert place.list_keys() == []
    assert [path.name.startswith(".") for path in tmp_path.iterdir()] == [True]
    monkeypatch.undo()
    place.create("a.json", b"other")
    assert place.read(["a.json"]) == [b"other"]


def test_a_server_that_keeps_other_bytes_is_found_out(bucket: Bucket, monkeypatch: pytest.MonkeyPatch):
    put = bucket.client.put_object
    monkeypatch.setattr(bucket.client, "put_object", lambda **named: put(**{**named, "Body": b"damaged"}))
    with pytest.raises(Failed, match="keeps other bytes than it was sent"):
        bucket.create("a.json", b"content")


def test_a_server_that_is_away_is_one_line(monkeypatch: pytest.MonkeyPatch, bucket: Bucket):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    away = storage.at("s3://bucket/ledger")
    with pytest.raises(Failed, match=r"s3://bucket/ledger/: Could not connect") as failed:
        away.list_keys()
    assert failed.value.kind == "infrastructure"


@pytest.mark.parametrize("uri", ["gs://bucket", "s3://", "s3://UPPER/x", "http://host/x"])
def test_a_place_that_is_none_is_refused(uri: str):
    with pytest.raises(Failed, match="allowed is a folder or s3://BUCKET/PREFIX"):
        storage.at(uri)


def test_a_folder_is_meant_from_the_project(tmp_path: Path):
    assert storage.at("ledger").uri == "ledger"
    assert storage.at(str(tmp_path)).uri == str(tmp_path)
    assert storage.at("s3://bucket-1").uri == "s3://bucket-1"
