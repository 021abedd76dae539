"""`lldif data add` for every source: what was given is packed whole, and the experiments it serves become live."""

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from clones import COMMANDS, REPOSITORY, Clone, fresh_clone
from PIL import Image

GIT = {f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
FORM = {"size": 16, "colour": "grey", "max_reject_share": 0.2}
OWN = {"classes": ["calm", "glad"], "valid_share": 0.2, "test_share": 0.2}


@pytest.fixture
def here(tmp_path: Path) -> Clone:
    """A clone in which nothing was run; adding data needs no server."""
    path = f"{COMMANDS}{os.pathsep}{os.environ['PATH']}"
    return fresh_clone(tmp_path / "clone", os.environ | GIT | {"PATH": path})


def picture(seed: int, kind: str = "PNG", shape: tuple[int, ...] = (20, 16, 3)) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(stream, kind)
    return stream.getvalue()


def plant(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def describe(clone: Clone, name: str, ingest: dict[str, Any]) -> None:
    content = yaml.safe_load((REPOSITORY / "params" / "ferplus.yaml").read_text())
    clone.set_params(content | {"ingest": FORM | ingest}, name)


def ingested(clone: Clone, experiment: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The counts of an ingest that DVC ran, and the reason of each reject."""
    clone.run("dvc", "repro", "--single-item", f"ingest@{experiment}")
    folder = clone.path / "runs" / experiment
    rows = pq.read_table(folder / "rejects.parquet").to_pylist()
    return json.loads((folder / "faces.json").read_text()), {row["name"]: row["reason"] for row in rows}


def test_raf_db_and_kdef_are_packed_and_live(here: Clone, tmp_path: Path):
    lines = [f"{split}_{n:05d}.jpg {n % 7 + 1}" for split, count in (("train", 70), ("test", 14)) for n in range(count)]
    files = {f"Image/aligned/{line[:-6]}_aligned.jpg": picture(n, "JPEG") for n, line in enumerate(lines)}
    files |= {
        "EmoLabel/list_patition_label.txt": "\n".join(lines).encode(),
        "Image/aligned/test_00001_aligned.jpg": b"",
    }
    raw = plant(tmp_path / "RAF", files)
    assert here.answer("lldif", "data", "add", "rafdb", str(raw), "--json") == {
        "live": ["paper", "rafdb"],
        "waiting": [],
    }
    with zipfile.ZipFile(here.path / "data" / "rafdb.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files
    here.set_params(
        here.params("rafdb") | {"ingest": here.params("rafdb")["ingest"] | {"max_reject_share": 0.1}}, "rafdb"
    )
    counts, rejects = ingested(here, "rafdb")
    assert (counts["test"], counts["valid"] + counts["train"], counts["rejects"]) == (13, 70, 1)
    assert rejects == {"test_00001.jpg": "empty file: allowed is an image"}
    names = [
        f"A{who}{emotion}S.JPG"
        for who in ("F01", "F02", "M01", "M02")
        for emotion in ["AF", "AN", "DI", "HA", "NE", "SA", "SU"]
    ]
    faces = plant(tmp_path / "KDEF", {f"{name[:4]}/{name}": picture(n, "JPEG") for n, name in enumerate(names)})
    assert here.answer("lldif", "data", "add", "kdef", str(faces), "--json") == {"live": ["kdef"], "waiting": []}
    counts, _ = ingested(here, "kdef")
    assert (counts["test"], counts["valid"], counts["train"]) == (7, 7, 14)
    assert set(here.params("live")["live"]) == {"demo", "kdef", "paper", "rafdb"}


def test_the_two_csvs_of_fer2013_become_the_official_folders(here: Clone, tmp_path: Path):
    faces, names = (
        ["emotion,pixels,Usage"],
        ["Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"],
    )
    usages = ["Training"] * 60 + ["PublicTest"] * 8 + ["PrivateTest"] * 8
    for number, usage in enumerate(usages):
        values = np.random.default_rng(number).integers(0, 256, 48 * 48)
        faces.append(f"0,{' '.join(map(str, values)) if number else '1 2'},{usage}")
        votes = [10 * (emotion == number % 8) for emotion in range(10)]
        names.append(f"{usage},fer{number:07d}.png,{','.join(map(str, votes))}")
    raw = plant(
        tmp_path / "csv", {"fer2013.csv": "\n".join(faces).encode(), "fer2013new.csv": "\n".join(names).encode()}
    )
    added = here.answer("lldif", "data", "add", "ferplus", str(raw), "--json")
    assert added == {"live": ["ferplus-dev", "ferplus-mini", "ferplus"], "waiting": []}
    here.set_params(
        here.params("ferplus") | {"ingest": here.params("ferplus")["ingest"] | {"max_reject_share": 0.1}}, "ferplus"
    )
    counts, rejects = ingested(here, "ferplus")
    assert (counts["train"], counts["valid"], counts["test"]) == (59, 8, 8)
    assert list(rejects) == ["FER2013Train/fer0000000.png"]


def test_data_of_ones_own_serves_the_experiment_that_describes_it(here: Clone, tmp_path: Path):
    ingest = {"source": "folder", "layout": "class", "split_by": "hash", "subject_pattern": ""}
    describe(here, "own", OWN | ingest)
    bad = os.fsdecode(b"calm/caf\xe9.png")
    files = {f"{title}/{n}.png": picture(1000 * ord(title[0]) + n) for title in OWN["classes"] for n in range(30)}
    raw = plant(tmp_path / "mine", files | {bad: picture(1), "glad/broken.png": b"no"})
    assert here.answer("lldif", "data", "add", "folder", "own", str(raw), "--json")["live"] == ["own"]
    counts, rejects = ingested(here, "own")
    assert counts["train"] + counts["valid"] + counts["test"] == 60
    assert set(rejects) == {r"calm/caf\xe9.png", "glad/broken.png"}
    first = (here.path / "data" / "own.zip").read_bytes()
    here.run("lldif", "data", "add", "folder", "own", str(raw))
    assert (here.path / "data" / "own.zip").read_bytes() == first

    describe(
        here,
        "shards",
        OWN | {"source": "parquet", "image_column": "image", "label_column": "label", "subject_column": ""},
    )
    columns = {
        "image": [{"bytes": data, "path": None} for data in files.values()],
        "label": [n // 30 for n in range(60)],
    }
    (tmp_path / "hub" / "data").mkdir(parents=True)
    pq.write_table(pa.table(columns), tmp_path / "hub" / "data" / "train-00000-of-00001.parquet")
    done = here.run("lldif", "data", "add", "parquet", "shards", str(tmp_path / "hub"))
    assert "data/shards is under DVC; live: shards" in done.stdout
    assert (here.path / "data" / "shards.dvc").exists()
    counts, rejects = ingested(here, "shards")
    assert (counts["train"] + counts["valid"] + counts["test"], rejects) == (60, {})


def test_what_cannot_be_taken_is_one_line_and_changes_nothing(here: Clone, tmp_path: Path):
    ingest = {"source": "folder", "layout": "class", "split_by": "hash", "subject_pattern": ""}
    describe(here, "own", OWN | ingest)
    here.git("add", "-A")
    here.git("commit", "-q", "-m", "own")
    good = {f"{title}/{n}.png": picture(n) for title in OWN["classes"] for n in range(3)}
    raw = plant(tmp_path / "mine", good)
    (raw / "calm" / "gone.png").symlink_to("nowhere")
    evil = tmp_path / "evil.zip"
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr("../calm/a.png", picture(1))
    other = plant(tmp_path / "other", {"cross/a.png": picture(1)})
    broken = plant(tmp_path / "broken", {"calm/a.png": b"no"})
    (tmp_path / "empty").mkdir()
    for arguments, words, code in [
        (["folder", "nobody", raw], "params/nobody.yaml: there is no such file: allowed is one with source folder", 2),
        (["folder", "demo", raw], "params/demo.yaml: its source is embedded: allowed is one with source folder", 2),
        (["folder", "own", raw], f"{raw}: calm/gone.png: no such file", 1),
        (["folder", "own", evil], f"{evil}: ../calm/a.png leads out of the archive", 1),
        (["folder", "own", other], f"{other}: folder cross is no class: allowed are calm, glad", 1),
        (["folder", "own", broken], f"{broken}: no labelled face in it", 1),
        (["rafdb", other], f"{other}: 0 files list_patition_label.txt", 1),
        (["kdef", tmp_path / "empty"], f"{tmp_path / 'empty'}: no labelled face in it", 1),
    ]:
        done = here.run("lldif", "data", "add", *map(str, arguments), code=code)
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert words in done.stderr
    assert here.git("status", "--porcelain") == ""
    assert not (here.path / "data").exists()
