"""Trees: a folder and a zip of it hold the same files in the same order; what cannot be read says why."""

import os
from pathlib import Path

import pytest

from components.data import tree as trees
from components.data.archive import UnreadableError, write_archive
from components.data.tree import open_tree
from components.records import DataError

FILES = ["b/x.txt", "a/c/z.txt", "a/b.txt", "a-b/y.txt", "a.txt", "é/ü.txt", "a/c.txt"]


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in [*FILES, ".hidden/x", "__MACOSX/a.txt", "a/.DS_Store", "a/Thumbs.db"]:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}\n")
    return tmp_path / "tree"


@pytest.fixture
def both(folder) -> list[trees.Tree]:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    write_archive(folder.with_suffix(".zip"), ((name.encode(), [(folder / name).read_bytes()]) for name in names))
    return [open_tree(folder), open_tree(folder.with_suffix(".zip"))]


def test_both_give_the_same_files_in_the_same_order_without_what_systems_leave(both):
    expected = ["a.txt", "a/b.txt", "a/c.txt", "a/c/z.txt", "a-b/y.txt", "b/x.txt", "é/ü.txt"]
    for tree in both:
        assert list(tree.walk()) == expected
        assert tree.entries("a") == (["c"], ["b.txt", "c.txt"])
        assert tree.entries("")[0] == ["a", "a-b", "b", "é"]
        assert list(tree.walk("a")) == expected[1:4]
        assert tree.read("a/c/z.txt") == b"content of a/c/z.txt\n"


def test_lines_end_as_systems_end_them(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"\xef\xbb\xbfone\r\n\ntwo\nthr\xffee")
    assert list(open_tree(tmp_path).lines("t.txt")) == ["one", "", "two", "thr\udcffee"]


def test_lines_longer_than_a_piece_are_whole(tmp_path):
    line = "x" * 200_000
    (tmp_path / "t.txt").write_text(f"{line}\n{line}")
    assert list(open_tree(tmp_path).lines("t.txt")) == [line, line]


def test_a_file_that_is_not_there_is_told(both):
    for tree in both:
        for name in ("no.txt", "a", "a\0b"):
            with pytest.raises(UnreadableError):
                tree.read(name)
        with pytest.raises(DataError, match=r"^[^\n]*: no.txt: no such file$"):
            list(tree.lines("no.txt"))


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("nowhere", "no such file"),
        ("circle.txt", "cannot be read (Too many levels of symbolic links)"),
        ("/proc/self/mem", "cannot be read (Input/output error)"),
    ],
)
def test_a_file_that_cannot_be_read_is_listed_and_says_why(folder, target, reason):
    (folder / "circle.txt").symlink_to(target)
    tree = open_tree(folder)
    assert "circle.txt" in tree.entries("")[1]
    with pytest.raises(UnreadableError) as caught:
        tree.read("circle.txt")
    assert str(caught.value) == reason


def test_a_pipe_is_told_and_not_waited_for(folder):
    os.mkfifo(folder / "pipe.txt")
    with pytest.raises(UnreadableError, match=r"^not a regular file$"):
        open_tree(folder).read("pipe.txt")


def test_a_link_to_a_file_is_followed_and_one_to_a_folder_refused(folder):
    (folder / "link.txt").symlink_to(folder / "a.txt")
    assert open_tree(folder).read("link.txt") == b"content of a.txt\n"
    (folder / "b" / "up").symlink_to(folder)
    with pytest.raises(DataError, match=r"^[^\n]*: b/up is a link to a folder: allowed are files and folders$"):
        list(open_tree(folder).walk())


def test_a_file_above_the_limit_is_told(both, monkeypatch):
    monkeypatch.setattr(trees, "FILE_BYTES", 10)
    for tree in both:
        with pytest.raises(UnreadableError, match=r"^over 0 MiB: allowed are smaller files$"):
            tree.read("a.txt")


def test_names_that_are_not_utf_8_are_the_same_in_both(tmp_path):
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    write_archive(tmp_path / "z", [(b"caf\xe9.txt", [b"x"])])
    for tree in (open_tree(folder), open_tree(tmp_path / "z")):
        assert list(tree.walk()) == ["caf\udce9.txt"]
        assert tree.read("caf\udce9.txt") == b"x"


def test_what_is_neither_a_folder_nor_a_zip_is_refused(tmp_path):
    (tmp_path / "t").write_text("text")
    for name, reason in (("t", "not a zip"), ("nowhere", "No such file")):
        with pytest.raises(DataError, match=rf"^{tmp_path}/{name}: [^\n]*{reason}"):
            open_tree(tmp_path / name)
