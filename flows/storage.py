"""Small objects that are written once and never changed: in a folder, or in a bucket of S3."""

import os
import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from flows.project import ROOT, Failed

READERS = 8  # objects of a bucket that are read at once
CONFLICTS = 5  # answers 409 to a conditional write that are waited out: somebody else is writing the same key


class AlreadyThere(Exception):
    """The key is taken by other content."""


class Storage(Protocol):
    """Objects by key; keys are plain names."""

    @property
    def uri(self) -> str: ...

    def list_keys(self) -> list[str]:
        """Every key, sorted."""

    def read(self, keys: list[str]) -> list[bytes]:
        """The content of each key. Raises Failed where one is missing or the storage does not answer."""

    def create(self, key: str, content: bytes) -> None:
        """Write a new object, whole or not at all; of several writers of one key exactly one succeeds.

        Raises AlreadyThere where the key holds other content. Content that is already there counts as written: a write
        whose answer was lost is repeated by the network's own retries.
        """


def at(uri: str) -> Storage:
    """A folder, relative to the project unless it is absolute, or s3://BUCKET/PREFIX. Raises Failed."""
    if "://" not in uri:
        return Folder(ROOT / uri)
    found = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]+)/*(.*?)/*", uri)
    if found is None:
        raise Failed(f"{uri}: not a place to store things: allowed is a folder or s3://BUCKET/PREFIX", "config")
    return Bucket(found[1], f"{found[2]}/" if found[2] else "")


class Folder:
    """Objects as files. Names that begin with a dot are what a killed writer left, and count for nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def uri(self) -> str:
        return str(self.path.relative_to(ROOT) if self.path.is_relative_to(ROOT) else self.path)

    def list_keys(self) -> list[str]:
        with self._one_line():
            there = self.path.iterdir() if self.path.exists() else ()
            return sorted(path.name for path in there if not path.name.startswith("."))

    def read(self, keys: list[str]) -> list[bytes]:
        with self._one_line():
            return [(self.path / key).read_bytes() for key in keys]

    def create(self, key: str, content: bytes) -> None:
        with self._one_line():
            self.path.mkdir(parents=True, exist_ok=True)
            temporary = self.path / f".{key}.{uuid.uuid4().hex}"
            try:
                _write_synced(temporary, content)
                self._link(temporary, key, content)
            finally:
                temporary.unlink(missing_ok=True)
            _sync_folder(self.path)

    def _link(self, temporary: Path, key: str, content: bytes) -> None:
        try:
            os.link(temporary, self.path / key)  # a rename would replace what is there
        except FileExistsError:
            if (self.path / key).read_bytes() != content:
                raise AlreadyThere(key) from None

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Failed(f"{error.filename or self.path}: {error.strerror or error}", "infrastructure") from None


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(path: Path) -> None:
    """A new name is on disk once its folder is."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Bucket:
    """Objects under a prefix of an S3 bucket; AWS_* and the endpoint's variables mean what they always mean."""

    def __init__(self, bucket: str, prefix: str) -> None:
        import boto3
        from botocore.config import Config

        patience = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 4})
        self.bucket, self.prefix = bucket, prefix
        with self._one_line():
            self.client: Any = boto3.client("s3", config=patience)

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def list_keys(self) -> list[str]:
        with self._one_line():
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
            names = [one["Key"].removeprefix(self.prefix) for page in pages for one in page.get("Contents", [])]
        return sorted(name for name in names if name and "/" not in name)

    def read(self, keys: list[str]) -> list[bytes]:
        with self._one_line(), ThreadPoolExecutor(READERS) as readers:
            return list(readers.map(self._read, keys))

    def _read(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=self.bucket, Key=f"{self.prefix}{key}")["Body"].read()
        return content

    def create(self, key: str, content: bytes) -> None:
        with self._one_line():
            created = self._put(key, content)
            there = self._read(key)  # a server that keeps other bytes than it was sent is found out here
        if there == content:
            return
        if created:
            raise Failed(f"{self.uri}/{key}: the server keeps other bytes than it was sent", "infrastructure")
        raise AlreadyThere(key)

    def _put(self, key: str, content: bytes) -> bool:
        """Whether this request made the object."""
        from botocore.exceptions import ClientError

        for attempt in range(CONFLICTS):
            try:
                self.client.put_object(Bucket=self.bucket, Key=f"{self.prefix}{key}", Body=content, IfNoneMatch="*")
                return True
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                if status == 412:
                    return False
                if status != 409 or attempt == CONFLICTS - 1:
                    raise
        raise AssertionError("the last attempt returned or raised")

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            line = " ".join(str(error).split())[:200]
            raise Failed(f"s3://{self.bucket}/{self.prefix}: {line}", "infrastructure") from None
