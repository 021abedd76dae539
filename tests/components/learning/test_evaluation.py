"""Prediction tables: they come back as written, and scores are read off them by rung."""

from dataclasses import replace

import numpy as np
import pytest

from components.learning import evaluation
from components.learning.bootstrap import WITHOUT_INTERVAL
from components.learning.evaluation import Predictions, Resampling
from components.learning.metrics import accuracy
from components.lowlight.table import DarkFaces
from components.records import DataError

# figures that are not linear in the faces: a resample, which repeats some, has them higher or lower on the whole
BIASED = ("accuracy_at_80", "aurc")
LADDER = (1.0, 0.2, 0.05, 0.02, 0.01, 0.005)


def predictions(seed: int = 1, per_rung: int = 50, classes: int = 7) -> Predictions:
    generator = np.random.default_rng(seed)
    count = per_rung * len(LADDER)
    chances = generator.dirichlet(np.ones(classes), count).astype(np.float32)
    ids = [f"face-{number % per_rung}" for number in range(count)]
    votes = (generator.multinomial(10, np.ones(classes) / classes, count) / 10).astype(np.float32)
    return Predictions(ids, np.repeat(LADDER, per_rung), generator.integers(0, classes, count), votes, chances)


def test_each_models_predictions_come_back_as_written(tmp_path):
    models = {"candidate": predictions(1), "baseline": predictions(2)}
    evaluation.write(tmp_path / "p.parquet", models)
    for name, given in models.items():
        back = evaluation.read(tmp_path / "p.parquet", name)
        assert back.ids == given.ids
        assert np.array_equal(back.exposures, given.exposures)
        assert np.array_equal(back.labels, given.labels)
        assert np.array_equal(back.probabilities, given.probabilities)
        assert np.array_equal(back.votes, given.votes)
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
    images, votes = np.zeros((2, 4, 4, 1), np.uint8), np.array([[0.2, 0.8], [1.0, 0.0]])
    faces = DarkFaces(["a", "b"], np.array([1.0, 0.2]), images, np.array([1, 0]), votes, ("x", "y"))
    made = evaluation.of(faces, np.array([[0.1, 0.9], [0.2, 0.8]]))
    assert (made.ids, made.predicted.tolist(), made.labels.tolist()) == (["a", "b"], [1, 1], [1, 0])
    assert np.array_equal(made.votes, votes)


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
    assert set(summary) == {
        "accuracy", "mean_class_accuracy", "macro_f1", "nll", "brier", "votes_brier", "calibration_error",
        "accuracy_at_80", "aurc",
    }  # fmt: skip
    for metric in summary:
        by_rung = {one.exposure: getattr(one, metric) for one in scored}
        dark = np.mean([by_rung[rung] for rung in ("0.2", "0.05", "0.02", "0.01")])
        assert summary[metric].pop("mean_dark") == pytest.approx(dark, abs=1e-4)
        assert summary[metric] == pytest.approx(by_rung, abs=5e-5)


def test_another_darkness_has_a_name_of_its_own_and_no_part_in_mean_dark():
    given = predictions()
    other = replace(given.at(0.05), exposures=np.full(50, np.nan), probabilities=given.votes[:50])
    scored = [*evaluation.scores(given), evaluation.score_of("gamma", other)]
    summary = evaluation.summary(scored)
    for metric, values in evaluation.summary(scored[:-1]).items():
        assert summary[metric] == values | {"gamma": round(getattr(scored[-1], metric), 4)}


def test_without_a_dark_rung_there_is_no_mean_dark():
    clean = predictions().at(1.0)
    assert len(clean.ids) == 50
    assert set(evaluation.summary(evaluation.scores(clean))["accuracy"]) == {"clean"}


def slices(given: Predictions, subjects: list[str], attributes: list[dict[str, str]]):
    how = Resampling.of(given.ids[: len(subjects)], subjects, 200, 0.95, seed=1)
    return list(evaluation.slices(evaluation.rungs(given), attributes, ("x", "y", "z"), how))


def test_slices_are_of_all_faces_of_each_class_and_of_each_attribute_at_every_rung():
    given = predictions(per_rung=60, classes=3)
    rows = slices(given, ["ann", "bob", "cy"] * 20, [{"tone": str(n % 10 + 1)} for n in range(60)])
    assert [row["exposure"] for row in rows if row["metric"] == "brier"] == [
        "clean", "0.2", "0.05", "0.02", "0.01", "0.005",
    ]  # fmt: skip
    dark = [row for row in rows if row["exposure"] == "0.05"]
    names = [row["slice"] for row in dark]
    assert names == ["all"] * 8 + ["class=x", "class=y", "class=z"] + [f"tone={n}" for n in range(1, 11)]
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows if row["metric"] not in BIASED)
    here = given.exposures == 0.05
    right = (given.predicted == given.labels)[here]
    for tone in range(10):
        (row,) = (row for row in dark if row["slice"] == f"tone={tone + 1}")
        assert (row["faces"], row["value"]) == (6, round(float(right[tone::10].mean()), 4))
    of_class = [row for row in dark if row["metric"] == "recall"]
    assert sum(row["faces"] * row["value"] for row in of_class) == pytest.approx(right.sum(), abs=0.01)


