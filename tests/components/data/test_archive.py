"""Zips: read as the standard library reads them, written so that it can, refused where they are not to be trusted."""

import io
import random
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.data import archive
from components.data.archive import UnreadableError, read_archive, write_archive
from components.records import DataError

parts = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0:"), min_size=1, max_size=8).filter(
    lambda part: part not in (".", "..")
)
names = st.lists(parts, min_size=1, max_size=3).map("/".join)
contents = st.dictionaries(names, st.binary(max_size=200) | st.just(bytes(200_000)), max_size=6)


def content(path: Path, name: str) -> bytes:
    return b"".join(read_archive(path).chunks(name.encode()))


def complaint(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_archive(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("archive") / "z.zip"


@settings(deadline=None, max_examples=100)
@given(contents, st.booleans(), st.binary(max_size=30), st.binary(max_size=30))
@example({"a": b"x"}, False, b"", b"PK\5\6")
@example({"a": b"x"}, False, b"PK\5\6", b"PK\5\6" + bytes(30))
def test_what_the_standard_library_packs_is_read(scratch, files, deflated, before, comment):
    with io.BytesIO() as stream:
        stream.write(before)  # as self-extracting archives begin
        with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as packed:
            packed.comment = comment
            for name, data in files.items():
                packed.writestr(name, data)
        scratch.write_bytes(stream.getvalue())
    there = read_archive(scratch)
    assert list(there.names()) == sorted(name.encode() for name in files)
    assert {name: b"".join(there.chunks(name.encode())) for name in files} == files


@settings(deadline=None, max_examples=100)
@given(contents)
def test_what_is_written_is_read_by_the_standard_library(scratch, files):
    write_archive(scratch, ((name.encode(), [data[:50], data[50:]]) for name, data in files.items()))
    with zipfile.ZipFile(scratch) as packed:
        assert packed.testzip() is None
        assert {name: packed.read(name) for name in packed.namelist()} == files
        assert all(stat.S_ISREG(info.external_attr >> 16) for info in packed.infolist())
    first = scratch.read_bytes()
    write_archive(scratch, ((name.encode(), [data]) for name, data in files.items()))
    assert scratch.read_bytes() == first


def test_more_members_than_a_plain_zip_can_hold(tmp_path):
    """65,600 members need Zip64; about a second."""
    write_archive(tmp_path / "z", ((b"%d" % number, [b"x"]) for number in range(65_600)))
    there = read_archive(tmp_path / "z")
    assert len(there.records) == 65_600
    assert b"".join(there.chunks(b"65599")) == b"x"
    with zipfile.ZipFile(tmp_path / "z") as packed:
        assert len(packed.namelist()) == 65_600


def test_sizes_and_places_beyond_32_bits_are_read(tmp_path):
    """A file with a hole of 5 GiB before the zip takes no room on disk."""
    hole = 5 << 30
    with (tmp_path / "z").open("wb") as stream:
        stream.truncate(hole)
        stream.seek(hole)
        with zipfile.ZipFile(stream, "w") as packed, packed.open("big.txt", "w", force_zip64=True) as member:
            member.write(b"far away")
    assert content(tmp_path / "z", "big.txt") == b"far away"


@pytest.mark.parametrize(
    "name", ["../up.png", "a/../../up.png", "/etc/passwd", "C:/up.png", "..\\up.png", "\\up.png", "C:\\up.png"]
)
def test_a_name_that_leads_out_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "z", "w") as packed:
        packed.writestr("good.png", b"x")
        packed.writestr(name, b"x")
    assert complaint(tmp_path / "z").endswith("leads out of the archive: allowed are names inside it")


def test_a_symbolic_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "z", "w") as packed:
        packed.writestr(link, "/etc/passwd")
    assert complaint(tmp_path / "z") == "link.png is a symbolic link: allowed are files and folders"


@pytest.mark.parametrize("second", ["a/b.png", "a//b.png", "./a/b.png"])
def test_two_members_of_one_name_are_refused(tmp_path, second):
    with zipfile.ZipFile(tmp_path / "z", "w") as packed:
        packed.writestr("a/b.png", b"one")
        packed.NameToInfo.clear()  # the standard library warns of it
        packed.writestr(second, b"two")
    assert complaint(tmp_path / "z") == "two members are named a/b.png: allowed is one"


def test_members_that_share_bytes_are_refused(tmp_path):
    """The bomb of Fifield (2019): many entries of the directory name one member."""
    with zipfile.ZipFile(tmp_path / "z", "w") as packed:
        packed.writestr("a", random.Random(1).randbytes(5000))
        info = packed.infolist()[0]
        for number in range(1, 4):
            twin = zipfile.ZipInfo(f"{number}")
            twin.header_offset, twin.file_size, twin.compress_size, twin.CRC = 0, info.file_size, 5000, info.CRC
            packed.filelist.append(twin)
        packed._didModify = True
    assert complaint(tmp_path / "z").startswith("members share bytes, as those of a zip bomb do")


