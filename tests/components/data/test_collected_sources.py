"""Folders, Parquet, RAF-DB and KDEF: tiny trees in their exact layout, read as streams of faces and rejects."""

import io
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from components.config import ConfigError, parse
from components.data import kdef, sources
from components.data.faces import EMOTIONS
from components.records import DataError, Face, Reject
from components.stages.ingest import Params

FORM = {"size": 16, "colour": "rgb", "max_reject_share": 0.1}
CLASSES = ["calm", "glad"]
FOLDER = FORM | {
    "source": "folder",
    "classes": CLASSES,
    "layout": "class",
    "split_by": "hash",
    "subject_pattern": "",
    "valid_share": 0.2,
    "test_share": 0.3,
}
PARQUET = FORM | {
    "source": "parquet",
    "classes": CLASSES,
    "image_column": "image",
    "label_column": "label",
    "subject_column": "",
    "valid_share": 0.2,
    "test_share": 0.3,
}
RAFDB = FORM | {"source": "rafdb", "valid_share": 0.3}
KDEF = FORM | {"source": "kdef", "views": ["S", "HL"], "valid_share": 0.2, "test_share": 0.3}


def config(content: dict[str, Any], **changes: Any) -> sources.Source:
    return parse(Params, {"ingest": content | changes}, Path("x.yaml")).ingest


def picture(seed: object, kind: str = "PNG", shape: tuple[int, ...] = (16, 16, 3)) -> bytes:
    pixels = np.random.default_rng([*str(seed).encode()]).integers(0, 256, shape, dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def plant(folder: Path, names: list[str], kind: str = "PNG") -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(name, kind))
    return folder


def read(content: sources.Source, raw: Path) -> tuple[list[Face], dict[str, str]]:
    """Faces in order, and the reason of each reject; the order of splits and the bound on their number hold."""
    found = list(sources.read(content, raw))
    order = [("test", "valid", "train").index(one.split) for one in found]
    assert order == sorted(order)
    assert len(found) <= sources.expected_faces(content, raw)
    rejects = {one.name: one.reason for one in found if isinstance(one, Reject)}
    assert not [reason for reason in rejects.values() if "\n" in reason]
    return [one for one in found if isinstance(one, Face)], rejects


def splits(faces: list[Face]) -> dict[str, set[str]]:
    return {split: {face.name for face in faces if face.split == split} for split in ("test", "valid", "train")}


def same(one: list[Face], other: list[Face]) -> bool:
    return all(
        (a.name, a.split, a.label, a.votes, a.subject, a.attributes)
        == (b.name, b.split, b.label, b.votes, b.subject, b.attributes)
        and np.array_equal(a.pixels, b.pixels)
        for a, b in zip(one, other, strict=True)
    )


def complaint(content: sources.Source, raw: Path) -> str:
    with pytest.raises(DataError) as caught:
        list(sources.read(content, raw))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# folders


@pytest.fixture
def by_class(tmp_path) -> Path:
    names = [f"{title}/p{number % 12:02d}-{number}.png" for title in CLASSES for number in range(48)]
    return plant(tmp_path / "own", names)


def test_a_folder_of_classes_is_split_by_hash_and_labelled_by_folder(by_class, zipped):
    faces, rejects = read(config(FOLDER), by_class)
    assert not rejects
    assert {len(names) for names in splits(faces).values()} != {96}
    assert {split: 10 <= len(names) <= 70 for split, names in splits(faces).items()} == dict.fromkeys(
        ("test", "valid", "train"), True
    )
    assert sum(map(len, splits(faces).values())) == 96
    assert all(CLASSES[face.label] == face.name.split("/")[0] and face.votes[face.label] == 1 for face in faces)
    again, _ = read(config(FOLDER), zipped(by_class))  # the zip has a folder "data" around it
    assert [face.pixels.tobytes() for face in again] == [face.pixels.tobytes() for face in faces]
    assert [face.split for face in again] == [face.split for face in faces]


