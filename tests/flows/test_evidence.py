"""What is laid before the gates, as far as it takes no model. Seconds: 3."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows import evidence


def zipped(name: str) -> bytes:
    """As torch.save writes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, pickle.dumps([1]))
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("model.bin", pickle.dumps([1], protocol=2), True),
        ("model.bin", pickle.dumps([1], protocol=5), True),
        ("model.pkl", pickle.dumps([1], protocol=0), True),
        ("model.pt", zipped("archive/data.pkl"), True),
        ("model.joblib", b"compressed", True),
        ("model.safetensors", b"\x80\x00\x00\x00", False),
        ("code.zip", zipped("code.py"), False),
        ("MLmodel", b"flavors: {}", False),
        ("empty", b"", False),
    ],
)
def test_a_pickle_is_known_by_what_it_begins_with_or_by_its_name(
    tmp_path: Path, name: str, content: bytes, found: bool
):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_bytes(content)
    assert evidence.pickles(tmp_path) == ((f"data/{name}",) if found else ())


def test_where_a_face_comes_from_is_an_attribute_like_any_other(tmp_path: Path):
    rows = [
        {"id": "a", "split": "test", "subject": "ada", "source": "kdef", "attributes": json.dumps({"glasses": "no"})},
        {"id": "b", "split": "test", "subject": "", "source": "own", "attributes": json.dumps({"source": "lab 3"})},
        {"id": "c", "split": "train", "subject": "", "source": "own", "attributes": "{}"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "faces.parquet")
    assert evidence.read_faces(tmp_path / "faces.parquet") == {
        "a": ("ada", {"source": "kdef", "glasses": "no"}),
        "b": ("", {"source": "lab 3"}),
    }
