"""What is laid before the gates, as far as it takes no model. Seconds: 3."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.records import file_sha256
from flows import evidence
from flows.evidence import DoesNotLoad, Scorer
from flows.policy import load
from flows.project import Failed
from flows.tracking import Version


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


MUCH = "import sys; sys.stderr.write('a warning\\n' * 100_000); sys.stderr.flush()"


@pytest.fixture
def scorer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Scorer]]:
    """Starts a process that runs the given lines in the place of flows/scoring.py."""
    started = []
    (tmp_path / "flows").mkdir()
    monkeypatch.setattr(evidence, "ROOT", tmp_path)

    def start(code: str) -> Scorer:
        (tmp_path / "flows" / "scoring.py").write_text(code)
        started.append(Scorer(Version("lldif-demo", 3, (), {}), load(), tmp_path))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_a_model_that_warns_without_end_is_not_waited_for_without_end(scorer: Callable[[str], Scorer], tmp_path: Path):
    process = scorer(f"{MUCH}; print('{{}}', flush=True); input(); {MUCH}; print('{{\"rows\": 1}}', flush=True)")
    process.load(tmp_path)
    assert process.ask(predict="a table") == {"rows": 1}


def test_what_a_process_said_last_is_why_its_model_does_not_load(scorer: Callable[[str], Scorer], tmp_path: Path):
    with pytest.raises(DoesNotLoad, match="lldif-demo version 3 does not load: ValueError: no weights"):
        scorer("raise ValueError('no weights')").load(tmp_path)
    with pytest.raises(DoesNotLoad, match="version 3 does not load: no word"):
        scorer("").load(tmp_path)


def test_a_process_that_died_before_it_was_asked_is_one_line(scorer: Callable[[str], Scorer], tmp_path: Path):
    process = scorer("print('{}', flush=True); raise MemoryError('no room for faces')")
    process.load(tmp_path)
    process.process.wait()
    with pytest.raises(Failed, match="lldif-demo version 3 does not answer: MemoryError: no room for faces"):
        process.ask(predict="a table")


def test_a_model_whose_weights_are_not_those_that_were_registered_does_not_load(
    scorer: Callable[[str], Scorer], tmp_path: Path
):
    """The ledger names the weights that were judged; whoever put others in their place would make it lie."""
    weights = tmp_path / "artifacts" / "lldif.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"registered")
    process = scorer("print('{}', flush=True); print('{}', flush=True)")
    process.version = replace(process.version, tags={"weights_sha256": file_sha256(weights)})
    process.load(tmp_path)
    weights.write_bytes(b"others")
    with pytest.raises(DoesNotLoad, match="version 3 does not load: its weights are not those that were registered"):
        process.load(tmp_path)