def test_a_face_keeps_its_split_when_others_come(by_class):
    before = splits(read(config(FOLDER), by_class)[0])
    plant(by_class, [f"calm/new{number}.png" for number in range(20)])
    after = splits(read(config(FOLDER), by_class)[0])
    assert all(before[split] <= after[split] for split in before)


def test_by_subject_nobody_is_in_two_splits(by_class):
    faces, _ = read(config(FOLDER, split_by="subject", subject_pattern="^(p[0-9]+)-"), by_class)
    homes: dict[str, set[str]] = {}
    for face in faces:
        homes.setdefault(face.subject, set()).add(face.split)
    assert len(homes) == 12
    assert {len(found) for found in homes.values()} == {1}


def test_a_name_without_a_person_is_a_reject(by_class):
    plant(by_class, ["glad/nobody.png"])
    _, rejects = read(config(FOLDER, split_by="subject", subject_pattern="^(p[0-9]+)-"), by_class)
    assert rejects == {"glad/nobody.png": "no person in its name: allowed is subject_pattern ^(p[0-9]+)-"}


def test_folders_of_splits_are_kept_whatever_valid_is_called(tmp_path):
    for valid in ("valid", "val", "validation"):
        names = [
            f"{split}/{title}/{n}.png" for split in ("train", valid, "test") for title in CLASSES for n in range(3)
        ]
        faces, rejects = read(config(FOLDER, layout="split/class"), plant(tmp_path / valid, names))
        assert not rejects
        assert Counter(face.split for face in faces) == {"train": 6, "valid": 6, "test": 6}
        assert {face.name.split("/")[0] for face in faces if face.split == "valid"} == {valid}


def test_splits_that_are_not_there_are_carved_from_train(tmp_path):
    names = [f"{split}/calm/{n}.png" for split in ("train", "test") for n in range(60)]
    faces, _ = read(config(FOLDER, layout="split/class"), plant(tmp_path / "own", names))
    found = splits(faces)
    assert found["test"] == {f"test/calm/{n}.png" for n in range(60)}
    assert 3 <= len(found["valid"]) <= 25
    assert len(found["valid"] | found["train"]) == 60


@pytest.mark.parametrize(
    ("layout", "names", "line"),
    [
        ("class", ["cross/a.png"], "folder cross is no class: allowed are calm, glad"),
        ("class", ["calm/a.png", "gald/a.png"], "folder gald is no class: allowed are calm, glad"),
        ("class", ["train/calm/a.png", "test/calm/a.png"], "folder test is no class: allowed are calm, glad"),
        ("split/class", ["train/calm/a.png", "train/x/a.png"], "folder train/x is no class: allowed are calm, glad"),
        ("split/class", ["calm/a.png", "glad/a.png"], "folders calm, glad: allowed are train, "),
        ("split/class", ["train/calm/a.png", "val/calm/a.png", "valid/calm/a.png"], "folders train, val, valid: "),
        ("split/class", ["test/calm/a.png", "val/calm/a.png"], "folders test, val: allowed are train, "),
        ("split/class", ["a.png"], "folders nothing: allowed are train, "),
    ],
)
def test_a_tree_of_another_layout_is_refused(tmp_path, layout, names, line):
    assert line in complaint(config(FOLDER, layout=layout), plant(tmp_path / "own", names))


