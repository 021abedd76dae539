"""Files of a folder or of a zip, under one interface.

A name is a path inside the tree, with "/" between its parts; bytes that are not UTF-8 are kept as `surrogateescape`
does. What systems leave behind (names that begin with a dot, __MACOSX, Thumbs.db, desktop.ini) is no part of a tree.
"""

import os
import stat
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components.data.archive import CHUNK, Archive, UnreadableError, escaped, name_of, read_archive
from components.records import DataError

FILE_BYTES = 1 << 26  # 64 MiB: no picture of a face is larger
LINE_BYTES = 1 << 20
LEFT_BEHIND = {"__MACOSX", "Thumbs.db", "desktop.ini"}


class Tree(ABC):
    """Files under `raw`, in the same order wherever they lie."""

    raw: Path

    @abstractmethod
    def entries(self, folder: str) -> tuple[list[str], list[str]]:
        """Names of the folders and of the files right inside a folder ("" is the root), each sorted by bytes.

        A folder that is not there has none, as in a zip.
        """

    @abstractmethod
    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a file in pieces. Raises UnreadableError, be it after the last piece."""

    def walk(self, folder: str = "") -> Iterator[str]:
        """Every file under a folder."""
        folders, files = self.entries(folder)
        for name in files:
            yield join(folder, name)
        for name in folders:
            yield from self.walk(join(folder, name))

    def read(self, name: str) -> bytes:
        """The content of a file. Raises UnreadableError where it cannot be read or has over FILE_BYTES."""
        pieces: list[bytes] = []
        size = 0
        for piece in self.chunks(name):
            pieces.append(piece)
            size += len(piece)
            if size > FILE_BYTES:
                raise UnreadableError(f"over {FILE_BYTES >> 20} MiB: allowed are smaller files")
        return b"".join(pieces)

    def lines(self, name: str) -> Iterator[str]:
        """The lines of a text without their ends. Raises DataError where the file cannot be read."""
        rest = b""
        try:
            for piece in self.chunks(name):
                *whole, rest = (rest + piece).split(b"\n")
                for line in whole:
                    yield _text(line)
                if len(rest) > LINE_BYTES:
                    raise UnreadableError(f"a line of over {LINE_BYTES >> 20} MiB: allowed are shorter lines")
        except UnreadableError as error:
            raise DataError(f"{self.raw}: {escaped(name)}: {error}") from None
        if rest:
            yield _text(rest)


def _text(line: bytes) -> str:
    return line.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\r").decode("utf-8", "surrogateescape")


def open_tree(raw: Path) -> Tree:
    """The files of a folder or a zip. Raises DataError where `raw` is neither, or a zip that is not to be trusted."""
    if raw.is_dir():
        return FolderTree(raw)
    return ZipTree(raw, read_archive(raw))


def join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _is_left_behind(name: str) -> bool:
    return name.startswith(".") or name in LEFT_BEHIND


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class FolderTree(Tree):
    """A folder on disk. Links to files are followed; a link to a folder could lead in a circle."""

    raw: Path

    def entries(self, folder: str) -> tuple[list[str], list[str]]:
        folders: list[str] = []
        files: list[str] = []
        try:
            with os.scandir(self._path(folder)) as found:
                for entry in found:
                    name = entry.name.decode("utf-8", "surrogateescape")
                    if _is_left_behind(name):
                        continue
                    if entry.is_symlink() and Path(os.fsdecode(entry.path)).is_dir():
                        where = escaped(join(folder, name))
                        raise DataError(f"{self.raw}: {where} is a link to a folder: allowed are files and folders")
                    (folders if entry.is_dir(follow_symlinks=False) else files).append(name)
        except (FileNotFoundError, NotADirectoryError):
            return [], []
        except OSError as error:
            raise DataError(f"{self.raw}: {escaped(folder) or 'the folder'}: {error.strerror}") from None
        return sorted(folders, key=_encoded), sorted(files, key=_encoded)

    def chunks(self, name: str) -> Iterator[bytes]:
        if "\0" in name:
            raise UnreadableError("no such file")
        try:
            # a pipe, opened to wait, would wait for ever
            descriptor = os.open(self._path(name), os.O_RDONLY | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb", buffering=0) as stream:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise UnreadableError("not a regular file")
                while piece := stream.read(CHUNK):
                    yield piece
        except FileNotFoundError:
            raise UnreadableError("no such file") from None
        except OSError as error:
            raise UnreadableError(f"cannot be read ({error.strerror})") from None

    def _path(self, name: str) -> bytes:
        return b"/".join([os.fsencode(self.raw), _encoded(name)])


@dataclass(frozen=True)
class ZipTree(Tree):
    """A zip whose directory was read."""

    raw: Path
    archive: Archive

    def entries(self, folder: str) -> tuple[list[str], list[str]]:
        prefix, records = _encoded(f"{folder}/" if folder else ""), self.archive.records
        folders: list[str] = []
        files: list[str] = []
        index = bisect_left(records, prefix)
        while index < len(records) and (name := name_of(records[index])).startswith(prefix):
            first, slash, _ = name[len(prefix) :].partition(b"/")
            text = first.decode("utf-8", "surrogateescape")
            if not _is_left_behind(text):
                (folders if slash else files).append(text)
            # "0" comes right after "/": on to what is not in this folder
            index = bisect_left(records, prefix + first + b"0", index) if slash else index + 1
        return sorted(folders, key=_encoded), files

    def chunks(self, name: str) -> Iterator[bytes]:
        return self.archive.chunks(_encoded(name))
