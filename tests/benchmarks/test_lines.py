"""The lines of a comparison on disk: each whole and there once, whoever writes beside it or ends in the middle."""

import fcntl
import json
import resource
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from benchmarks import accuracy
from benchmarks.comparison import methods, runs
from benchmarks.comparison.jobs import Arena, Job

PARAMS = Path(__file__).resolve().parents[2] / "params" / "demo.yaml"


@pytest.fixture
def job(tmp_path) -> Job:
    """A run that nobody trains."""
    content = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    return Arena("few", content, "valid", tmp_path / "data" / "none", tmp_path).job(methods.chosen("plain")[0], 1, 3)


def judge(job: Job) -> None:
    """What a run leaves for its line, without the run."""
    job.judgement.mkdir(parents=True, exist_ok=True)
    line = {"digest": job.digest, "split": job.arena.split, "method": job.method.name, "seed": job.seed, "trial": None}
    (job.judgement / "line.json").write_text(json.dumps(line) + "\n")


def test_a_run_that_two_comparisons_wanted_has_one_line(job, tmp_path, monkeypatch):
    """Both began before it had one: the second found it trained, while the first wrote its line."""
    out = tmp_path / "lines.jsonl"

    def execute(job: Job) -> None:
        judge(job)
        runs.collect(job, out)  # the first

    monkeypatch.setattr(runs, "execute", execute)
    assert runs.run([job], out, workers=1) == []
    assert [line["digest"] for line in runs.lines(out)] == [job.digest]


def test_who_writes_a_line_waits_for_whoever_writes_one(job, tmp_path, monkeypatch):
    out, lock, asked = tmp_path / "lines.jsonl", fcntl.flock, threading.Event()
    judge(job)

    def flock(stream: object, how: int) -> None:
        asked.set()
        lock(stream, how)

    with ThreadPoolExecutor(1) as pool, out.open("a") as stream:
        lock(stream, fcntl.LOCK_EX)
        monkeypatch.setattr(fcntl, "flock", flock)
        other = pool.submit(runs.collect, job, out)
        assert asked.wait(60)
        stream.write((job.judgement / "line.json").read_text())
        stream.close()  # and lets go
        other.result()
    assert len(runs.lines(out)) == 1


def test_the_same_run_judged_on_the_other_split_has_a_line_of_its_own(job, tmp_path):
    out = tmp_path / "lines.jsonl"
    for split in ("valid", "test", "valid"):
        one = replace(job, arena=replace(job.arena, split=split))
        judge(one)
        runs.collect(one, out)
    assert [line["split"] for line in runs.lines(out)] == ["valid", "test"]


@pytest.mark.parametrize(
    ("there", "says"),
    [
        ('{"digest": "a", "split": "valid"}\n{"digest": "b", "sp', "line 2 is unfinished, as a kill or a full disk"),
        ('{"digest": "a", "sp\n{"digest": "b", "split": "valid"}\n', "line 1 is no JSON of a run"),
        ("12\n", "line 1 is no JSON of a run"),
    ],
)
def test_a_line_that_is_none_is_named_with_its_file_and_what_to_do(there, says, tmp_path, capsys):
    out = tmp_path / "lines.jsonl"
    out.write_text(there)
    assert accuracy.main(["--root", str(tmp_path), "--out", str(out), "--report"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{out}: {says}")
    assert said.endswith(": remove it: a run that was trained under --root is not trained again\n")


def test_a_line_begins_afresh_after_half_a_line_and_nothing_of_either_is_lost(job, tmp_path):
    out = tmp_path / "lines.jsonl"
    half = '{"digest": "b", "sp'
    out.write_text(half)
    judge(job)
    runs.collect(job, out)
    assert out.read_text() == f"{half}\n{(job.judgement / 'line.json').read_text()}"


@contextmanager
def disk_full_at(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes, as on a full disk: what still fits is written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full_takes_no_half_of_a_line_and_that_is_one_line(job, tmp_path, monkeypatch):
    out, first = (
        tmp_path / "lines.jsonl",
        '{"digest": "a", "split": "valid", "method": "poster", "seed": 1, "trial": 0}\n',
    )
    out.write_text(first)
    judge(job)
    monkeypatch.setattr(runs, "execute", lambda job: None)
    with disk_full_at(len(first) + 20):
        (failure,) = runs.run([job], out, workers=1)
    assert failure.startswith("plain seed 1: [Errno ")
    assert out.read_text() == first