def test_files_in_no_class_and_names_that_are_not_utf_8_are_rejects(by_class):
    (by_class / "readme.txt").write_text("hello")
    (by_class / "calm" / os.fsdecode(b"caf\xe9.png")).write_bytes(picture(1))
    (by_class / "calm" / "line\nbreak.png").write_bytes(b"")
    faces, rejects = read(config(FOLDER), by_class)
    assert len(faces) == 96
    assert rejects == {
        "readme.txt": "in no class: allowed are calm, glad",
        r"calm/caf\xe9.png": "a name that is not UTF-8: allowed is UTF-8",
        r"calm/line\nbreak.png": "empty file: allowed is an image",
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": ["calm", "calm"]}, "classes: allowed is each class once"),
        ({"classes": ["calm"]}, "classes"),
        ({"split_by": "subject"}, "subject_pattern: split_by subject needs one"),
        ({"subject_pattern": "(a"}, "subject_pattern: not a regular expression"),
        ({"subject_pattern": "a"}, "subject_pattern: allowed is a regular expression with one group"),
        ({"size": 4}, "size"),
        ({"max_reject_share": 1.0}, "max_reject_share"),
    ],
)
def test_a_description_that_cannot_be_is_one_line(changes, words):
    with pytest.raises(ConfigError, match=r"^x.yaml: [^\n]*$") as caught:
        config(FOLDER, **changes)
    assert words in str(caught.value)


@pytest.mark.parametrize("source", [FOLDER, PARQUET, KDEF])
def test_shares_that_leave_nothing_to_train_are_one_line(source):
    assert config(source, valid_share=0.4, test_share=0.5)
    with pytest.raises(ConfigError, match=r"^x.yaml: [^\n]*: valid_share and test_share: allowed is a sum up to 0.9$"):
        config(source, valid_share=0.5, test_share=0.5)


# Parquet


def hugging_face(names: list[str] | None) -> dict[str, str]:
    feature = {"names": names, "_type": "ClassLabel"} if names else {"dtype": "int64", "_type": "Value"}
    return {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}, "label": feature}}})}


