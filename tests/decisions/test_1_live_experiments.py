"""Decision 1: only what has its data here is in the graph."""

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from clones import Clone
from PIL import Image


def ferplus_zip(path: Path, folders: tuple[str, ...], faces: int = 40) -> Path:
    """A zip in the official layout, with noise for faces."""
    random = np.random.default_rng(1)
    with zipfile.ZipFile(path, "w") as archive:
        for folder in folders:
            rows = io.StringIO()
            for number in range(faces):
                name = f"fer{number:07d}.png"
                stream = io.BytesIO()
                Image.fromarray(random.integers(0, 256, (48, 48), dtype=np.uint8)).save(stream, "PNG")
                archive.writestr(f"data/{folder}/{name}", stream.getvalue())
                votes = [0] * 10
                votes[number % 8] = 10
                csv.writer(rows).writerow([name, "(0, 0, 48, 48)", *votes])
            archive.writestr(f"data/{folder}/label.csv", rows.getvalue())
    return path


def targets(clone: Clone) -> set[str]:
    listed = clone.run("dvc", "stage", "list", "--name-only").stdout.split()
    return {name.partition("@")[2] for name in listed}


def test_a_fresh_clone_has_only_demo_in_its_graph(empty_clone: Clone):
    assert targets(empty_clone) == {"demo"}


def test_the_renderer_is_demos_raw_data(empty_clone: Clone):
    import yaml

    stage = yaml.safe_load((empty_clone.path / "dvc.yaml").read_text())["stages"]["ingest"]
    assert "${item.raw}" in stage["do"]["deps"]
    assert yaml.safe_load((empty_clone.path / "params" / "live.yaml").read_text()) == {
        "live": {"demo": {"raw": "components/data/faces.py"}}
    }


def test_data_that_is_added_makes_live_what_it_can_serve(empty_clone: Clone, tmp_path: Path):
    part = ferplus_zip(tmp_path / "part.zip", ("FER2013Train", "FER2013Valid"))
    added = empty_clone.answer("lldif", "data", "add", "ferplus", str(part), "--json")
    assert added == {"live": ["ferplus-dev", "ferplus-mini"], "waiting": ["ferplus"]}
    assert targets(empty_clone) == {"demo", "ferplus-dev", "ferplus-mini"}
    assert "data/ferplus.zip\n" not in empty_clone.git("status", "--porcelain", "--untracked-files=all")
    assert (empty_clone.path / "data" / "ferplus.zip.dvc").exists()
    whole = ferplus_zip(tmp_path / "whole.zip", ("FER2013Train", "FER2013Valid", "FER2013Test"))
    empty_clone.run("lldif", "data", "add", "ferplus", str(whole))
    assert targets(empty_clone) == {"demo", "ferplus", "ferplus-dev", "ferplus-mini"}
    empty_clone.run("dvc", "repro", "--single-item", "ingest@ferplus-dev")


def test_a_folder_is_packed_and_read_like_the_zip(empty_clone: Clone, tmp_path: Path):
    with zipfile.ZipFile(ferplus_zip(tmp_path / "a.zip", ("FER2013Train", "FER2013Valid"))) as archive:
        archive.extractall(tmp_path / "folder")
    empty_clone.run("lldif", "data", "add", "ferplus", str(tmp_path / "folder"))
    with zipfile.ZipFile(empty_clone.path / "data" / "ferplus.zip") as archive:
        assert {Path(name).parent.name for name in archive.namelist()} == {"FER2013Train", "FER2013Valid"}
    empty_clone.run("dvc", "repro", "--single-item", "ingest@ferplus-dev")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + bytes(18)])
def test_data_in_another_form_changes_nothing(empty_clone: Clone, tmp_path: Path, content: bytes):
    bad = tmp_path / "bad.zip"
    bad.write_bytes(content)
    done = empty_clone.run("lldif", "data", "add", "ferplus", str(bad), code=1)
    assert len(done.stderr.splitlines()) == 1
    assert "bad.zip" in done.stderr
    assert empty_clone.git("status", "--porcelain") == ""
    assert not (empty_clone.path / "data").exists()
