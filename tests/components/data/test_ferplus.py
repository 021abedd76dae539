"""What is not in the official FER+ form: one line that names file and line."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.data.sources import FERPLUS_CLASSES, FerPlus, FerPlusTree, expected_faces, read
from components.records import DataError

CONFIG = FerPlus(source="ferplus", splits="development", valid_share=0.3, train_limit=0)
GLAD = (0, 10) + (0,) * 8


@pytest.fixture
def tree(tmp_path, write_tree) -> Path:
    rows = [(f"f{number}.png", GLAD) for number in range(6)]
    return write_tree(tmp_path / "tree", {"FER2013Train": rows, "FER2013Valid": rows})


def complaint(raw: Path) -> str:
    with pytest.raises(DataError) as caught:
        list(read(CONFIG, raw))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def in_memory(text: str) -> FerPlusTree:
    return FerPlusTree(Path("memory"), {"FER2013Train": "there"}, {"there/label.csv": text.encode()}.__getitem__)


@st.composite
def ten_voters(draw) -> tuple[int, ...]:
    """Up to ten voters spread over the ten columns."""
    chosen = draw(st.lists(st.integers(0, 9), max_size=10)) + [draw(st.integers(0, 9))] * draw(st.integers(0, 6))
    return tuple(chosen[:10].count(column) for column in range(10))


@settings(deadline=None, max_examples=100)
@given(st.lists(ten_voters(), min_size=1, max_size=8))
def test_a_face_stays_where_more_than_five_voters_agree_on_an_emotion(rows):
    text = "".join(f'{n}.png,"(0, 0, 48, 48)",{",".join(map(str, row))}\n' for n, row in enumerate(rows))
    naive = []
    for number, row in enumerate(rows):
        for emotion in range(len(FERPLUS_CLASSES)):
            if row[emotion] > 5:
                naive.append((f"{number}.png", emotion))
    found = [(name, votes.index(max(votes))) for name, votes in in_memory(text).majority("FER2013Train")]
    assert found == naive


@pytest.mark.parametrize(
    "row",
    [
        "f9.png",
        'f9.png,"(0, 0, 48, 48)"',
        'f9.png,"(0, 0, 48, 48)",0,10,0,0,0,0,0,0,0',
        'f9.png,"(0, 0, 48, 48)",0,10,0,0,0,0,0,0,0,0,0',
        'f9.png,"(0, 0, 48, 48)",0,ten,0,0,0,0,0,0,0,0',
        'f9.png,"(0, 0, 48, 48)",0,10.5,0,0,0,0,0,0,0,0',
        'f9.png,"(0, 0, 48, 48)",0,10,-1,0,0,0,0,0,0,0',
        "Image name,box,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF",
        "\u00ff\u0000,,,",
    ],
)
def test_a_malformed_row_is_named_by_file_and_line(tree, row):
    labels = tree / "FER2013Train" / "label.csv"
    labels.write_text(f"{labels.read_text(encoding='utf-8')}{row}\n", encoding="utf-8")
    assert "FER2013Train/label.csv line 7: allowed is: file name, box, ten vote counts" in complaint(tree)


def test_empty_lines_are_passed_over_and_counted(tree):
    labels = tree / "FER2013Train" / "label.csv"
    labels.write_text(f"{labels.read_text(encoding='utf-8')}\n\nbad\n", encoding="utf-8")
    assert "label.csv line 9:" in complaint(tree)


def test_a_missing_image_is_named(tree):
    (tree / "FER2013Valid" / "f3.png").unlink()
    assert "FER2013Valid/f3.png: cannot be read" in complaint(tree)


def test_an_image_missing_in_a_zip_is_named(tree, zipped):
    (tree / "FER2013Valid" / "f3.png").unlink()
    assert "FER2013Valid/f3.png: cannot be read" in complaint(zipped(tree))


def test_a_folder_without_labels_is_named(tree):
    (tree / "FER2013Train" / "label.csv").unlink()
    assert complaint(tree).endswith("no FER2013Train/label.csv: there is FER2013Valid")


def test_a_folder_of_something_else_is_told_what_is_allowed(tmp_path):
    (tmp_path / "label.csv").write_text("")
    assert complaint(tmp_path).endswith("allowed is FER2013Test, FER2013Train, FER2013Valid with label.csv")


@pytest.mark.parametrize("make", [lambda path: path.write_bytes(b"PK no zip"), lambda path: None])
def test_what_is_neither_folder_nor_zip_is_named(tmp_path, make):
    make(tmp_path / "raw")
    assert complaint(tmp_path / "raw").startswith(f"{tmp_path / 'raw'}: ")
    with pytest.raises(DataError):
        expected_faces(CONFIG, tmp_path / "raw")


@pytest.mark.parametrize("damage", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_a_file_that_is_no_image_is_named(tree, damage):
    (tree / "FER2013Valid" / "f2.png").write_bytes(damage)
    assert "FER2013Valid/f2.png: not a readable image" in complaint(tree)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_an_image_cut_short_is_named(tree, kept):
    path = tree / "FER2013Valid" / "f2.png"
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    assert "FER2013Valid/f2.png: not a readable image" in complaint(tree)


@pytest.mark.parametrize("place", [200, 900, 1800])
def test_an_image_with_a_flipped_bit_is_named(tree, place):
    path = tree / "FER2013Valid" / "f2.png"
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert "FER2013Valid/f2.png: not a readable image" in complaint(tree)


def test_labels_are_found_at_any_depth(tmp_path, tree, zipped):
    deep = tmp_path / "deep" / "er"
    deep.parent.mkdir()
    tree.rename(deep)
    assert len(list(read(CONFIG, tmp_path / "deep"))) == 12
    assert len(list(read(CONFIG, zipped(tmp_path / "deep")))) == 12


def test_a_zip_damaged_inside_an_image_is_named(tree, zipped):
    path = zipped(tree)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("data/FER2013Valid/f2.png").header_offset
    data = bytearray(path.read_bytes())
    data[start + 30 + len("data/FER2013Valid/f2.png")] ^= 0b110  # the kind of the first deflate block
    path.write_bytes(data)
    assert "FER2013Valid/f2.png" in complaint(path)


def test_an_image_whose_header_is_too_short_is_named(tree):
    path = tree / "FER2013Valid" / "f2.png"
    data = bytearray(path.read_bytes())
    data[11] ^= 1
    path.write_bytes(data)
    assert "FER2013Valid/f2.png" in complaint(path.parents[1])


@pytest.mark.parametrize("text", ["a.png,box\rb.png,box\n", '"' + "a" * 200_000 + "\n"])
def test_labels_that_are_no_csv_are_named(tree, text):
    (tree / "FER2013Train" / "label.csv").write_bytes(text.encode())
    assert "FER2013Train/label.csv line 1" in complaint(tree)


def test_a_zip_made_on_a_mac_is_read(tree, zipped):
    path = zipped(tree)
    with zipfile.ZipFile(path, "a") as archive:
        for folder in ("FER2013Train", "FER2013Valid"):
            archive.writestr(f"__MACOSX/data/{folder}/._label.csv", b"\0\5\26\7")
    assert len(list(read(CONFIG, path))) == 12


@pytest.mark.parametrize(("place", "bits"), [(8, 1), (8, 64), (10, 2)], ids=["encrypted", "strong", "unknown method"])
def test_a_zip_that_cannot_be_unpacked_is_one_line(tree, zipped, place, bits):
    """By its directory, the last file is encrypted, or packed by a method that nobody knows."""
    path = zipped(tree)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + place] ^= bits
    path.write_bytes(data)
    assert "FER2013Valid/" in complaint(path)