def test_a_member_that_unpacks_to_far_too_much_is_a_bomb_and_others_are_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "z", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("bomb", bytes(archive.BOMB_BYTES + 1))
        packed.writestr("large", bytes(archive.BOMB_BYTES))
        packed.writestr("good", b"x")
    with pytest.raises(UnreadableError, match=r"^a bomb: unpacks to over 200 times its packed size$"):
        content(tmp_path / "z", "bomb")
    assert content(tmp_path / "z", "large") == bytes(archive.BOMB_BYTES)
    assert content(tmp_path / "z", "good") == b"x"


def test_a_bomb_that_lies_about_its_size_is_cut_off(tmp_path):
    with zipfile.ZipFile(tmp_path / "z", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("bomb", bytes(30 << 20))
    data = bytearray((tmp_path / "z").read_bytes())
    place = data.rindex(b"PK\1\2") + 24
    data[place : place + 4] = struct.pack("<L", 1000)
    (tmp_path / "z").write_bytes(data)
    given: list[bytes] = []
    with pytest.raises(UnreadableError, match=r"^damaged in the archive \(size or checksum\)$"):
        given.extend(read_archive(tmp_path / "z").chunks(b"bomb"))
    assert sum(map(len, given)) <= 1000


@pytest.mark.parametrize("flags", [1 << 0, 1 << 5, 1 << 6, 1 << 13])
def test_an_encrypted_member_is_told(tmp_path, flags):
    write_archive(tmp_path / "z", [(b"a", [b"x"])])
    data = bytearray((tmp_path / "z").read_bytes())
    place = data.rindex(b"PK\1\2") + 8
    data[place : place + 2] = struct.pack("<H", flags)
    (tmp_path / "z").write_bytes(data)
    with pytest.raises(UnreadableError, match=r"^encrypted in the archive$"):
        content(tmp_path / "z", "a")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_packed_otherwise_is_told(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "z", "w", method) as packed:
        packed.writestr("a", b"x")
    with pytest.raises(UnreadableError, match=rf"^packed by method {method}: allowed are 0 "):
        content(tmp_path / "z", "a")


def test_a_member_that_is_not_there_is_told(tmp_path):
    write_archive(tmp_path / "z", [(b"ab", [b"x"])])
    for name in ("a", "abc", "b"):
        with pytest.raises(UnreadableError, match=r"^no such file$"):
            content(tmp_path / "z", name)


@pytest.mark.parametrize("kept", [0, 10, 60, 0.5, 0.99])
def test_a_zip_cut_short_is_refused(tmp_path, kept):
    write_archive(tmp_path / "z", ((b"%d" % number, [b"x" * 100]) for number in range(20)))
    data = (tmp_path / "z").read_bytes()
    (tmp_path / "z").write_bytes(data[: int(kept if kept >= 1 else kept * len(data))])
    assert "zip" in complaint(tmp_path / "z")


def test_flipped_bits_are_noticed_or_harmless(tmp_path):
    """Every byte of a small zip, one bit each: the contents, or an error of ours; never other contents."""
    files = {b"a.txt": b"hello " * 20, b"b/c.txt": b"there"}
    with zipfile.ZipFile(tmp_path / "z", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name.decode(), data)
    whole = (tmp_path / "z").read_bytes()
    outcomes: list[bool | None] = []
    lines: list[str] = []
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << random.Random(place).randrange(8)
        (tmp_path / "z").write_bytes(damaged)
        try:
            there = read_archive(tmp_path / "z")
            found = {name: b"".join(there.chunks(name)) for name in there.names()}
            assert set(found.values()) <= set(files.values())
            outcomes.append(found == files)
        except (DataError, UnreadableError) as error:
            lines.append(str(error))
            outcomes.append(None)
    assert not [line for line in lines if "\n" in line]
    assert outcomes.count(None) > 100
    assert outcomes.count(True) > 20


def test_names_that_cannot_be_shown_are_escaped():
    assert archive.escaped(b"caf\xe9\n\x1b[1m.png") == r"caf\xe9\n\x1b[1m.png"
    assert archive.escaped("caf\udce9.png") == r"caf\xe9.png"
    assert archive.escaped("café.png") == "café.png"
    assert len(archive.escaped("a" * 70_000)) < 210


def test_a_name_that_is_not_utf_8_is_kept_byte_for_byte(tmp_path):
    write_archive(tmp_path / "z", [(b"caf\xe9.png", [b"x"]), ("café.png".encode(), [b"y"])])
    there = read_archive(tmp_path / "z")
    assert list(there.names()) == ["café.png".encode(), b"caf\xe9.png"]
    assert b"".join(there.chunks(b"caf\xe9.png")) == b"x"
