"""Great Expectations stops a poisoned table, naming the expectation and how many rows broke it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from clones import REPOSITORY

from components import experiment
from components.config import parse
from components.data import sources, table
from components.data.images import encode
from components.records import DataError
from components.stages.facts import tables
from components.stages.validate import Params
from flows import validation

SPLIT = {"train": 140, "valid": 70, "test": 70}


def params(**changes: Any) -> Params:
    """Of the demo experiment, with limits that 280 faces can meet; `changes` are keys of single rules."""
    content = yaml.safe_load((REPOSITORY / "params" / "demo.yaml").read_text(encoding="utf-8"))
    content["ingest"] |= SPLIT
    content["validation"]["split_faces"]["at_least"] = dict.fromkeys(SPLIT, 50)
    content["validation"]["class_faces"]["at_least"] = dict.fromkeys(SPLIT, 5)
    for rule, values in changes.items():
        content["validation"][rule] |= values
    whole = parse(experiment.Experiment, content, Path("demo.yaml"))
    given = experiment.given(whole, "validate")
    assert isinstance(given, Params)
    return given


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A folder with the table of 280 embedded faces, and no reject."""
    folder = tmp_path_factory.mktemp("sound")
    config = params().ingest
    list(table.write(folder / "faces.parquet", sources.read(config, Path()), sources.classes(config), "embedded"))
    return folder


@pytest.fixture
def folder(sound, tmp_path) -> Path:
    """A copy of it, free to be poisoned."""
    for file in sound.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def poison(folder: Path, column: str, change: Callable[[list[Any]], None]) -> None:
    whole = pq.read_table(folder / "faces.parquet")
    values = whole[column].to_pylist()
    change(values)
    field = whole.schema.field(column)
    changed = whole.set_column(whole.schema.get_field_index(column), field, pa.array(values, field.type))
    pq.write_table(changed, folder / "faces.parquet")


def judge(folder: Path, given: Params | None = None) -> None:
    list(validation.run(given or params(), Path(), folder, folder, folder / "pages"))


def put(index: int, value: Any) -> Callable[[list[Any]], None]:
    def change(values: list[Any]) -> None:
        values[index] = value(values) if callable(value) else value

    return change


def test_a_sound_table_passes_and_the_same_findings_are_the_same_bytes(folder):
    judge(folder)
    first = (folder / "validation.json").read_bytes()
    found = json.loads(first)
    assert (found["errors"], found["warnings"]) == ([], [])
    assert len(found["rules"]) == 19
    assert all(rule["success"] and rule["rows"] for rule in found["rules"])
    judge(folder)
    assert (folder / "validation.json").read_bytes() == first
    assert str(folder) not in first.decode()


def test_its_pages_are_great_expectations_own(folder):
    judge(folder)
    pages = list((folder / "pages" / "validations").rglob("*.html"))
    assert len(pages) == 4  # schema, faces, splits, classes
    text = " ".join(re.sub(r"<[^>]+>", " ", page.read_text()) for page in pages)
    text = " ".join(text.split())
    for rule in json.loads((folder / "validation.json").read_text())["rules"]:
        assert rule["says"] in text


@pytest.mark.parametrize(
    ("column", "change", "line"),
    [
        (
            "label",
            put(3, 99),
            r"every label is a class \(expect_.*_to_be_between\): broken by 1 of 280 rows",
        ),
        ("label", put(3, lambda v: (v[3] + 1) % 7), r"every label is a top vote \(.*pair.*\): broken by 1 of 280 rows"),
        ("split", put(3, "holdout"), r"every split is one of three \(.*in_set\): broken by 1 of 280 rows"),
        ("votes", put(3, [0.5] * 7), r"votes are shares \(.*between\): broken by 1 of 280 rows"),
        ("id", put(3, lambda v: v[-1]), r"no face is in two splits \(.*between\): broken by 2 of 280 rows"),
        ("subject", put(3, lambda v: v[-1]), r"no subject is in two splits \(.*between\): broken by \d+ of 280 rows"),
    ],
)
def test_one_poisoned_value_is_found_and_counted(folder, column, change, line):
    poison(folder, column, change)
    with pytest.raises(DataError, match=rf"^{line} of faces, such as [^\n]*; allowed is [^\n]*$"):
        judge(folder)
    assert not (folder / "validation.json").exists()
    assert json.loads((folder / "pages" / "findings.json").read_text())["errors"]


