"""Prediction tables: they come back as written, and scores are read off them by rung."""

import numpy as np
import pytest

from components.data.table import DarkFaces
from components.learning import evaluation
from components.learning.evaluation import Group, Predictions
from components.learning.metrics import accuracy

LADDER = (1.0, 0.2, 0.05, 0.02, 0.01, 0.005)


def predictions(seed: int = 1, per_rung: int = 50, classes: int = 7) -> Predictions:
    generator = np.random.default_rng(seed)
    count = per_rung * len(LADDER)
    chances = generator.dirichlet(np.ones(classes), count).astype(np.float32)
    ids = [f"face-{number % per_rung}" for number in range(count)]
    return Predictions(ids, np.repeat(LADDER, per_rung), generator.integers(0, classes, count), chances)


def test_each_models_predictions_come_back_as_written(tmp_path):
    models = {"candidate": predictions(1), "baseline": predictions(2)}
    evaluation.write(tmp_path / "p.parquet", models)
    for name, given in models.items():
        back = evaluation.read(tmp_path / "p.parquet", name)
        assert back.ids == given.ids
        assert np.array_equal(back.exposures, given.exposures)
        assert np.array_equal(back.labels, given.labels)
        assert np.array_equal(back.probabilities, given.probabilities)
        assert np.array_equal(back.predicted, given.predicted)
        assert (back.labels.dtype, back.probabilities.dtype) == (np.int64, np.float32)


def test_tables_of_several_row_groups_keep_their_order(tmp_path):
    given = predictions(per_rung=800)
    evaluation.write(tmp_path / "p", {"candidate": given})
    assert evaluation.read(tmp_path / "p", "candidate").ids == given.ids


def test_the_same_predictions_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        evaluation.write(tmp_path / name, {"candidate": predictions()})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_predictions_belong_to_the_faces_they_were_made_for():
    faces = DarkFaces(["a", "b"], np.array([1.0, 0.2]), np.zeros((2, 4, 4, 1), np.uint8), np.array([1, 0]), ("x", "y"))
    made = evaluation.of(faces, np.array([[0.1, 0.9], [0.2, 0.8]]))
    assert (made.ids, made.predicted.tolist(), made.labels.tolist()) == (["a", "b"], [1, 1], [1, 0])


def test_there_is_one_score_for_each_rung_brightest_first():
    given = predictions()
    scored = evaluation.scores(given)
    assert [one.exposure for one in scored] == ["clean", "0.2", "0.05", "0.02", "0.01", "0.005"]
    for one, rung in zip(scored, LADDER, strict=True):
        here = given.exposures == rung
        assert one.faces == 50
        assert one.accuracy == accuracy(given.predicted[here], given.labels[here])


def test_mean_dark_is_the_mean_over_four_rungs_without_clean_and_the_darkest():
    scored = evaluation.scores(predictions())
    summary = evaluation.summary(scored)
    assert set(summary) == {"accuracy", "mean_class_accuracy", "macro_f1", "brier", "calibration_error"}
    for metric in summary:
        by_rung = {one.exposure: getattr(one, metric) for one in scored}
        dark = np.mean([by_rung[rung] for rung in ("0.2", "0.05", "0.02", "0.01")])
        assert summary[metric].pop("mean_dark") == pytest.approx(dark, abs=1e-4)
        assert summary[metric] == pytest.approx(by_rung, abs=5e-5)


def test_without_a_dark_rung_there_is_no_mean_dark():
    given = predictions()
    clean = given.exposures == 1.0
    rows = Predictions(given.ids[:50], given.exposures[clean], given.labels[clean], given.probabilities[clean])
    assert set(evaluation.summary(evaluation.scores(rows))["accuracy"]) == {"clean"}


def test_slices_are_of_all_faces_of_each_class_and_of_each_attribute_at_every_rung():
    given = predictions(per_rung=60, classes=3)
    known = Group(["ann", "bob", "cy"] * 120, [{"tone": str(n % 10 + 1)} for n in range(60)] * 6)
    rows = list(evaluation.slices(given, known, ("x", "y", "z"), 200, 0.95, seed=1))
    assert [row["exposure"] for row in rows if row["metric"] == "brier"] == [
        "clean", "0.2", "0.05", "0.02", "0.01", "0.005",
    ]  # fmt: skip
    dark = [row for row in rows if row["exposure"] == "0.05"]
    names = [row["slice"] for row in dark]
    assert names == ["all"] * 5 + ["class=x", "class=y", "class=z"] + [f"tone={n}" for n in range(1, 11)]
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows if row["metric"] != "calibration_error")
    here = given.exposures == 0.05
    right = (given.predicted == given.labels)[here]
    for tone in range(10):
        (row,) = (row for row in dark if row["slice"] == f"tone={tone + 1}")
        assert (row["faces"], row["value"]) == (6, round(float(right[tone::10].mean()), 4))
    of_class = [row for row in dark if row["metric"] == "recall"]
    assert sum(row["faces"] * row["value"] for row in of_class) == pytest.approx(right.sum(), abs=0.01)