@pytest.fixture
def shard() -> Callable[..., None]:
    def write(path: Path, rows: list[tuple[Any, Any]], names: list[str] | None = None, plain: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        images = pa.array(
            [image if plain or image is None else {"bytes": image, "path": "a.png"} for image, _ in rows],
            pa.binary() if plain else pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        )
        table = pa.table({"image": images, "label": pa.array([label for _, label in rows])})
        pq.write_table(table.replace_schema_metadata(hugging_face(names)), path)

    return write


def rows(prefix: str, count: int) -> list[tuple[bytes, int]]:
    return [(picture(f"{prefix}{number}"), number % 2) for number in range(count)]


def test_shards_give_faces_of_the_split_that_their_names_tell(tmp_path, shard):
    for name, count in (
        ("train-00000-of-00002", 5),
        ("train-00001-of-00002", 4),
        ("validation-00000-of-00001", 3),
        ("test-00000-of-00001", 2),
    ):
        shard(tmp_path / "data" / f"{name}.parquet", rows(name, count), CLASSES)
    faces, rejects = read(config(PARQUET), tmp_path)
    assert not rejects
    assert Counter(face.split for face in faces) == {"train": 9, "valid": 3, "test": 2}
    assert sources.expected_faces(config(PARQUET), tmp_path) == 14
    expected = np.asarray(Image.open(io.BytesIO(picture("test-00000-of-000011"))))
    assert np.array_equal(faces[1].pixels, expected)
    assert (faces[1].label, faces[1].name) == (1, "test-00000-of-00001.parquet:1")


def test_numbers_mean_what_the_shard_says(tmp_path, shard):
    shard(tmp_path / "train.parquet", rows("a", 40), ["glad", "calm"])
    assert {CLASSES[face.label] for face in read(config(PARQUET), tmp_path)[0] if face.name.endswith(":0")} == {"glad"}
    shard(tmp_path / "train.parquet", rows("a", 40))
    assert {CLASSES[face.label] for face in read(config(PARQUET), tmp_path)[0] if face.name.endswith(":0")} == {"calm"}


def test_labels_in_words_and_plain_bytes_are_read_and_splits_carved(tmp_path, shard):
    words = [(image, CLASSES[label]) for image, label in rows("a", 60)]
    shard(tmp_path / "train-0.parquet", words, plain=True)
    faces, rejects = read(config(PARQUET), tmp_path)
    assert not rejects
    found = splits(faces)
    assert min(map(len, found.values())) >= 3
    assert sum(map(len, found.values())) == 60
    shard(tmp_path / "train-0.parquet", [(picture("new"), "calm"), *words], plain=True)
    moved = {face.pixels.tobytes(): face.split for face in read(config(PARQUET), tmp_path)[0]}
    assert all(moved[face.pixels.tobytes()] == face.split for face in faces)


def test_a_person_of_a_shard_is_in_one_split(tmp_path):
    people = [f"p{number % 9}" for number in range(63)]
    columns = {"image": [picture(n) for n in range(63)], "label": [n % 2 for n in range(63)], "who": people}
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    faces, _ = read(config(PARQUET, subject_column="who"), tmp_path)
    assert {len({f.split for f in faces if f.subject == person}) for person in people} == {1}
    assert len({face.split for face in faces}) > 1


@pytest.mark.parametrize("nobody", [None, float("nan")])
def test_a_person_may_be_number_0_and_a_row_without_a_person_is_a_reject(tmp_path, nobody):
    """Faces that say nothing of their person would count as persons of their own."""
    who = pa.array([0, 1, nobody] * 20, pa.int64() if nobody is None else pa.float64(), from_pandas=False)
    columns = {"image": [picture(n) for n in range(60)], "label": [n % 2 for n in range(60)], "who": who}
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    faces, rejects = read(config(PARQUET, subject_column="who"), tmp_path)
    zero, one = ("0", "1") if nobody is None else ("0.0", "1.0")
    assert Counter(face.subject for face in faces) == {zero: 20, one: 20}
    assert {len({face.split for face in faces if face.subject == person}) for person in (zero, one)} == {1}
    assert set(rejects) == {f"train.parquet:{n}" for n in range(2, 60, 3)}
    assert set(rejects.values()) == {"no person in column who: allowed is one in each row"}


def test_rows_that_cannot_be_faces_are_rejects(tmp_path, shard):
    bad = [(picture("a"), 2), (picture("b"), -1), (picture("c"), None), (None, 0), (b"", 0), (b"no", 1)]
    shard(tmp_path / "train-0.parquet", [*rows("good", 20), *bad], CLASSES)
    faces, rejects = read(config(PARQUET), tmp_path)
    assert len(faces) == 20
    assert [rejects[f"train-0.parquet:{n}"] for n in range(20, 26)] == [
        "label 2: allowed are calm, glad",
        "label -1: allowed are calm, glad",
        "label None: allowed are calm, glad",
        "no bytes: allowed is the image itself, not its path alone",
        "empty file: allowed is an image",
        "not an image: allowed are PNG, JPEG, GIF, BMP, TIFF, WEBP, PPM",
    ]


def test_shards_that_do_not_fit_are_one_line(tmp_path, shard):
    own = config(PARQUET)
    assert "no Parquet file in it" in complaint(own, tmp_path)
    shard(tmp_path / "faces.parquet", rows("a", 2))
    assert "faces.parquet: no split in its name: allowed is train-" in complaint(own, tmp_path)
    (tmp_path / "faces.parquet").rename(tmp_path / "test.parquet")
    assert "no shard of train" in complaint(own, tmp_path)
    shard(tmp_path / "train.parquet", rows("a", 2), ["calm", "cross"])
    assert "class cross of its metadata is unknown: allowed are calm, glad" in complaint(own, tmp_path)
    pq.write_table(pa.table({"image": [b"a"], "class": [1]}), tmp_path / "train.parquet")
    assert "no column label: there is image, class" in complaint(own, tmp_path)
    pq.write_table(pa.table({"image": ["a"], "label": [1]}), tmp_path / "train.parquet")
    assert "column image is string: allowed is binary or struct" in complaint(own, tmp_path)
    pq.write_table(pa.table({"image": [b"a"], "label": [1.5]}), tmp_path / "train.parquet")
    assert "column label is double: allowed is a whole number or text" in complaint(own, tmp_path)
    (tmp_path / "train.parquet").write_bytes(b"PAR1 no")
    assert "train.parquet: not a readable Parquet file" in complaint(own, tmp_path)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_damaged_shard_is_one_line_or_rejects(tmp_path, shard, place):
    shard(tmp_path / "train.parquet", rows("a", 30), CLASSES)
    data = bytearray((tmp_path / "train.parquet").read_bytes())
    start = int(place * len(data))
    data[start : start + 40] = bytes(40)
    (tmp_path / "train.parquet").write_bytes(data)
    line, faces, rejects = "", [], {}
    try:
        faces, rejects = read(config(PARQUET), tmp_path)
    except DataError as error:
        line = str(error)
    assert line.startswith(f"{tmp_path}/train.parquet: ") or (rejects and len(faces) + len(rejects) == 30)
    assert "\n" not in line


# RAF-DB


@pytest.fixture
def rafdb(tmp_path) -> Path:
    """The layout of the authors' archive: basic/EmoLabel and basic/Image/aligned; labels cycle through 1 .. 7."""
    lines = [f"train_{n:05d}.jpg {n % 7 + 1}" for n in range(1, 43)] + [
        f"test_{n:04d}.jpg {n % 7 + 1}" for n in range(1, 15)
    ]
    names = [f"basic/Image/aligned/{line.split('.')[0]}_aligned.jpg" for line in lines]
    raw = plant(tmp_path / "RAF-DB", names, "JPEG")
    (raw / "basic" / "EmoLabel").mkdir()
    (raw / "basic" / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines) + "\n")
    return raw


