"""Decision 11: no pickle in outputs, checkpoints, registered models or Prefect's results."""

import json
import pickletools
import subprocess
import zipfile
from pathlib import Path

import pytest
from clones import REPOSITORY, Clone


def is_pickle(path: Path) -> bool:
    content = path.read_bytes()
    if zipfile.is_zipfile(path):  # torch.save makes zips of pickles
        return any(name.endswith(".pkl") for name in zipfile.ZipFile(path).namelist())
    if not content.endswith(b"."):
        return False
    try:
        list(pickletools.genops(content))
    except Exception:  # whatever it is, it is no pickle
        return False
    return True


def test_the_detector_knows_a_pickle(tmp_path: Path):
    import pickle

    import torch

    (tmp_path / "a").write_bytes(pickle.dumps({"a": 1}))
    torch.save({"a": 1}, tmp_path / "b")
    (tmp_path / "c").write_text("a sentence.")
    assert [is_pickle(tmp_path / name) for name in "abc"] == [True, True, False]


@pytest.mark.parametrize("folder", ["runs", "state", "mlartifacts"])
def test_no_file_that_is_kept_is_a_pickle(finished: tuple[Clone, dict], folder: str):
    files = [path for path in (finished[0].path / folder).rglob("*") if path.is_file()]
    assert len(files) >= 7
    assert not [path for path in files if is_pickle(path)]


def test_prefects_results_are_json(finished: tuple[Clone, dict]):
    clone, answer = finished
    results = [path for path in (Path(clone.environment["PREFECT_HOME"]) / "storage").rglob("*") if path.is_file()]
    records = [json.loads(path.read_text()) for path in results]
    assert {record["metadata"]["serializer"]["type"] for record in records if "metadata" in record} == {"json"}
    assert any(record.get("version") == answer["version"] for record in records)


def test_no_line_of_ours_loads_one():
    words = ["torch.load", " torch.save", "import pickle", "cloudpickle", "import joblib"]
    command = ["git", "grep", "-nF", *(part for word in words for part in ("-e", word)), "--", "components", "flows"]
    assert subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True).stdout == ""
