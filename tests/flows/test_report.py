"""The report is one page that a person can read, and says what the outputs say."""

import json
import re
from pathlib import Path

import pytest
from browser import contrast, look
from clones import Clone
from PIL import Image
from pyarrow import parquet

from components.learning import evaluation
from flows import policy, report
from flows.project import Failed
from flows.report import CONTENTS


@pytest.fixture(scope="module")
def page(finished) -> Path:
    return finished[0].path / "reports" / "demo" / "index.html"


def test_a_run_leaves_the_page_and_says_where(finished, page):
    assert finished[1]["report"] == "reports/demo/index.html"
    assert page.exists()


def test_its_pictures_lie_beside_it(page):
    for name in ("exposures", "best", "worst"):
        with Image.open(page.with_name(f"{name}.png")) as picture:
            assert min(picture.size) > 200


def test_it_holds_everything_it_shows(page):
    text = page.read_text()
    assert re.findall(r'(?:src|href)="(?!data:|#)([^"]+)"', text) == ["validation/index.html"]
    assert (page.parent / "validation" / "index.html").exists()
    assert "<script" not in text
    assert "@import" not in text


@pytest.mark.parametrize("dark", [False, True])
def test_a_person_sees_every_part_in_light_and_in_dark(finished, page, tmp_path, dark):
    clone, answer = finished
    seen = look(page, tmp_path, dark=dark)
    headings = [name for name, _ in seen["headings"]]
    assert headings[0] == "demo"
    assert len(headings) == 1 + len(CONTENTS)
    tops = [top for _, top in seen["headings"]]
    assert tops == sorted(tops)
    assert seen["anchors"]
    assert len(seen["images"]) >= 2
    assert all(natural > 300 and shown > 200 for natural, shown in seen["images"])
    assert [name for name, height in seen["charts"] if height > 100] == [
        "Accuracy by exposure", "Risk by coverage", "Recall by class", "Accuracy by attribute",
        "Accuracy on valid by epoch",
    ]  # fmt: skip
    scores = json.loads((clone.path / "runs" / "demo" / "scores.json").read_text())
    for model in ("candidate", "baseline"):
        for value in scores[model]["accuracy"].values():
            assert f"{value:.3f}" in seen["text"] or value == scores[model]["accuracy"].get("mean_dark")
    for words in (
        "negative log-likelihood",
        "Z-hat of another face",
        "gamma",
        "mean dark the mean over exposures 0.2, 0.05.",
        "holds",
        "every label is a class",
        "promoted",
        "lldif run demo",
        "always the commonest class",
    ):
        assert words in seen["text"]
    for gate in answer["gates"]:
        assert gate["why"] in seen["text"]
    for name in ("ink", "quiet"):
        assert contrast(seen[name], seen["paper"]) >= 4.5, name
    assert min(contrast(colour, seen["paper"]) for colour in seen["good"]) >= 4.5
    assert (contrast(seen["paper"], "rgb(0, 0, 0)") < 2) == dark


def test_on_a_phone_nothing_hangs_over_the_edge(page, tmp_path):
    seen = look(page, tmp_path, width=500)
    assert seen["scroll"] <= seen["width"]


def test_the_command_makes_the_same_page_again_without_the_registry(clone: Clone):
    page = clone.path / "reports" / "demo" / "index.html"
    page.unlink()
    assert clone.run("lldif", "report", "demo").stdout == "reports/demo/index.html\n"
    assert "promoted" in page.read_text()
    clone.run("lldif", "report", "demo", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert "does not answer" in page.read_text()


def test_without_outputs_it_is_one_line(empty_clone: Clone):
    done = empty_clone.run("lldif", "report", "demo", code=1)
    assert done.stderr == "lldif: runs/demo/slices.json: missing: 'lldif run demo' or 'dvc pull' brings it\n"
    assert not (empty_clone.path / "reports").exists()


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("predictions.parquet", lambda path: evaluation.read(path, "candidate")),
        ("rejects.parquet", lambda path: parquet.read_table(path, columns=["reason"])),
        ("faces.json", Path.read_text),
    ],
)
def test_whoever_misses_an_output_it_is_one_line(monkeypatch, name, read):
    monkeypatch.setattr(report, "gather", lambda runs, _: read(runs / name))
    with pytest.raises(Failed) as caught:
        report.write(policy.load(), "nowhere")
    assert str(caught.value) == f"runs/nowhere/{name}: missing: 'lldif run nowhere' or 'dvc pull' brings it"
