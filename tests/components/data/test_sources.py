"""Importers: the embedded faces and the FER+ folders as streams of faces, ordered test, valid, train."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from components.data import ferplus as official
from components.data import sources, table
from components.data.faces import EMOTIONS, render_faces

HAPPY, SAD, SPLIT_VOTE = (0, 10) + (0,) * 8, (0, 0, 0, 8, 2) + (0,) * 5, (5, 5) + (0,) * 8
UNKNOWN, NO_FACE = (0,) * 8 + (10, 0), (0,) * 8 + (1, 9)


def ferplus(splits: str = "development", valid_share: float = 0.3, train_limit: int = 0) -> official.FerPlus:
    return official.FerPlus(
        source="ferplus",
        size=48,
        colour="grey",
        max_reject_share=0.0,
        splits=splits,
        labels="majority",
        valid_share=valid_share,
        train_limit=train_limit,
    )


def many(prefix: str, count: int) -> list[tuple[str, tuple[int, ...]]]:
    return [(f"{prefix}{number:04d}.png", (HAPPY, SAD)[number % 2]) for number in range(count)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory, write_tree):
    """All three official folders, with rows that must be dropped."""
    dropped = [("tie.png", SPLIT_VOTE), ("unknown.png", UNKNOWN), ("no_face.png", NO_FACE)]
    return write_tree(
        tmp_path_factory.mktemp("ferplus") / "tree",
        {"FER2013Train": [*many("a", 40), *dropped], "FER2013Valid": many("b", 12), "FER2013Test": many("c", 9)},
    )


def names(config: sources.FerPlus, raw) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {split: [] for split in table.SPLITS}
    for face in sources.read(config, raw):
        found[face.split].append(face.name)
    return found


def test_embedded_faces_come_split_by_split_with_all_votes_on_their_label():
    config = sources.Embedded(source="embedded", seed=3, train=9, valid=5, test=4)
    faces = list(sources.read(config, Path()))
    assert [face.split for face in faces] == ["test"] * 4 + ["valid"] * 5 + ["train"] * 9
    assert sources.expected_faces(config, Path()) == 18
    assert sources.classes(config) == EMOTIONS
    assert all(face.votes[face.label] == 1 and sum(face.votes) == 1 for face in faces)
    assert len({face.name for face in faces}) == 18
    drawn = list(render_faces(3, "train", 9))
    assert all(np.array_equal(face.pixels, own.pixels) for face, own in zip(faces[9:], drawn, strict=True))


def test_a_folder_and_a_zip_of_it_give_identical_faces(tree, zipped):
    archive = zipped(tree)
    for splits in ("official", "development"):
        ours, theirs = (list(sources.read(ferplus(splits), raw)) for raw in (tree, archive))
        assert len(ours) == (61 if splits == "official" else 52)
        for one, other in zip(ours, theirs, strict=True):
            assert np.array_equal(one.pixels, other.pixels)
            assert (one.label, one.votes, one.split, one.name) == (other.label, other.votes, other.split, other.name)
    assert sources.expected_faces(ferplus(), tree) == sources.expected_faces(ferplus(), archive)


def test_the_official_splits_are_the_official_folders(tree):
    found = names(ferplus("official"), tree)
    assert {split: {name.split("/")[0] for name in inside} for split, inside in found.items()} == {
        "train": {"FER2013Train"},
        "valid": {"FER2013Valid"},
        "test": {"FER2013Test"},
    }
    assert {split: len(inside) for split, inside in found.items()} == {"train": 40, "valid": 12, "test": 9}


def test_ties_unknown_and_not_a_face_are_dropped(tree):
    found = {name for inside in names(ferplus("official"), tree).values() for name in inside}
    assert not {name for name in found if name.endswith(("tie.png", "unknown.png", "no_face.png"))}


def test_labels_votes_and_pixels_are_those_of_the_row(tree):
    faces = {face.name: face for face in sources.read(ferplus("official"), tree)}
    glad, sad = faces["FER2013Train/a0000.png"], faces["FER2013Train/a0001.png"]
    assert official.CLASSES[glad.label] == "happiness"
    assert official.CLASSES[sad.label] == "sadness"
    assert (glad.votes, sad.votes) == ((0, 1) + (0,) * 6, (0, 0, 0, 0.8, 0.2) + (0,) * 3)
    assert (sad.pixels.shape, sad.pixels.dtype) == ((48, 48, 1), np.uint8)


def test_in_development_valid_is_carved_from_train_and_valid_serves_as_test(tree):
    found = names(ferplus(), tree)
    assert {name.split("/")[0] for name in found["test"]} == {"FER2013Valid"}
    carved = {name.split("/")[0] for name in found["valid"] + found["train"]}
    assert carved == {"FER2013Train"}
    assert not set(found["valid"]) & set(found["train"])
    assert len(found["valid"] + found["train"]) == 40
    assert 4 <= len(found["valid"]) <= 20  # 12 expected of 40


def test_a_face_keeps_its_side_when_other_files_are_added(tmp_path, tree, write_tree):
    grown = write_tree(
        tmp_path / "grown", {"FER2013Train": [*many("new", 30), *many("a", 40)], "FER2013Valid": many("b", 12)}
    )
    before, after = names(ferplus(), tree), names(ferplus(), grown)
    for split in ("train", "valid"):
        assert set(before[split]) == {name for name in after[split] if "/a" in name}
        assert len(after[split]) > len(before[split])


def test_a_greater_share_only_adds_to_valid(tree):
    small, large = (set(names(ferplus(valid_share=share), tree)["valid"]) for share in (0.1, 0.5))
    assert small < large


def test_a_limited_train_is_exact_after_duplicates_left_and_always_the_same(tmp_path, tree, write_tree):
    """Ten faces of train are copies of faces of test."""
    copies = write_tree(tmp_path / "copies", {"FER2013Train": many("a", 40), "FER2013Valid": many("b", 12)})
    for number in range(10):
        tested = (copies / "FER2013Valid" / f"b{number:04d}.png").read_bytes()
        (copies / "FER2013Train" / f"a{number:04d}.png").write_bytes(tested)
    config = ferplus(train_limit=15)
    ids = []
    for name in ("one", "two"):
        faces = sources.read(config, copies)
        path, limit = tmp_path / name, sources.train_limit(config)
        relabelled = (replace(face, label=int(face.label == official.CLASSES.index("sadness"))) for face in faces)
        counts = list(table.write(path, relabelled, ("happiness", "sadness"), "ferplus", limit))[-1]
        assert counts["train"] == 15
        assert counts["left_as_duplicates"] > 0
        ids.append(table.read_split(path, "train").ids)
    assert ids[0] == ids[1]
    assert not set(ids[0]) & set(table.read_split(tmp_path / "one", "test").ids)


def test_a_limited_train_is_the_beginning_of_a_less_limited_one(tree):
    """The sample is an order of all faces, so a larger one repeats the smaller."""
    order = names(ferplus(train_limit=1), tree)["train"]
    assert order != sorted(order)
    assert order == names(ferplus(train_limit=20), tree)["train"]
    assert set(order) == set(names(ferplus(), tree)["train"])


def test_no_limit_is_said_by_zero():
    assert sources.train_limit(ferplus(train_limit=0)) is None
    assert sources.train_limit(ferplus(train_limit=7)) == 7
    assert sources.train_limit(sources.Embedded(source="embedded", seed=1, train=1, valid=1, test=1)) is None


@pytest.mark.parametrize("splits", ["official", "development"])
def test_the_folders_needed_are_those_read(tree, splits):
    read = {name.split("/")[0] for inside in names(ferplus(splits), tree).values() for name in inside}
    assert official.folders_needed(ferplus(splits)) == read


def test_the_kind_of_source_is_told_by_its_name():
    content = {"source": "embedded", "seed": 1, "train": 1, "valid": 1, "test": 1}
    assert isinstance(TypeAdapter(sources.Source).validate_python(content), sources.Embedded)


def test_the_real_zip_holds_the_majority_faces_that_are_known(real_faces):
    """Labels only: decoding all of them would take a quarter of a minute."""
    there = official.open_folders(real_faces)
    labels: dict[str, Counter[int]] = {}
    for folder in there.folders:
        rows = [official.parse_row(line)[1] for line in there.tree.lines(there.labels(folder))]
        labels[folder] = Counter(votes.index(max(votes)) for votes in rows if votes and official.has_majority(votes))
    assert {folder: sum(counts.values()) for folder, counts in labels.items()} == {
        "FER2013Train": 21823,
        "FER2013Valid": 2866,
    }
    commonest = [official.CLASSES[label] for label, _ in labels["FER2013Train"].most_common(2)]
    assert commonest == ["neutral", "happiness"]


def test_a_real_face_is_grey_and_48_pixels_wide(real_faces):
    first = next(iter(sources.read(ferplus(), real_faces)))
    assert (first.pixels.shape, first.split, first.name.split("/")[0]) == ((48, 48, 1), "test", "FER2013Valid")
    assert first.pixels.std() > 5
