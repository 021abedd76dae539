"""The table and the figure from recorded lines, the differences from recorded predictions."""

import zlib
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.special import softmax

from benchmarks.comparison import figure, report, votes
from benchmarks.comparison.runs import ANSWERS, PREDICTIONS
from components.data import table
from components.learning import evaluation
from components.learning.evaluation import Predictions
from components.records import DataError, Face

FACES, RUNGS = 40, {"clean": 1.0, "0.2": 0.2, "0.05": 0.05}


def line(method: str, seed: int, accuracy: float, trial: int | None = None) -> dict:
    scores = [
        {"exposure": name, "faces": FACES, "accuracy": accuracy * light**0.1, "mean_class_accuracy": 0.5, "nll": 1.25}
        for name, light in RUNGS.items()
    ]
    cost = {"epochs": 24, "faces_seen": 960, "parameters": 1234567, "flops": 2_500_000, "seconds": 61.4}
    where = {
        "experiment": "few",
        "preset": "tiny",
        "sizes": "ab",
        "precision": "float32",
        "split": "valid",
        "machine": "a machine",
    }
    when = {"date": "2026-11-22", "commit": "abc"}
    run = {"method": method, "seed": seed, "trial": trial, "trials": 0, "changes": {}, "scores": scores}
    return {**run, **cost, **where, **when, "digest": f"{method}-{seed}"}


OTHER = "other (1 of 2 seeds)"  # its mean stands beside one of two
LINES = [line("other", 1, 0.8), line("plain", 1, 0.6), line("plain", 2, 0.7), line("plain", 1, 0.1, trial=3)]


def rows(text: str, heading: str) -> list[list[str]]:
    part = text[text.index(f"**{heading}") :].split("\n\n")[1]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in part.splitlines()]


def test_seeds_are_averaged_trials_left_out_and_plain_comes_first(tmp_path):
    head, _, plain, other = rows(report.markdown(LINES, tmp_path), "Accuracy")
    assert head[:5] == ["method", "clean", "0.2", "0.05", "mean dark"]
    dark = [100 * 0.65 * light**0.1 for light in (0.2, 0.05)]
    assert plain[:5] == ["plain", "65.0", *(f"{value:.1f}" for value in [*dark, np.mean(dark)])]
    assert other[0] == OTHER
    assert "**Accuracy, %: less" not in report.markdown(LINES, tmp_path)  # no predictions are at hand


def test_likelihood_and_costs_have_their_tables(tmp_path):
    text = report.markdown(LINES, tmp_path)
    assert rows(text, "Negative log-likelihood")[2][1] == "1.250"
    assert rows(text, "What each run took")[2] == ["plain", "2", "24", "960", "1,234,567", "2.5", "61", "abc", ""]
    assert text.startswith("few, preset tiny, 40 faces of valid, seeds 1, 2; 2026-11-22, a machine, commit abc.")
    newer = [one | {"trained": "def"} for one in LINES[:2]]
    text = report.markdown([*newer, *LINES[2:]], tmp_path)
    assert "a machine, commit def, abc." in text
    assert [row[-2] for row in rows(text, "What each run took")[2:]] == ["def, abc", "def"]


def test_what_is_to_be_read_first_is_the_mean_over_the_dark_with_its_difference(predicted):
    text = report.markdown([*LINES, line("clean_ceiling", 1, 0.9)], predicted, against="other")
    head, _, plain, other = rows(text, "In short, the mean over 0.2, 0.05, with 95% intervals")
    assert head[:3] == ["method", "accuracy, %", "less other's"]
    assert head[5:] == ["NLL, nats", "less other's", "NLL refitted, nats", "less other's"]
    by_exposure, apart = (rows(text, heading)[2] for heading in ("Accuracy", "Accuracy, %: less other's"))
    assert plain[:3] == [by_exposure[0], by_exposure[4], apart[4]]
    assert plain[2].startswith("-50.0 (-")
    assert other[0] == OTHER
    assert other[2::2] == ["–"] * 4


def test_trainings_of_one_method_stand_side_by_side(tmp_path):
    head, _, plain, other = rows(report.markdown(LINES, tmp_path), "Each training")
    assert head == ["method", "seed 1", "seed 2"]
    dark = [np.mean([100 * accuracy * light**0.1 for light in (0.2, 0.05)]) for accuracy in (0.6, 0.7, 0.8)]
    assert plain == ["plain", f"{dark[0]:.1f} / 1.250", f"{dark[1]:.1f} / 1.250"]
    assert other == ["other", f"{dark[2]:.1f} / 1.250", "–"]
    assert "Each training" not in report.markdown(LINES[:2], tmp_path)


