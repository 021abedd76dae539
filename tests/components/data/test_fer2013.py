"""fer2013.csv and fer2013new.csv: the official folders come of them, with what is bad in them kept to be rejected."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from components.data import fer2013, ferplus, sources
from components.data.tree import open_tree
from components.records import DataError, Face, Reject

USAGES = ["Training"] * 8 + ["PublicTest"] * 3 + ["PrivateTest"] * 3
NEW_HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
CONFIG = ferplus.FerPlus(
    source="ferplus",
    size=48,
    colour="grey",
    max_reject_share=0.5,
    splits="official",
    labels="majority",
    valid_share=0.1,
    train_limit=0,
)


def pixels(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (48, 48), dtype=np.uint8)


def write(folder: Path, faces: dict[int, str] | None = None, names: dict[int, str] | None = None) -> Path:
    """The two files as they were published (names ends its lines as Windows does), some of their rows replaced."""
    one, other = ["emotion,pixels,Usage"], [NEW_HEADER]
    for number, usage in enumerate(USAGES):
        one.append(f"{number % 7},{' '.join(map(str, pixels(number).ravel()))},{usage}")
        other.append(f"{usage},fer{number:07d}.png,0,10,0,0,0,0,0,0,0,0")
    for lines, changes in ((one, faces), (other, names)):
        for number, line in (changes or {}).items():
            lines[number + 1] = line
    folder.mkdir(exist_ok=True)
    (folder / "fer2013.csv").write_text("\n".join(one) + "\n")
    (folder / "fer2013new.csv").write_text("\r\n".join(other) + "\r\n", newline="")
    return folder


def converted(raw: Path, out: Path) -> list[Face | Reject]:
    tree = open_tree(raw)
    files = fer2013.find(tree)
    assert files is not None
    fer2013.write_folders(tree, files, out)
    return list(sources.read(CONFIG, out))


def test_faces_votes_and_splits_are_those_of_the_rows(tmp_path, zipped):
    found = converted(write(tmp_path / "csv"), tmp_path / "out.zip")
    assert [one.split for one in found] == ["test"] * 3 + ["valid"] * 3 + ["train"] * 8
    for number, face in zip([11, 12, 13, 8, 9, 10, *range(8)], found, strict=True):
        assert isinstance(face, Face)
        assert face.name.endswith(f"/fer{number:07d}.png")
        assert np.array_equal(face.pixels[..., 0], pixels(number))
        assert face.label == 1
    first = (tmp_path / "out.zip").read_bytes()
    converted(zipped(tmp_path / "csv"), tmp_path / "out.zip")
    assert (tmp_path / "out.zip").read_bytes() == first


def test_labels_are_written_as_the_official_ones_are(tmp_path):
    converted(write(tmp_path / "csv"), tmp_path / "out.zip")
    lines = list(open_tree(tmp_path / "out.zip").lines("FER2013Test/label.csv"))
    assert lines[0] == 'fer0000011.png,"(0, 0, 48, 48)",0,10,0,0,0,0,0,0,0,0'
    assert next(csv.reader(io.StringIO(lines[0])))[1] == "(0, 0, 48, 48)"


def test_a_face_without_a_name_was_removed(tmp_path):
    found = converted(write(tmp_path / "csv", names={2: "Training,,0,0,0,0,0,0,0,0,0,10"}), tmp_path / "out.zip")
    assert len(found) == 13
    assert not [one for one in found if "0000002" in one.name]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("3,1 2 3,Training", "not an image: allowed are "),
        (f"3,{'256 ' * 2304},Training", "not an image: allowed are "),
        (f"3,{'-1 ' * 2304},Training", "not an image: allowed are "),
        (f"3,{'x ' * 2304},Training", "not an image: allowed are "),
        ("3,,Training", "empty file: allowed is an image"),
    ],
)
def test_pixels_that_are_none_are_rejected_by_whoever_reads(tmp_path, row, reason):
    found = converted(write(tmp_path / "csv", faces={2: row}), tmp_path / "out.zip")
    rejects = [one for one in found if isinstance(one, Reject)]
    assert [(one.name, one.reason[: len(reason)]) for one in rejects] == [("FER2013Train/fer0000002.png", reason)]


def test_votes_and_names_that_are_bad_are_rejected_by_whoever_reads(tmp_path):
    names = {
        2: "Training,fer0000002.png,0,9,0,0,0,0,0,0,0,0",
        3: "Training,fer0000003.png,0,ten",
        5: "Training,fer0000004.png,0,10,0,0,0,0,0,0,0,0",
    }
    found = converted(write(tmp_path / "csv", names=names), tmp_path / "out.zip")
    assert {one.name: one.reason for one in found if isinstance(one, Reject)} == {
        "FER2013Train/fer0000002.png": "9 votes in label.csv line 3: allowed are 10",
        "FER2013Train/label.csv line 4": "allowed is: file name, box, ten vote counts",
        "FER2013Train/fer0000004.png": "named again in label.csv line 6: allowed is one row for each file",
    }
    assert len(found) == 14


@pytest.mark.parametrize(
    ("faces", "names", "line"),
    [
        ({0: "0,1,Testing"}, {0: "Testing,a.png,10"}, "line 2: Usage 'Testing' and 'Testing': allowed is the same"),
        ({}, {0: "PublicTest,a.png,10"}, "line 2: Usage 'Training' and 'PublicTest': allowed is the same in both"),
        ({}, {0: "Training,../a.png,10"}, "line 2: image name ../a.png: allowed is a plain file name"),
        ({}, {0: "Training,label.csv,10"}, "line 2: image name label.csv: allowed is a plain file name"),
        ({-1: "emotion,pixels"}, {}, "the first line is not that of the published file"),
        ({}, {-1: "a,b"}, "the first line is not that of the published file"),
    ],
)
def test_files_that_do_not_belong_together_are_one_line(tmp_path, faces, names, line):
    with pytest.raises(DataError, match=r"^[^\n]*$") as caught:
        converted(write(tmp_path / "csv", faces, names), tmp_path / "out.zip")
    assert line in str(caught.value)


@pytest.mark.parametrize("short", ["fer2013.csv", "fer2013new.csv"])
def test_a_file_that_ends_early_is_one_line(tmp_path, short):
    path = write(tmp_path / "csv") / short
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(DataError, match=r"line 15: one of the files ends here: allowed are as many rows in both$"):
        converted(tmp_path / "csv", tmp_path / "out.zip")


def test_one_file_alone_is_not_taken_for_both(tmp_path):
    (write(tmp_path / "csv") / "fer2013new.csv").unlink()
    assert fer2013.find(open_tree(tmp_path / "csv")) is None
