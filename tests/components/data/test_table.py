"""The face table: what goes in comes out, and nothing that is tested was trained on."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.data import table
from components.data.images import encode
from components.lowlight.table import read_dark
from components.records import DataError, Reject

CLASSES = ("calm", "glad", "cross")


def test_faces_come_back_as_they_were_written(tmp_path, noise_faces, three_splits):
    faces = three_splits(noise_faces)
    counts = list(table.write(tmp_path / "t.parquet", faces, CLASSES, "here"))[-1]
    assert counts == {"test": 5, "valid": 4, "train": 9, "left_as_duplicates": 0, "rejects": 0}
    for split in table.SPLITS:
        given = [face for face in faces if face.split == split]
        back = table.read_split(tmp_path / "t.parquet", split)
        assert back.ids == [table.face_id(face.pixels) for face in given]
        assert np.array_equal(back.images, np.stack([face.pixels for face in given]))
        assert back.labels.tolist() == [face.label for face in given]
        assert (back.labels.dtype, back.classes) == (np.int64, CLASSES)


def test_every_column_of_a_row_says_what_its_face_says(tmp_path, noise_faces, three_splits):
    faces = [replace(face, attributes={"b": "2", "a": "1"}) for face in three_splits(noise_faces)]
    list(table.write(tmp_path / "t.parquet", faces, CLASSES, "here"))
    rows = pq.read_table(tmp_path / "t.parquet").to_pylist()
    for row, face in zip(rows, faces, strict=True):
        assert (row["name"], row["subject"], row["split"]) == (face.name, face.subject, face.split)
        assert (row["source"], row["attributes"]) == ("here", '{"a": "1", "b": "2"}')
        assert row["votes"] == pytest.approx(face.votes)


def test_a_table_of_several_row_groups_reads_like_one(tmp_path, noise_faces, three_splits, monkeypatch):
    faces = three_splits(noise_faces)
    list(table.write(tmp_path / "one.parquet", faces, CLASSES, "here"))
    monkeypatch.setattr(table, "ROW_GROUP", 4)
    list(table.write(tmp_path / "many.parquet", faces, CLASSES, "here"))
    assert pq.ParquetFile(tmp_path / "many.parquet").num_row_groups == 5
    for split in table.SPLITS:
        one, many = (table.read_split(tmp_path / f"{name}.parquet", split) for name in ("one", "many"))
        assert one.ids == many.ids
        assert np.array_equal(one.images, many.images)


def test_grey_faces_have_one_channel(tmp_path, noise_faces, three_splits):
    faces = three_splits(noise_faces, shape=(6, 7))
    list(table.write(tmp_path / "t.parquet", faces, CLASSES, "here"))
    assert table.read_split(tmp_path / "t.parquet", "train").images.shape == (9, 6, 7, 1)


def test_the_same_faces_give_the_same_bytes(tmp_path, noise_faces, three_splits):
    for name in ("a", "b"):
        list(table.write(tmp_path / name, three_splits(noise_faces), CLASSES, "here"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_another_pixel_gives_other_bytes_and_another_id(tmp_path, noise_faces, three_splits):
    faces = three_splits(noise_faces)
    list(table.write(tmp_path / "a", faces, CLASSES, "here"))
    before = table.face_id(faces[0].pixels)
    faces[0].pixels[0, 0] ^= 1
    assert table.face_id(faces[0].pixels) != before
    list(table.write(tmp_path / "b", faces, CLASSES, "here"))
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()


def test_an_id_tells_shapes_of_the_same_bytes_apart():
    pixels = np.zeros((4, 6), np.uint8)
    assert table.face_id(pixels) != table.face_id(pixels.reshape(6, 4))
    assert table.face_id(pixels) == table.face_id(np.asfortranarray(pixels))


def test_a_face_that_is_tested_leaves_valid_and_train(tmp_path, noise_faces, three_splits):
    test, valid, train = (noise_faces(split, 3) for split in table.SPLITS)
    valid.append(replace(test[0], split="valid"))
    train += [replace(test[1], split="train"), replace(valid[0], split="train"), replace(valid[3], split="train")]
    counts = list(table.write(tmp_path / "t", [*test, *valid, *train], CLASSES, "here"))[-1]
    assert counts == {"test": 3, "valid": 3, "train": 3, "left_as_duplicates": 4, "rejects": 0}
    ids = [set(table.read_split(tmp_path / "t", split).ids) for split in table.SPLITS]
    assert not ids[0] & ids[1]
    assert not ids[0] & ids[2]
    assert not ids[1] & ids[2]


def test_a_face_repeated_within_its_split_stays(tmp_path, noise_faces, three_splits):
    faces = three_splits(noise_faces)
    counts = list(table.write(tmp_path / "t", [*faces, faces[-1], faces[-1]], CLASSES, "here"))[-1]
    assert (counts["train"], counts["left_as_duplicates"]) == (11, 0)


def test_with_a_limit_train_ends_there_after_duplicates_left(tmp_path, noise_faces):
    test, valid, train = (noise_faces(split, 4) for split in table.SPLITS)
    train = [replace(test[0], split="train"), *train]
    counts = list(table.write(tmp_path / "t", [*test, *valid, *train], CLASSES, "here", train_limit=3))[-1]
    assert counts == {"test": 4, "valid": 4, "train": 3, "left_as_duplicates": 1, "rejects": 0}
    ids = table.read_split(tmp_path / "t", "train").ids
    assert ids == [table.face_id(face.pixels) for face in train[1:4]]


def test_a_limit_above_what_there_is_keeps_all(tmp_path, noise_faces, three_splits):
    faces = three_splits(noise_faces)
    counts = list(table.write(tmp_path / "t", faces, CLASSES, "here", train_limit=100))[-1]
    assert counts["train"] == 9


@pytest.mark.parametrize("missing", table.SPLITS)
def test_an_empty_split_is_refused_and_leaves_no_file(tmp_path, noise_faces, three_splits, missing):
    faces = [face for face in three_splits(noise_faces) if face.split != missing]
    with pytest.raises(DataError, match=rf"^here: no face in split {missing}: [^\n]*$"):
        list(table.write(tmp_path / "t", faces, CLASSES, "here"))
    assert list(tmp_path.iterdir()) == []


def test_no_face_at_all_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"^here: no face in split test, valid, train: [^\n]*$"):
        list(table.write(tmp_path / "t", [], CLASSES, "here"))
    assert list(tmp_path.iterdir()) == []


def test_faces_of_different_shapes_are_refused_and_leave_no_file(tmp_path, noise_faces, three_splits):
    odd = noise_faces("train", 1, shape=(8, 9, 3))
    with pytest.raises(DataError, match=r"^here: train-0: image shape \(8, 9, 3\)[^\n]*\(8, 8, 3\)$"):
        list(table.write(tmp_path / "t", [*three_splits(noise_faces), *odd], CLASSES, "here"))
    assert list(tmp_path.iterdir()) == []


def test_who_stops_listening_midway_leaves_the_old_table(tmp_path, noise_faces, three_splits, monkeypatch):
    monkeypatch.setattr(table, "ROW_GROUP", 4)
    (tmp_path / "t").write_bytes(b"old")
    writing = table.write(tmp_path / "t", three_splits(noise_faces), CLASSES, "here")
    next(writing)
    writing.close()
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
    assert (tmp_path / "t").read_bytes() == b"old"


def test_counts_once_yielded_do_not_change(tmp_path, noise_faces, three_splits, monkeypatch):
    monkeypatch.setattr(table, "ROW_GROUP", 4)
    totals = [
        sum(counts.values()) for counts in list(table.write(tmp_path / "t", three_splits(noise_faces), CLASSES, "x"))
    ]
    assert totals == [4, 8, 12, 16, 18]


def with_rejects(faces, count):
    """Faces with rejects before, between and after them."""
    rejects = [Reject(f"bad-{number}", "train", f"reason {number}") for number in range(count)]
    return [*rejects[:1], *faces[:7], *rejects[1:-1], *faces[7:], *rejects[-1:]]


def test_rejects_are_rows_in_the_order_met(tmp_path, noise_faces, three_splits):
    faces = with_rejects(three_splits(noise_faces), 4)
    counts = list(table.write(tmp_path / "t", faces, CLASSES, "here", max_reject_share=0.2))[-1]
    assert counts == {"test": 5, "valid": 4, "train": 9, "left_as_duplicates": 0, "rejects": 4}
    rows = pq.read_table(tmp_path / "rejects.parquet")
    assert rows.column_names == ["name", "split", "reason", "source"]
    assert rows.to_pylist() == [
        {"name": f"bad-{n}", "split": "train", "reason": f"reason {n}", "source": "here"} for n in range(4)
    ]


def test_no_reject_is_an_empty_table(tmp_path, noise_faces, three_splits):
    list(table.write(tmp_path / "t", three_splits(noise_faces), CLASSES, "here"))
    assert pq.read_table(tmp_path / "rejects.parquet").num_rows == 0


def test_the_same_rejects_give_the_same_bytes_however_many_row_groups(tmp_path, noise_faces, three_splits, monkeypatch):
    monkeypatch.setattr(table, "ROW_GROUP", 2)
    faces = with_rejects(three_splits(noise_faces), 5)
    for name in ("a", "b"):
        list(table.write(tmp_path / name / "t", faces, CLASSES, "here", max_reject_share=0.5))
    assert (tmp_path / "a/rejects.parquet").read_bytes() == (tmp_path / "b/rejects.parquet").read_bytes()
    assert pq.read_table(tmp_path / "a/rejects.parquet").num_rows == 5


def test_beyond_their_share_rejects_fail_the_whole_and_leave_the_old_tables(tmp_path, noise_faces, three_splits):
    """2 of 20 are rejects: a tenth is allowed exactly, and no less."""
    faces = with_rejects(three_splits(noise_faces), 2)
    list(table.write(tmp_path / "t", faces, CLASSES, "here", max_reject_share=0.1))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(DataError) as caught:
        list(table.write(tmp_path / "t", faces, CLASSES, "here", max_reject_share=0.099))
    assert str(caught.value) == (
        "here: 2 of 20 rejected, 10.00%: allowed is max_reject_share 9.90%; the first: bad-0: reason 0"
    )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_nothing_but_rejects_is_told_by_their_reason(tmp_path):
    with pytest.raises(DataError, match=r"^here: 1 of 1 rejected, 100.00%: [^\n]*; the first: a: no good$"):
        list(table.write(tmp_path / "t", [Reject("a", "test", "no good")], CLASSES, "here", max_reject_share=0.5))
    assert list(tmp_path.iterdir()) == []


def test_a_class_without_a_face_in_train_is_refused_and_leaves_no_file(tmp_path, noise_faces, three_splits):
    faces = [face for face in three_splits(noise_faces) if face.split != "train" or face.label != 1]
    with pytest.raises(DataError, match=r"^here: no face of glad in train: [^\n]*$"):
        list(table.write(tmp_path / "t", faces, CLASSES, "here"))
    assert list(tmp_path.iterdir()) == []


def test_faces_are_counted_by_split_and_class(tmp_path, noise_faces, three_splits):
    list(table.write(tmp_path / "t", three_splits(noise_faces), CLASSES, "here"))
    assert table.class_counts(tmp_path / "t") == {
        "test": {"calm": 2, "glad": 2, "cross": 1},
        "valid": {"calm": 2, "glad": 1, "cross": 1},
        "train": {"calm": 3, "glad": 3, "cross": 3},
    }


def test_parquet_files_of_others_are_refused(tmp_path):
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "t")
    with pytest.raises(DataError, match=r"^[^\n]*: not a table of this pipeline: [^\n]*$"):
        table.read_split(tmp_path / "t", "train")


def test_a_table_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"^[^\n]*nowhere: not a readable table [^\n]*$"):
        table.read_split(tmp_path / "nowhere", "train")


@pytest.mark.parametrize("read", [lambda path: table.read_split(path, "train"), read_dark])
def test_a_table_without_a_label_is_one_line(tmp_path, read):
    image = encode(np.zeros((4, 4, 3), np.uint8))
    columns = {"id": ["a"], "image": [image], "label": [None], "split": ["train"], "exposure": [1.0]}
    rows = pa.table(columns).replace_schema_metadata({"lldif": '{"classes": ["calm"]}'})
    pq.write_table(rows, tmp_path / "t")
    with pytest.raises(DataError, match=r"^[^\n]*$"):
        read(tmp_path / "t")
