"""Zip archives, read and written with little memory.

The standard library keeps an object of over 600 bytes for each member and cannot write a name that is not UTF-8. Here
a member costs its name and about 70 bytes. Format: PKWARE APPNOTE 6.3.10, with Zip64; members stored or deflated.
"""

import itertools
import stat
import struct
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from components.records import DataError

END = struct.Struct("<4s4H2LH")
LOCATOR_64 = struct.Struct("<4sLQL")
END_64 = struct.Struct("<4sQ2H2L4Q")
ENTRY = struct.Struct("<4s6H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")
PLACE = struct.Struct("<3QL2H")  # of a member: header offset, packed bytes, bytes, checksum, method, flags
STORED, DEFLATED = 0, 8
SEALED = 1 << 0 | 1 << 5 | 1 << 6 | 1 << 13  # flags: encrypted, patched, strongly encrypted, masked
UTF_8 = 1 << 11
MANY, LARGE = 0xFFFF, 0xFFFFFFFF  # stand for "see Zip64"
CHUNK = 1 << 16
BOMB_BYTES, BOMB_RATIO = 1 << 24, 200  # what unpacks to more, and to over so many times its packed size, is a bomb


class UnreadableError(ValueError):
    """One file cannot be read; the message is the reason."""


@dataclass(frozen=True)
class Archive:
    """The directory of a zip. A record is the member's name, a zero byte, and its place; records are sorted."""

    path: Path
    records: list[bytes]

    def names(self, prefix: bytes = b"") -> Iterator[bytes]:
        """Names of files that begin with `prefix`, sorted."""
        for index in range(bisect_left(self.records, prefix), len(self.records)):
            name = name_of(self.records[index])
            if not name.startswith(prefix):
                return
            yield name

    def chunks(self, name: bytes) -> Iterator[bytes]:
        """The unpacked bytes of a member, in pieces. Raises UnreadableError; so pieces count once all were given."""
        index = bisect_left(self.records, name + b"\0")
        if index == len(self.records) or name_of(self.records[index]) != name:
            raise UnreadableError("no such file")
        offset, packed, size, checksum, method, flags = PLACE.unpack(self.records[index][-PLACE.size :])
        if flags & SEALED:
            raise UnreadableError("encrypted in the archive")
        if method not in (STORED, DEFLATED):
            raise UnreadableError(f"packed by method {method}: allowed are 0 (stored) and 8 (deflated)")
        if size > BOMB_BYTES and size > BOMB_RATIO * packed:
            raise UnreadableError(f"a bomb: unpacks to over {BOMB_RATIO} times its packed size")
        unpack = zlib.decompressobj(-zlib.MAX_WBITS) if method == DEFLATED else None
        found, summed = 0, 0
        try:
            with self.path.open("rb", buffering=0) as stream:
                _seek_content(stream, offset, name)
                for piece in _unpacked(stream, packed, unpack):
                    found, summed = found + len(piece), zlib.crc32(piece, summed)
                    if found > size:
                        break
                    yield piece
        except (zlib.error, OSError) as error:
            raise UnreadableError(f"damaged in the archive ({error})") from None
        if found != size or summed != checksum:
            raise UnreadableError("damaged in the archive (size or checksum)")


def name_of(record: bytes) -> bytes:
    return record[: -PLACE.size - 1]


def _seek_content(stream: BinaryIO, offset: int, name: bytes) -> None:
    stream.seek(offset)
    header = stream.read(LOCAL.size)
    if len(header) < LOCAL.size or header[:4] != b"PK\3\4":
        raise UnreadableError("damaged in the archive (no header)")
    name_bytes, extra_bytes = LOCAL.unpack(header)[-2:]
    if plain(stream.read(name_bytes)) != name:
        raise UnreadableError("damaged in the archive (another name)")
    stream.seek(extra_bytes, 1)


def _unpacked(stream: BinaryIO, packed: int, unpack: "zlib._Decompress | None") -> Iterator[bytes]:
    """Pieces of at most CHUNK bytes: a small piece of a bomb must not unpack to a large one."""
    while packed:
        piece = stream.read(min(packed, CHUNK))
        if not piece:
            return
        packed -= len(piece)
        if unpack is None:
            yield piece
            continue
        while piece:
            yield unpack.decompress(piece, CHUNK)
            piece = unpack.unconsumed_tail
    if unpack is not None:
        yield unpack.flush()


def read_archive(path: Path) -> Archive:
    """The directory of a zip.

    Raises DataError where `path` is not a whole zip, where a name leads out of it (absolute, `..`), where a member is
    a symbolic link, where two members have one name or share bytes.
    """
    try:
        with path.open("rb") as stream:
            length = stream.seek(0, 2)
            start, count, shift = _directory(stream, length)
            stream.seek(start)
            records = sorted(_records(stream, count, shift))
    except (OSError, struct.error) as error:
        raise DataError(f"{path}: not a readable zip ({getattr(error, 'strerror', None) or error})") from None
    except UnreadableError as error:
        raise DataError(f"{path}: {error}") from None
    for one, other in itertools.pairwise(records):
        if name_of(one) == name_of(other):
            raise DataError(f"{path}: two members are named {escaped(name_of(one))}: allowed is one")
    if sum(LOCAL.size + PLACE.unpack(record[-PLACE.size :])[1] for record in records) > length:
        raise DataError(f"{path}: members share bytes, as those of a zip bomb do: allowed are bytes of their own")
    return Archive(path, records)


