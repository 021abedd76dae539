"""FER+: labels from votes, and what is not in the official form: a reject with its reason, or one line."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.data.ferplus import CLASSES, FerPlus, has_majority, is_probable
from components.data.sources import expected_faces, read
from components.records import DataError, Face, Reject

CONFIG = FerPlus(
    source="ferplus",
    size=48,
    colour="grey",
    max_reject_share=0.1,
    splits="development",
    labels="majority",
    valid_share=0.3,
    train_limit=0,
)
GLAD = (0, 10) + (0,) * 8


@pytest.fixture
def tree(tmp_path, write_tree) -> Path:
    rows = [(f"f{number}.png", GLAD) for number in range(6)]
    return write_tree(tmp_path / "tree", {"FER2013Train": rows, "FER2013Valid": rows})


def complaint(raw: Path) -> str:
    """The one line of an error that ends the reading."""
    with pytest.raises(DataError) as caught:
        list(read(CONFIG, raw))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rejects(raw: Path, config: FerPlus = CONFIG) -> dict[str, str]:
    """The reason of each reject by its name; the other faces of the tree are there."""
    found = list(read(config, raw))
    bad = {one.name: one.reason for one in found if isinstance(one, Reject)}
    assert not any("\n" in reason for reason in bad.values())
    assert len([one for one in found if isinstance(one, Face)]) + len(bad) == len(found) >= 12
    return bad


@st.composite
def ten_voters(draw) -> list[int]:
    """Ten voters spread over the ten columns."""
    chosen = [draw(st.integers(0, 9))] * draw(st.integers(0, 10))
    chosen += draw(st.lists(st.integers(0, 9), min_size=10, max_size=10))
    return [chosen[:10].count(column) for column in range(10)]


@settings(deadline=None, max_examples=200)
@given(ten_voters())
def test_a_majority_is_more_than_five_voters_for_an_emotion(votes):
    assert has_majority(votes) == any(votes[emotion] > 5 for emotion in range(8))


@settings(deadline=None, max_examples=200)
@given(ten_voters())
@example([5, 5, 0, 0, 0, 0, 0, 0, 0, 0])
@example([3, 3, 0, 0, 0, 0, 0, 0, 4, 0])
@example([3, 3, 1, 1, 1, 1, 0, 0, 0, 0])
@example([4, 1, 1, 0, 0, 0, 0, 0, 4, 0])
def test_probable_leaves_single_votes_out_and_wants_emotions_to_prevail(votes):
    kept = [0 if vote == 1 else vote for vote in votes]
    assert is_probable(votes) == (sum(kept[:8]) > 5 and max(kept[:8]) >= max(kept[8:]))
    assert is_probable(votes) or not has_majority(votes)


@pytest.mark.parametrize("labels", ["majority", "probability"])
@pytest.mark.parametrize(
    ("votes", "shares", "label", "in_majority"),
    [
        ((0, 0, 0, 6, 3, 1, 0, 0, 0, 0), (0, 0, 0, 0.6, 0.3, 0.1, 0, 0), "sadness", True),
        ((0, 0, 0, 6, 1, 1, 0, 0, 1, 1), (0, 0, 0, 6 / 8, 1 / 8, 1 / 8, 0, 0), "sadness", True),
        ((0, 0, 4, 4, 0, 0, 0, 0, 2, 0), (0, 0, 0.5, 0.5, 0, 0, 0, 0), "surprise", False),
        ((0, 2, 2, 2, 0, 0, 0, 0, 4, 0), None, None, False),
        ((2, 2, 1, 1, 1, 1, 1, 1, 0, 0), None, None, False),
    ],
)
def test_votes_are_the_shares_of_the_emotions_and_labels_says_which_training_faces_stay(
    tmp_path, write_tree, labels, votes, shares, label, in_majority
):
    raw = write_tree(tmp_path / "t", {"FER2013Train": [("a.png", votes)], "FER2013Valid": [("b.png", votes)]})
    config = CONFIG.model_copy(update={"labels": labels, "valid_share": 0.01})
    faces = {face.split: (face.votes, CLASSES[face.label]) for face in read(config, raw)}
    expected = ["test", "train"] if in_majority else ["train"] if shares and labels == "probability" else []
    assert faces == {split: (pytest.approx(shares), label) for split in expected}


def test_in_probability_mode_valid_and_test_have_the_faces_of_the_majority_mode(tmp_path, write_tree):
    rows = [(f"{number}.png", (0, 0, 0, 7, 3) + (0,) * 5) for number in range(40)]
    rows += [(f"tie{number}.png", (0, 0, 0, 5, 5) + (0,) * 5) for number in range(40)]
    raw = write_tree(tmp_path / "t", {"FER2013Train": rows, "FER2013Valid": rows})
    soft = list(read(CONFIG.model_copy(update={"labels": "probability"}), raw))
    hard = list(read(CONFIG, raw))
    for split in ("test", "valid"):
        one, other = ([(f.name, f.votes) for f in faces if f.split == split] for faces in (soft, hard))
        assert one == other
        assert {votes for _, votes in one} == {(0, 0, 0, 0.7, 0.3, 0, 0, 0)}
    names = {face.name for face in soft if face.split == "train"}
    assert len([name for name in names if "tie" in name]) > 20
    assert not names & {face.name for face in soft if face.split == "valid"}


def test_a_sample_of_train_is_exact_in_its_shares(tmp_path, write_tree):
    rows = [(f"{number}.png", (0, 0, 0, 7, 2, 1) + (0,) * 4) for number in range(20)]
    raw = write_tree(tmp_path / "t", {"FER2013Train": rows, "FER2013Valid": rows})
    config = CONFIG.model_copy(update={"train_limit": 5})
    trained = [face for face in read(config, raw) if face.split == "train"]
    assert {face.votes for face in trained} == {(0, 0, 0, 0.7, 0.2, 0.1, 0, 0)}


@pytest.mark.parametrize("votes", [(0, 9) + (0,) * 8, (0, 10, 1) + (0,) * 7, (0,) * 10])
def test_votes_that_do_not_add_up_are_a_reject(tmp_path, write_tree, votes):
    rows = [(f"f{number}.png", GLAD) for number in range(6)]
    raw = write_tree(tmp_path / "t", {"FER2013Train": rows, "FER2013Valid": [*rows, ("odd.png", votes)]})
    assert rejects(raw) == {"FER2013Valid/odd.png": f"{sum(votes)} votes in label.csv line 7: allowed are 10"}


def test_a_file_named_twice_is_one_face_and_one_reject(tree):
    labels = tree / "FER2013Valid" / "label.csv"
    labels.write_text(labels.read_text() + labels.read_text().splitlines()[2] + "\n")
    assert rejects(tree) == {"FER2013Valid/f2.png": "named again in label.csv line 7: allowed is one row for each file"}


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/passwd", "", ".", "..", "a/b.png"])
def test_a_row_that_leads_out_of_its_folder_is_a_reject(tree, name):
    with (tree / "FER2013Valid" / "label.csv").open("a") as stream:
        stream.write(f'{name},"(0, 0, 48, 48)",0,10,0,0,0,0,0,0,0,0\n')
    assert rejects(tree) == {"FER2013Valid/label.csv line 7": "allowed is: file name, box, ten vote counts"}


def test_a_name_that_is_not_utf_8_is_a_reject_with_an_escaped_name(tree, zipped):
    (tree / "FER2013Valid" / "label.csv").write_bytes(b"caf\xe9.png,box,0,10,0,0,0,0,0,0,0,0\n")
    (tree / "FER2013Valid" / "f2.png").rename(tree / "FER2013Valid" / "caf\udce9.png")
    found = [one for one in read(CONFIG, tree) if one.split == "test"]
    assert found == [Reject("FER2013Valid/caf\\xe9.png", "test", "a name that is not UTF-8: allowed is UTF-8")]


def test_two_folders_of_one_name_are_refused(tree, tmp_path):
    (tree / "more").mkdir()
    (tree / "FER2013Valid").rename(tree / "more" / "FER2013Train")
    assert complaint(tree).endswith("two folders FER2013Train (FER2013Train and more/FER2013Train): allowed is one")


def test_csvs_are_told_where_they_come_in(tmp_path):
    for name in ("fer2013.csv", "fer2013new.csv"):
        (tmp_path / name).write_text("emotion,pixels,Usage\n")
    assert complaint(tmp_path).endswith("with label.csv: fer2013.csv comes in through 'lldif data add ferplus'")


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
    assert rejects(tree) == {"FER2013Train/label.csv line 7": "allowed is: file name, box, ten vote counts"}


def test_empty_lines_are_passed_over_and_counted(tree):
    labels = tree / "FER2013Train" / "label.csv"
    labels.write_text(f"{labels.read_text(encoding='utf-8')}\n\nbad\n", encoding="utf-8")
    assert list(rejects(tree)) == ["FER2013Train/label.csv line 9"]


def test_a_missing_image_is_a_reject_in_a_folder_and_in_a_zip(tree, zipped):
    (tree / "FER2013Valid" / "f3.png").unlink()
    assert rejects(tree) == rejects(zipped(tree)) == {"FER2013Valid/f3.png": "no such file"}


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


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (b"", "empty file: allowed is an image"),
        (b"no picture", "not an image: allowed are PNG, "),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "not an image: allowed are PNG, "),
    ],
)
def test_a_file_that_is_no_image_is_a_reject(tree, damage, reason):
    (tree / "FER2013Valid" / "f2.png").write_bytes(damage)
    assert rejects(tree)["FER2013Valid/f2.png"].startswith(reason)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_an_image_cut_short_is_a_reject(tree, kept):
    path = tree / "FER2013Valid" / "f2.png"
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    assert rejects(tree) == {"FER2013Valid/f2.png": "truncated image"}


@pytest.mark.parametrize("place", [200, 900, 1800])
def test_an_image_with_a_flipped_bit_is_a_reject(tree, place):
    path = tree / "FER2013Valid" / "f2.png"
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert rejects(tree) == {"FER2013Valid/f2.png": "damaged image"}


def test_labels_are_found_at_any_depth(tmp_path, tree, zipped):
    deep = tmp_path / "deep" / "er"
    deep.parent.mkdir()
    tree.rename(deep)
    assert len(list(read(CONFIG, tmp_path / "deep"))) == 12
    assert len(list(read(CONFIG, zipped(tmp_path / "deep")))) == 12


def test_a_zip_damaged_inside_an_image_has_a_reject(tree, zipped):
    path = zipped(tree)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("data/FER2013Valid/f2.png").header_offset
    data = bytearray(path.read_bytes())
    data[start + 30 + len("data/FER2013Valid/f2.png")] ^= 0b110  # the kind of the first deflate block
    path.write_bytes(data)
    assert rejects(path)["FER2013Valid/f2.png"].startswith("damaged in the archive (")


def test_an_image_whose_header_is_too_short_is_a_reject(tree):
    path = tree / "FER2013Valid" / "f2.png"
    data = bytearray(path.read_bytes())
    data[11] ^= 1
    path.write_bytes(data)
    assert list(rejects(path.parents[1])) == ["FER2013Valid/f2.png"]


@pytest.mark.parametrize("text", ["a.png,box\rb.png,box\n", '"' + "a" * 200_000 + "\n"])
def test_labels_that_are_no_csv_are_rejects_by_line(tree, text):
    (tree / "FER2013Train" / "label.csv").write_bytes(text.encode())
    found = [one.name for one in read(CONFIG, tree) if one.split != "test"]
    assert found == ["FER2013Train/label.csv line 1"]


def test_a_line_without_end_is_refused_unread(tree):
    (tree / "FER2013Train" / "label.csv").write_bytes(b"a" * (3 << 20))
    assert complaint(tree).endswith("FER2013Train/label.csv: a line of over 1 MiB: allowed are shorter lines")


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
    with zipfile.ZipFile(path) as archive:
        last = archive.namelist()[-1]
    assert last.endswith("label.csv")
    assert "FER2013Valid/label.csv: " in complaint(path)