def test_three_trainings_of_both_have_an_interval_over_trainings(tmp_path):
    others = [line("other", seed, accuracy) for seed, accuracy in ((1, 0.70), (2, 0.72), (3, 0.77))]
    plains = [line("plain", seed, accuracy) for seed, accuracy in ((1, 0.60), (2, 0.65), (3, 0.64), (4, 0.1))]
    head, _, plain, other = rows(report.markdown([*others, *plains], tmp_path), "Each training")
    assert head[5:] == [f"{what}, less plain's, 95% interval over trainings" for what in ("accuracy, %", "NLL, nats")]
    assert plain[5:] == ["–", "–"]
    dark = np.mean([light**0.1 for light in (0.2, 0.05)])
    apart = 100 * dark * np.array([0.10, 0.07, 0.13])
    half = 4.30265 * apart.std(ddof=1) / 3**0.5  # Student's t of two degrees of freedom, from a printed table
    assert other[5] == f"{apart.mean():+.1f} ({apart.mean() - half:+.1f} to {apart.mean() + half:+.1f})"
    assert other[6] == "+0.000 (+0.000 to +0.000)"
    head, *both = rows(report.markdown([*others[:2], *plains[:2]], tmp_path), "Each training")
    assert {len(row) for row in (head, *both)} == {3}


def test_the_ceiling_shows_what_it_does_on_clean_faces_alone(tmp_path):
    *_, ceiling = rows(report.markdown([*LINES, line("clean_ceiling", 1, 0.9)], tmp_path), "Accuracy")
    assert ceiling == ["clean_ceiling (1 of 2 seeds)", "90.0", *"–––"]


def test_the_share_of_the_gap_to_the_ceiling_that_a_method_recovers_is_printed_beside_it(tmp_path):
    half_way = (0.9 + 0.6 * 0.05**0.1) / 2 / 0.05**0.1  # clean accuracy that reads half of seed 1's gap at .05
    others = [line("half", 1, half_way), line("elsewhere", 2, 0.8), line("clean_ceiling", 1, 0.9)]
    head, _, half, elsewhere = rows(report.markdown([*LINES[1:], *others], tmp_path), "Of the gap")
    assert head == ["method", "0.2", "0.05"]
    assert elsewhere[1:] == ["–", "–"]  # no seed of it has a ceiling
    assert (half[0], half[2]) == ("half (1 of 2 seeds)", "50")
    assert "Of the gap" not in report.markdown(LINES, tmp_path)