def test_raf_db_is_read_with_its_own_test_and_our_words(rafdb, zipped):
    faces, rejects = read(config(RAFDB), rafdb)
    assert not rejects
    found = splits(faces)
    assert found["test"] == {f"test_{n:04d}.jpg" for n in range(1, 15)}
    assert 4 <= len(found["valid"]) <= 22
    assert len(found["valid"] | found["train"]) == 42
    words = {face.name: EMOTIONS[face.label] for face in faces}
    assert [words[f"test_{n:04d}.jpg"] for n in (7, 1, 2, 3, 4, 5, 6)] == [
        "surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"
    ]  # fmt: skip
    assert sources.classes(config(RAFDB)) == EMOTIONS
    assert same(faces, read(config(RAFDB), zipped(rafdb))[0])


def test_a_list_beside_the_images_is_found_too(rafdb):
    (rafdb / "basic" / "EmoLabel" / "list_patition_label.txt").rename(rafdb / "basic" / "list_patition_label.txt")
    assert len(read(config(RAFDB), rafdb)[0]) == 56


def test_lines_of_raf_db_that_cannot_be_faces_are_rejects(rafdb):
    (rafdb / "basic/Image/aligned/test_0001_aligned.jpg").unlink()
    with (rafdb / "basic/EmoLabel/list_patition_label.txt").open("a") as stream:
        stream.write("test_0020.jpg 8\ntest_0021.jpg 0\ntest_0022.jpg happy\ntest_0002.jpg 3\n../a.jpg 1\n\n")
    faces, rejects = read(config(RAFDB), rafdb)
    assert len(faces) == 55
    assert rejects == {
        "test_0001.jpg": "no such file",
        "test_0020.jpg": "label 8 in list_patition_label.txt line 57: allowed are 1 .. 7",
        "test_0021.jpg": "label 0 in list_patition_label.txt line 58: allowed are 1 .. 7",
        "list_patition_label.txt line 59": "allowed is: train_00001.jpg or test_0001.jpg, a space, a label of 1 .. 7",
        "test_0002.jpg": "named again in list_patition_label.txt line 60: allowed is one line for each file",
        "list_patition_label.txt line 61": "allowed is: train_00001.jpg or test_0001.jpg, a space, a label of 1 .. 7",
    }


def test_raf_db_without_its_list_or_images_is_one_line(rafdb):
    (rafdb / "basic/Image/aligned").rename(rafdb / "basic/Image/original")
    assert "no folder Image/aligned with files" in complaint(config(RAFDB), rafdb)
    (rafdb / "basic/EmoLabel/list_patition_label.txt").unlink()
    assert "0 files list_patition_label.txt: allowed is one" in complaint(config(RAFDB), rafdb)


