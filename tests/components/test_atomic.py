"""Files appear whole or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from components.atomic import replacing, write_text


def test_a_text_is_written_whole_in_a_new_folder(tmp_path):
    path = tmp_path / "new" / "folder" / "text.json"
    write_text(path, "Wörter\n")
    assert path.read_text(encoding="utf-8") == "Wörter\n"
    assert list(path.parent.iterdir()) == [path]


def test_while_it_is_written_the_old_content_stands(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_content_and_no_temporary_file(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_that_dies_while_writing_leaves_the_old_content(tmp_path, repository):
    path = tmp_path / "file"
    path.write_text("old")
    program = (
        "import os, pathlib, sys\nfrom components.atomic import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1])) as temporary:\n    temporary.write_text('half')\n    os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=repository, check=False)
    assert done.returncode == 9
    assert path.read_text() == "old"


def test_the_temporary_file_lies_beside_the_target(tmp_path):
    """So that taking the name is a rename within one file system."""
    with replacing(tmp_path / "file") as temporary:
        temporary.touch()
        assert temporary.parent == Path(tmp_path)