@pytest.fixture
def predicted(tmp_path) -> Path:
    """A root where `other` is right about every face, and `plain` about the first half, with seed 2 about a quarter."""
    pixels = np.random.default_rng(1).integers(0, 256, (FACES, 8, 8, 1), dtype=np.uint8)
    faces = [Face(p, n % 2, (1.0 - n % 2, n % 2 + 0.0), "valid", "", f"v{n}") for n, p in enumerate(pixels)]
    rest = [
        Face(255 - pixels[n], n, (1.0 - n, n + 0.0), split, "", f"{split}{n}") for split in ("train",) for n in (0, 1)
    ]
    test = Face(pixels[0] // 2, 0, (1.0, 0.0), "test", "", "t")
    labels = np.arange(FACES) % 2
    for name, right in (("other-1", FACES), ("plain-1", FACES // 2), ("plain-2", FACES // 4)):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        list(table.write(folder / "faces.parquet", iter([test, *faces, *rest]), ("a", "b"), "drawn"))
        said = np.where(np.arange(FACES) < right, labels, 1 - labels)
        chances = np.where(np.eye(2)[said] > 0, 0.9, 0.1).astype(np.float32)
        ids = table.read_split(folder / "faces.parquet", "valid").ids
        every = Predictions(
            ids * len(RUNGS),
            np.repeat(list(RUNGS.values()), FACES),
            np.tile(labels, len(RUNGS)),
            np.tile(np.eye(2, dtype=np.float32)[labels], (len(RUNGS), 1)),
            np.tile(chances, (len(RUNGS), 1)),
        )
        (folder / "valid").mkdir()
        evaluation.write(folder / "valid" / PREDICTIONS, {ANSWERS: every})
        wrong = replace(every, probabilities=every.probabilities[:, ::-1])
        (folder / "test").mkdir()
        evaluation.write(folder / "test" / PREDICTIONS, {ANSWERS: wrong if name.startswith("other") else every})
    return tmp_path


def test_a_difference_is_over_the_seeds_that_both_have_with_an_interval(predicted):
    by_method = report.by_method(LINES)
    found = report.difference(by_method["other"], by_method["plain"], predicted, evaluation.DARK_RUNGS)
    assert found["accuracy"].value == pytest.approx(0.5)
    assert 0.3 < found["accuracy"].low < 0.5 < found["accuracy"].high < 0.7
    expected = (np.log(0.9) - np.log(0.1)) / 2  # half of the faces change sides
    assert found["nll"].value == pytest.approx(-expected, abs=1e-6)
    head, _, other = rows(report.markdown(LINES, predicted), "Accuracy, %: less plain's, with 95% intervals")
    assert head == ["method", "clean", "0.2", "0.05", "mean dark"]  # nobody was asked at .02 or below
    assert other[0] == OTHER
    assert all(cell.startswith("+50.0 (+") for cell in other[1:])
    _, _, plain = rows(report.markdown(LINES, predicted, against="other"), "Accuracy, %: less other's")
    assert all(cell.startswith("-50.0 (-") for cell in plain[1:])


def test_lines_of_the_other_split_are_read_by_what_was_said_of_it(predicted):
    """On test `other` is wrong about every face."""
    for split, right in (("valid", 1.0), ("test", 0.0)):
        (other,) = votes.rescored([LINES[0] | {"split": split}], predicted, report.answers)
        assert {score["accuracy"] for score in other["scores"]} == {right}


def test_likelihood_with_the_temperature_refitted_asks_nothing_of_calibration(predicted):
    """`blunt` knows what `other` knows, and says it with less confidence."""
    text = report.markdown(LINES, predicted)
    path = predicted / "runs" / "other-1" / "valid" / PREDICTIONS
    sharp = evaluation.read(path, ANSWERS)
    blunt = np.where(sharp.probabilities > 0.5, 0.6, 0.4).astype(np.float32)
    evaluation.write(path, {ANSWERS: replace(sharp, probabilities=blunt)})
    heading = "Negative log-likelihood against the votes, the temperature refitted"
    assert rows(text, heading)[3][:5] == rows(report.markdown(LINES, predicted), heading)[3][:5]
    assert votes.answers(path.parent).probabilities.max() > 0.99  # it is never wrong
    unsure = votes.refitted(replace(sharp, votes=np.full_like(sharp.votes, 0.5)))
    assert unsure.probabilities == pytest.approx(0.5, abs=0.03)
    assert unsure.ids == sharp.ids


def test_the_temperature_of_one_half_of_the_faces_is_fitted_on_the_other():
    ids = [f"face-{number}" for number in range(400)]
    half = np.array([zlib.crc32(face.encode()) % 2 for face in ids])
    honest = np.random.default_rng(3).normal(0, 1.5, (400, 3))
    shares = softmax(honest, axis=1)
    said = softmax(honest * np.where(half == 0, 2.0, 0.5)[:, None], axis=1)  # too sure, and not sure enough
    rows = Predictions(ids, np.full(400, 0.05), shares.argmax(axis=1), shares, said)
    found = np.log(votes.refitted(rows).probabilities)
    spread = (found.max(axis=1) - found.min(axis=1)) / (honest.max(axis=1) - honest.min(axis=1))
    assert spread[half == 0] == pytest.approx(4.0, rel=0.02)  # the unsure half's temperature of 1/2 makes it surer yet
    assert spread[half == 1] == pytest.approx(0.25, rel=0.02)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"precision": "bfloat16"}, r"^lines of precision bfloat16, float32: a table needs one"),
        ({"epochs": 40}, r"^lines of epochs 24, 40: a table needs one; the rest belong in another --out$"),
        ({"preset": "small"}, r"^lines of preset small, tiny: "),
        ({"split": "test"}, r"^lines of split test, valid: "),
        ({"trials": 8}, r"^lines of trials 0, 8: "),
        ({"seed": 1}, r"^lines of plain seed 1: more than one; the rest belong in another --out$"),
    ],
)
def test_lines_of_two_comparisons_make_no_table(tmp_path, changes, says):
    with pytest.raises(DataError, match=says):
        report.markdown([*LINES, {**line("plain", 3, 0.5), **changes}], tmp_path)
    assert report.markdown([*LINES, {**line("plain", 3, 0.5, trial=1), **changes}], tmp_path)