def test_a_class_that_is_gone_is_named(folder):
    whole = pq.read_table(folder / "faces.parquet")
    pq.write_table(whole.filter(pc.not_equal(whole["label"], 3)), folder / "faces.parquet")
    line = r"^enough faces of every class in train \(.*\): broken by 1 of 7 rows of classes, such as 0 \(sadness\)"
    with pytest.raises(DataError, match=line):
        judge(folder)


def blackened(folder: Path, every: int) -> None:
    black = encode(np.zeros((64, 64, 3), np.uint8))

    def change(values: list[Any]) -> None:
        values[::every] = [black] * len(values[::every])

    poison(folder, "image", change)


def test_black_images_are_an_error_or_a_warning_as_the_params_say(folder):
    blackened(folder, 10)
    with pytest.raises(DataError, match=r"^faces are neither black nor white \(.*\): broken by 28 of 280 rows"):
        judge(folder, params(brightness={"level": "error"}))
    assert not (folder / "validation.json").exists()
    judge(folder, params(brightness={"level": "warning"}))
    found = json.loads((folder / "validation.json").read_text())
    assert found["errors"] == []
    assert len(found["warnings"]) == 1
    assert found["warnings"][0].startswith("faces are neither black nor white")
    judge(folder, params(brightness={"level": "error", "share": 0.9}))


def test_an_image_of_another_size_or_none_at_all_is_found(folder):
    poison(folder, "image", put(7, encode(np.zeros((32, 64, 3), np.uint8))))
    with pytest.raises(DataError, match=r"^the height of every image is as declared .*broken by 1 of 280 .*such as 32"):
        judge(folder)
    poison(folder, "image", put(7, b"not an image"))
    with pytest.raises(DataError, match=r"^the height of every image is as declared .*broken by 1 of 280 .*such as 0"):
        judge(folder)


def test_too_few_faces_and_too_many_rejects_are_found(folder):
    with pytest.raises(DataError, match=r"^enough faces in train .*: broken by 1 of 1 rows of splits, such as 140"):
        judge(folder, params(split_faces={"at_least": {"train": 141, "valid": 1, "test": 1}}))
    rejects = pq.read_table(folder / "rejects.parquet")
    rows = [{"name": f"{n}.png", "split": "valid", "reason": "truncated", "source": "here"} for n in range(30)]
    pq.write_table(pa.Table.from_pylist(rows, schema=rejects.schema), folder / "rejects.parquet")
    with pytest.raises(DataError, match=r"^few files are rejected .*: broken by 1 of 3 rows of splits, such as 0\.3"):
        judge(folder, params(rejects={"level": "error", "at_most": 0.1}))


def test_a_missing_column_is_a_matter_of_the_schema_alone(folder):
    pq.write_table(pq.read_table(folder / "faces.parquet").drop_columns(["votes"]), folder / "faces.parquet")
    with pytest.raises(DataError, match=r"^the columns are those of a face table .*: broken by 1 of 9 rows of schema"):
        judge(folder)


def test_a_table_that_another_library_wrote_is_judged_by_its_content(folder):
    """pandas drops our metadata and widens offsets; what it wrote is a face table all the same."""
    frame = pq.read_table(folder / "faces.parquet").to_pandas()
    frame.to_parquet(folder / "faces.parquet")
    judge(folder)
    frame.loc[5, "label"] = 42
    frame.to_parquet(folder / "faces.parquet")
    with pytest.raises(DataError, match=r"^every label is a class .*broken by 1 of 280 rows of faces, such as 42 "):
        judge(folder)


def test_a_damaged_file_is_one_line(folder):
    for name in ("faces.parquet", "rejects.parquet"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-20])
        with pytest.raises(DataError, match=rf"^[^\n]*{name}: not a readable table [^\n]*$"):
            judge(folder)
        (folder / name).write_bytes(whole)


def test_facts_count_what_is_there(sound):
    found = tables(sound / "faces.parquet", sound / "rejects.parquet", sources.classes(params().ingest))
    faces, classes, splits = (found[name].to_pylist() for name in ("faces", "classes", "splits"))
    assert {row["split"]: row["faces"] for row in splits} == SPLIT
    assert sum(row["faces"] for row in classes) == len(faces) == 280
    assert {row["share_of_largest"] for row in classes} == {1.0}
    assert all(0.05 < row["brightness"] < 0.95 for row in faces)
    assert {(row["height"], row["width"], row["channels"]) for row in faces} == {(64, 64, 3)}