# KDEF


@pytest.fixture
def kdef_tree(tmp_path) -> Path:
    """Ten people, both sessions, every expression, three views; 28 x 38 is the shape of KDEF's 562 x 762."""
    raw = tmp_path / "KDEF_and_AKDEF" / "KDEF"
    for session in "AB":
        for person in [f"F{n:02d}" for n in range(1, 6)] + [f"M{n:02d}" for n in range(31, 36)]:
            (raw / f"{session}{person}").mkdir(parents=True)
            for expression in kdef.EXPRESSIONS:
                for view in ("S", "HL", "FR"):
                    name = f"{session}{person}{expression}{view}.JPG"
                    (raw / f"{session}{person}" / name).write_bytes(picture(name, "JPEG", (38, 28, 3)))
    return raw.parent


def test_kdef_is_told_by_its_names(kdef_tree, zipped):
    faces, rejects = read(config(KDEF), kdef_tree)
    assert not rejects
    assert len(faces) == 2 * 10 * 7 * 2
    face = next(face for face in faces if face.name.endswith("BM33AFHL.JPG"))
    assert EMOTIONS[face.label] == "fear"
    assert face.subject == "M33"
    assert face.attributes == {"gender": "male", "view": "half left", "session": "B"}
    assert face.pixels.shape == (16, 16, 3)
    assert {face.attributes["view"] for face in faces} == {"straight", "half left"}
    words = {face.name[-7:-5]: EMOTIONS[face.label] for face in faces if face.attributes["view"] == "straight"}
    assert words == {
        "AF": "fear", "AN": "anger", "DI": "disgust", "HA": "happiness", "NE": "neutral", "SA": "sadness",
        "SU": "surprise",
    }  # fmt: skip
    again, _ = read(config(KDEF), zipped(kdef_tree))
    assert [face.pixels.tobytes() for face in again] == [face.pixels.tobytes() for face in faces]


def test_people_of_kdef_are_in_one_split_and_counted(kdef_tree):
    faces, _ = read(config(KDEF), kdef_tree)
    people = {split: {face.subject for face in faces if face.split == split} for split in ("test", "valid", "train")}
    assert {split: len(found) for split, found in people.items()} == {"test": 3, "valid": 2, "train": 5}
    assert len(set().union(*people.values())) == 10


def test_few_people_leave_one_each_for_valid_and_test():
    found = kdef.split_people(config(KDEF, valid_share=0.01, test_share=0.01), {"F01", "F02", "F03"})
    assert sorted(found.values()) == ["test", "train", "valid"]


@pytest.mark.parametrize(
    "name",
    [
        "AF36ANS.JPG",
        "AF00ANS.JPG",
        "CF01ANS.JPG",
        "AX01ANS.JPG",
        "AF01XXS.JPG",
        "AF01ANX.JPG",
        "AF01AN.JPG",
        "AF31V.JPG",
    ],
)
def test_a_name_outside_the_grammar_is_a_reject(kdef_tree, name):
    (kdef_tree / "KDEF" / "AF01" / name).write_bytes(picture(1, "JPEG"))
    _, rejects = read(config(KDEF), kdef_tree)
    assert list(rejects) == [f"KDEF/AF01/{name}"]
    assert rejects[f"KDEF/AF01/{name}"].startswith("allowed is: session A or B, gender F or M, person 01 .. 35")


def test_a_second_file_of_a_name_is_a_reject(kdef_tree):
    (kdef_tree / "KDEF" / "AF02" / "af01ans.jpg").write_bytes(picture(1, "JPEG"))
    faces, rejects = read(config(KDEF), kdef_tree)
    assert len(faces) == 280
    assert rejects == {"KDEF/AF02/af01ans.jpg": "another file has this name: allowed is one"}