def test_a_method_against_itself_differs_by_nothing(predicted):
    plain = report.by_method(LINES)["plain"]
    found = report.difference(plain, plain, predicted, (0.2,))["accuracy"]
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_calibration_and_coverage_have_their_tables_with_intervals(predicted):
    figures = {"votes_brier": 0.5, "accuracy_at_80": 0.9, "aurc": 0.125}
    scored = [{**one, "scores": [s | figures for s in one["scores"]]} for one in LINES]
    text = report.markdown(scored, predicted)
    *_, other = rows(text, "Brier score against the votes")
    assert other == [OTHER, "0.500", "0.500", "0.500", "0.500"]
    # right about all with .9, against right about half: 2 x .1^2 less the mean of it and 2 x .9^2
    assert rows(text, "Brier score against the votes: less plain's")[2][4].startswith("-0.800 (-")
    assert rows(text, "Area under the risk-coverage curve")[3] == [OTHER, "0.125", "0.125", "0.125", "0.125"]
    assert rows(text, "Area under the risk-coverage curve: less plain's")[2][4].startswith("-0.")
    *_, other = rows(text, "Accuracy at 80 % coverage")
    assert other[1] == "90.0"
    assert rows(text, "Accuracy at 80 % coverage, %: less plain's")[2][4].startswith("+50.0 (+")
    assert "**Calibration error" not in text  # no score has it here


def probed(accuracy: float) -> dict:
    def figures(*names: str) -> dict:
        return {name: {"accuracy": accuracy, "nll": 1.5} for name in names}

    return {
        "exposure": "0.05",
        "lldif": figures("one_chain", "eight_chains", "zero", "mean", "shuffled", "oracle", "image_shuffled"),
        "stage_one": figures("own_prior"),
        "prior": {"inferred_deviation": 0.25, "true_deviation": 1.0, "chain_deviation": 0.1, "explained": 0.876},
    }


def test_what_the_prior_is_worth_stands_beside_the_result(tmp_path):
    given = [*LINES, *({**line("lldif", seed, 0.7), "probes": probed(0.4 + seed / 10)} for seed in (1, 2))]
    head, _, lldif = rows(report.markdown(given, tmp_path), "What the prior is worth")
    assert lldif[:4] == ["lldif", "0.05", "55.0 / 1.500", "55.0 / 1.500"]
    told = dict(zip(head, lldif, strict=True))
    assert told["stage 1, the image of its Z"] == "55.0 / 1.500"
    assert told["stage 1, wrong label"] == told["stage 1, no label"] == "no label enters"
    assert told["T = 8"] == told["stage 1, dark face"] == "–"
    assert told["of Z explained, %"] == "88"
    assert told["deviation of Z-hat / across chains / of Z"] == "0.250 / 0.100 / 1.000"
    assert "What the prior is worth" not in report.markdown(LINES, tmp_path)


def test_more_light_that_costs_accuracy_is_called_broken(predicted):
    """`other` is right at every exposure; here its brightest answers are made the wrong ones."""
    text = report.markdown(LINES, predicted)
    assert rows(text, "Accuracy that more light gains")[0] == ["method", "clean less 0.2", "0.2 less 0.05"]
    assert rows(text, "Accuracy that more light gains")[3] == ["other", "+0.0", "+0.0"]
    path = predicted / "runs" / "other-1" / "valid" / PREDICTIONS
    answers = evaluation.read(path, ANSWERS)
    dazzled = np.where((answers.exposures == 0.2)[:, None], answers.probabilities[:, ::-1], answers.probabilities)
    evaluation.write(path, {ANSWERS: replace(answers, probabilities=dazzled)})
    text = report.markdown(LINES, predicted)
    assert rows(text, "Accuracy that more light gains")[3] == ["other", "+100.0", "-100.0 broken"]


def test_the_figure_is_a_picture_of_its_own_with_a_line_for_each_method(tmp_path):
    picture = ElementTree.fromstring(figure.accuracy_by_exposure([*LINES, line("clean_ceiling", 1, 0.9)]))
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    names = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"plain", "other", "clean ceiling", "clean", ".2", ".05"} <= set(names)
    lengths = [len(one.get("points").split()) for one in picture.iter("{http://www.w3.org/2000/svg}polyline")]
    assert lengths == [3, 3, 1]  # the ceiling is one point
