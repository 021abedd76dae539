"""Damaged tables: one line of DataError, or, where the damaged bytes carry nothing, the same faces."""

import random
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.data import table
from components.data.table import Faces
from components.lowlight.table import DarkFaces, read_dark, write_dark
from components.records import DataError

SEED = 20261122
CLASSES = ("calm", "glad", "cross")
DRAWS = [random.Random(SEED + number).random() for number in range(40)]


VOTES = np.eye(len(CLASSES), dtype=np.float32)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, noise_faces, three_splits) -> Path:
    path = tmp_path_factory.mktemp("whole") / "t.parquet"
    list(table.write(path, three_splits(noise_faces), CLASSES, "here"))
    return path


@pytest.fixture(scope="module")
def whole_dark(tmp_path_factory, noise_faces) -> Path:
    path = tmp_path_factory.mktemp("dark") / "d.parquet"
    faces = noise_faces("valid", 6)
    images = np.stack([face.pixels for face in faces])
    labels = np.array([face.label for face in faces])
    rows = Faces([table.face_id(i) for i in images], images, labels, 0.8 * VOTES[labels] + np.float32(0.2 / 3), CLASSES)
    write_dark(path, [(rows, 1.0, images), (rows, 0.2, images // 5)], CLASSES)
    return path


def footer_start(data: bytes) -> int:
    return len(data) - 8 - int.from_bytes(data[-8:-4], "little")


def same(one: Faces | DarkFaces, other: Faces | DarkFaces) -> bool:
    return (
        (one.ids, one.classes) == (other.ids, other.classes)
        and np.array_equal(one.images, other.images)
        and np.array_equal(one.labels, other.labels)
        and np.array_equal(one.votes, other.votes)
    )


def complaint(path: Path, whole: Path) -> str:
    """The line that reading gives, or "" where the faces are those of the whole table."""
    try:
        faces = {split: table.read_split(path, split) for split in table.SPLITS}
    except DataError as error:
        return str(error)
    assert all(same(faces[split], table.read_split(whole, split)) for split in faces), "other faces, and no word of it"
    return ""


@pytest.mark.parametrize("draw", DRAWS)
def test_damage_among_the_rows_is_noticed(tmp_path, whole, draw):
    data = bytearray(whole.read_bytes())
    generator = random.Random(draw)
    start, length = int(draw * footer_start(data)), generator.choice([1, 1, 4, 64])
    for place in range(start, min(start + length, footer_start(data))):
        data[place] ^= generator.randrange(1, 256)
    (tmp_path / "t").write_bytes(data)
    line = complaint(tmp_path / "t", whole)
    assert "\n" not in line
    assert not line or "make it again" in line


@pytest.mark.parametrize("column", [0, 1, 3, 4])  # id, image, votes, split
def test_damage_in_the_middle_of_a_column_is_noticed_even_by_one_bit(tmp_path, whole, column):
    """Here nothing but an error will do: these bytes carry something, if only for who reads the column."""
    chunk = pq.ParquetFile(whole).metadata.row_group(0).column(column)
    data = bytearray(whole.read_bytes())
    data[chunk.data_page_offset + chunk.total_compressed_size - 2] ^= 1
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(DataError, match=r"t: damaged in row group 0 [^\n]*; make it again$"):
        list(table.batches(tmp_path / "t", table.SCHEMA.names))


def test_a_value_that_is_missing_is_named_once(tmp_path, whole):
    rows = pq.read_table(whole)
    gone = rows.set_column(
        rows.schema.get_field_index("label"), rows.schema.field("label"), pa.nulls(len(rows), pa.int8())
    )
    pq.write_table(gone, tmp_path / "t")
    with pytest.raises(DataError) as error:
        table.read_split(tmp_path / "t", "train")
    assert str(error.value) == f"{tmp_path / 't'}: damaged in row group 0 (a value is missing); make it again"


def test_attributes_that_are_not_json_are_one_line(tmp_path, whole):
    rows = pq.read_table(whole)
    place = rows.schema.get_field_index("attributes")
    pq.write_table(rows.set_column(place, rows.schema.field(place), pa.array(["{tone"] * len(rows))), tmp_path / "t")
    with pytest.raises(DataError, match=r"t: attributes are not JSON \([^\n]*\); make it again$"):
        table.read_known(tmp_path / "t", "valid")


def test_damage_in_the_footer_never_ends_in_a_traceback(tmp_path, whole):
    """Parquet's footer has no checksum, so other faces may come of it: that is what DVC's hash of the file is for."""
    data = whole.read_bytes()
    lines = []
    for place in range(footer_start(data), len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << random.Random(SEED + place).randrange(8)
        (tmp_path / "t").write_bytes(damaged)
        try:
            table.read_split(tmp_path / "t", "train")
        except DataError as error:
            lines.append(str(error))
    assert len(lines) > 100
    assert not [line for line in lines if "\n" in line]


@pytest.mark.parametrize("draw", DRAWS[:20])
def test_a_table_cut_short_is_noticed(tmp_path, whole, draw):
    data = whole.read_bytes()
    (tmp_path / "t").write_bytes(data[: int(draw * len(data))])
    line = complaint(tmp_path / "t", whole)
    assert "not a readable table" in line
    assert "\n" not in line


def test_dark_faces_come_back_rung_by_rung(whole_dark, noise_faces):
    dark = read_dark(whole_dark)
    images = np.stack([face.pixels for face in noise_faces("valid", 6)])
    assert dark.exposures.tolist() == [1.0] * 6 + [0.2] * 6
    assert np.array_equal(dark.images, np.concatenate([images, images // 5]))
    at = dark.at(0.2)
    assert at.ids == dark.ids[6:]
    assert np.array_equal(at.images, images // 5)
    assert at.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert (set(at.exposures.tolist()), at.classes) == ({0.2}, CLASSES)
    assert at.votes[1] == pytest.approx([0.2 / 3, 0.8 + 0.2 / 3, 0.2 / 3])
    assert at.votes.dtype == np.float32


def test_the_same_dark_faces_give_the_same_bytes(tmp_path, whole_dark):
    dark = read_dark(whole_dark)
    parts = []
    for rung in (1.0, 0.2):
        at = dark.at(rung)
        parts.append((Faces(at.ids, at.images, at.labels, at.votes, at.classes), rung, at.images))
    write_dark(tmp_path / "d", parts, CLASSES)
    assert (tmp_path / "d").read_bytes() == whole_dark.read_bytes()


@pytest.mark.parametrize("draw", DRAWS[20:])
def test_damage_among_dark_rows_is_noticed(tmp_path, whole_dark, draw):
    data = bytearray(whole_dark.read_bytes())
    data[int(draw * footer_start(data))] ^= 0x10
    (tmp_path / "d").write_bytes(data)
    line = ""
    try:
        assert same(read_dark(tmp_path / "d"), read_dark(whole_dark))
    except DataError as error:
        line = str(error)
    assert not line or re.fullmatch("[^\n]*make it again", line)


def test_a_failure_while_dark_faces_are_made_leaves_no_file(tmp_path):
    def parts():
        yield (
            Faces(["a"], np.zeros((1, 4, 4, 3), np.uint8), np.array([0]), VOTES[:1], CLASSES),
            1.0,
            np.zeros((1, 4, 4, 3), np.uint8),
        )
        raise DataError("no more")

    with pytest.raises(DataError):
        write_dark(tmp_path / "d", parts(), CLASSES)
    assert list(tmp_path.iterdir()) == []