def test_a_slice_has_the_figures_that_its_score_has():
    given = predictions(per_rung=30, classes=3)
    found = {(row["exposure"], row["metric"]): row["value"] for row in slices(given, [""] * 30, [{}] * 30)}
    for one in evaluation.scores(given):
        for figure in set(evaluation.FIGURES) - set(WITHOUT_INTERVAL):
            assert found[one.exposure, figure] == round(getattr(one, figure), 4)


def resampling(given: Predictions, subjects: list[str] | None = None) -> Resampling:
    ids = given.at(0.2).ids
    return Resampling.of(ids, subjects or [""] * len(ids), 300, 0.95, seed=2)


def test_known_subjects_are_drawn_whole_and_unknown_ones_face_by_face():
    weights = Resampling.of(["a", "b", "c", "d"], ["ann", "ann", "", ""], 100, 0.95, 1).weights
    assert np.array_equal(weights[:, 0], weights[:, 1])
    assert (weights[:, 2] != weights[:, 3]).any()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()


def mean_over(models: list[Predictions], figure: str, exposures: tuple[float, ...]) -> float:
    return float(np.mean([getattr(evaluation.score_of("x", m.at(e)), figure) for m in models for e in exposures]))


@pytest.mark.parametrize("figure", ["accuracy", "nll", "aurc"])
def test_a_comparison_is_the_difference_of_mean_figures(figure):
    first = predictions(1)
    # the same face has the same label and the same votes at every exposure
    labels, votes = np.tile(first.labels[:50], 6), np.tile(first.votes[:50], (6, 1))
    models = [replace(predictions(seed), labels=labels, votes=votes) for seed in (1, 2, 3)]
    found = evaluation.compare(models[:2], models[2:], (0.2, 0.05), resampling(first))[figure]
    expected = mean_over(models[:2], figure, (0.2, 0.05)) - mean_over(models[2:], figure, (0.2, 0.05))
    assert found.value == pytest.approx(expected)
    assert found.low < found.value < found.high


def test_predictions_of_other_faces_are_not_compared():
    one = predictions()
    with pytest.raises(AssertionError):
        evaluation.compare([one], [replace(one, ids=one.ids[::-1])], (0.2,), resampling(one))


def at_accuracy(shares: dict[float, float]) -> Predictions:
    """400 faces at each exposure; the first so many are named rightly."""
    labels = np.zeros(400, int)
    tables = [np.eye(2)[(np.arange(400) >= round(400 * share)).astype(int)] for share in shares.values()]
    exposures, ids = np.repeat(list(shares), 400), [f"f{n}" for n in range(400)] * len(shares)
    count = len(shares)
    return Predictions(
        ids, exposures, np.tile(labels, count), np.eye(2)[np.tile(labels, count)], np.concatenate(tables)
    )


def test_more_light_that_helps_or_hurts_within_noise_holds_and_more_light_that_hurts_is_broken():
    given = at_accuracy({1.0: 0.7, 0.2: 0.9, 0.05: 0.905, 0.02: 0.6})
    rows = evaluation.trend([given], resampling(given))
    assert [(row["brighter"], row["darker"], row["verdict"]) for row in rows] == [
        ("clean", "0.2", "broken"), ("0.2", "0.05", "holds"), ("0.05", "0.02", "holds"),
    ]  # fmt: skip
    assert [row["difference"] for row in rows] == [-0.2, -0.005, 0.305]
    assert all(row["low"] <= row["difference"] <= row["high"] for row in rows)
    assert rows[1]["high"] >= 0 > rows[0]["high"]


def test_the_trend_of_several_seeds_is_their_mean():
    """One of them alone is broken."""
    seeds = [at_accuracy({1.0: 0.7, 0.2: 0.8}), at_accuracy({1.0: 0.9, 0.2: 0.8})]
    assert evaluation.trend(seeds[:1], resampling(seeds[0]))[0]["verdict"] == "broken"
    (row,) = evaluation.trend(seeds, resampling(seeds[0]))
    assert (row["difference"], row["verdict"]) == (0.0, "holds")


def test_a_model_whose_answers_are_not_numbers_has_no_score():
    given = predictions()
    given.probabilities[120, 3] = np.nan
    with pytest.raises(DataError, match="the first in row 20"):
        evaluation.scores(given)