def _directory(stream: BinaryIO, length: int) -> tuple[int, int, int]:
    """Where the directory begins, how many entries it has, and how many bytes stand before the zip."""
    tail_bytes = min(length, END.size + MANY)
    stream.seek(length - tail_bytes)
    tail = stream.read(tail_bytes)
    place = tail.rfind(b"PK\5\6")
    # a comment may hold anything, even this signature: the true one is followed by a comment of the length it tells
    while place >= 0 and not _is_end(tail[place:]):
        place = tail.rfind(b"PK\5\6", 0, place)
    if place < 0:
        raise UnreadableError("not a zip: allowed is a whole zip or a folder")
    _, _, _, _, count, size, offset, _ = END.unpack_from(tail, place)
    end = length - tail_bytes + place
    if place >= LOCATOR_64.size and tail[place - LOCATOR_64.size :].startswith(b"PK\6\7"):
        end -= LOCATOR_64.size + END_64.size
        stream.seek(max(end, 0))
        signature, *_, count, size, offset = END_64.unpack(stream.read(END_64.size))
        if signature != b"PK\6\6":
            raise UnreadableError("not a readable zip (Zip64 end)")
    if end - size - offset < 0 or count * ENTRY.size > size:
        raise UnreadableError("not a readable zip (directory)")
    return end - size, count, end - size - offset


def _is_end(tail: bytes) -> bool:
    return len(tail) >= END.size and END.unpack_from(tail)[-1] == len(tail) - END.size


def _records(stream: BinaryIO, count: int, shift: int) -> Iterator[bytes]:
    for _ in range(count):
        entry = ENTRY.unpack(stream.read(ENTRY.size))
        signature, _, _, flags, method, _, _, checksum, packed, size = entry[:10]
        name_bytes, extra_bytes, comment_bytes, _, _, attributes, offset = entry[10:]
        name, extra = stream.read(name_bytes), stream.read(extra_bytes)
        if signature != b"PK\1\2" or len(name) < name_bytes or len(extra) < extra_bytes:
            raise UnreadableError("not a readable zip (directory)")
        stream.seek(comment_bytes, 1)
        size, packed, offset = _zip64(extra, [size, packed, offset])
        if stat.S_ISLNK(attributes >> 16):
            raise UnreadableError(f"{escaped(name)} is a symbolic link: allowed are files and folders")
        if leads_out(name):
            raise UnreadableError(f"{escaped(name)} leads out of the archive: allowed are names inside it")
        if not name.endswith(b"/") and plain(name):
            yield plain(name) + b"\0" + PLACE.pack(offset + shift, packed, size, checksum, method, flags)


def _zip64(extra: bytes, values: list[int]) -> list[int]:
    """Values of 32 bits that are too large to be so stand in an extra field, in this order."""
    large: list[int] = []
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            large = [value for (value,) in struct.iter_unpack("<Q", extra[4 : 4 + length // 8 * 8])]
        extra = extra[4 + length :]
    wanted = iter(large)
    found = [next(wanted, None) if value == LARGE else value for value in values]
    if None in found or max(value for value in found if value is not None) >= 1 << 63:
        raise UnreadableError("not a readable zip (Zip64 sizes)")
    return [value for value in found if value is not None]


def leads_out(name: bytes) -> bool:
    parts = name.replace(b"\\", b"/").split(b"/")
    return not name or b"\0" in name or parts[0] == b"" or parts[0].endswith(b":") or b".." in parts


def plain(name: bytes) -> bytes:
    """The name without parts that mean nothing, as in ./a//b."""
    return b"/".join(part for part in name.split(b"/") if part not in (b"", b"."))


def escaped(name: bytes | str) -> str:
    """A name that can be shown in one line."""
    data = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
    text = data.decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= 200 else f"{text[:200]}..."


def write_archive(path: Path, members: Iterable[tuple[bytes, Iterable[bytes]]]) -> None:
    """A zip of (name, pieces of content), stored: the same bytes for the same members. Raises OSError."""
    directory = bytearray()
    count = 0
    with path.open("wb") as stream:
        for name, pieces in members:
            directory += _add(stream, name, pieces)
            count += 1
        start = stream.tell()
        stream.write(directory)
        large = count >= MANY or start + len(directory) >= LARGE
        if large:
            values = (45, 45, 0, 0, count, count, len(directory), start)
            stream.write(END_64.pack(b"PK\6\6", END_64.size - 12, *values))
            stream.write(LOCATOR_64.pack(b"PK\6\7", 0, start + len(directory), 1))
        short, size, offset = min(count, MANY), min(len(directory), LARGE), min(start, LARGE)
        stream.write(END.pack(b"PK\5\6", 0, 0, short, short, size, offset, 0))


def _add(stream: BinaryIO, name: bytes, pieces: Iterable[bytes]) -> bytes:
    """Write one member; return its entry in the directory."""
    flags, date = UTF_8 * (not name.isascii() and is_utf8(name)), 1 << 5 | 1  # 1980-01-01, the zero of zips
    start = stream.tell()
    stream.write(bytes(LOCAL.size) + name)
    size = checksum = 0
    for piece in pieces:
        stream.write(piece)
        size, checksum = size + len(piece), zlib.crc32(piece, checksum)
    end = stream.tell()
    if size >= LARGE:
        raise OSError(f"{escaped(name)}: over 4 GiB: allowed are smaller files")
    middle = (flags, STORED, 0, date, checksum, size, size, len(name))
    stream.seek(start)
    stream.write(LOCAL.pack(b"PK\3\4", 20, *middle, 0))
    stream.seek(end)
    extra = struct.pack("<2HQ", 1, 8, start) if start >= LARGE else b""
    unix, attributes = 3 << 8 | 45, (stat.S_IFREG | 0o644) << 16
    entry = ENTRY.pack(b"PK\1\2", unix, 45, *middle, len(extra), 0, 0, 0, attributes, min(start, LARGE))
    return entry + name + extra


def is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
