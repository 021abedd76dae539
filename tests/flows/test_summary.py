"""The table at the end of a run. Milliseconds."""

import io
import re

import pytest
from rich.console import Console

from flows import summary

ANSWER = {
    "experiment": "demo",
    "stages": [
        {"name": "ingest", "status": "cached", "seconds": 1.2},
        {"name": "train_diffusion", "status": "ran", "seconds": 185.0},
    ],
    "candidate": {
        "accuracy": {"clean": 0.75, "0.2": 0.5, "mean_dark": 0.25, "gamma": 0.3},
        "nll": {"clean": 0.9, "0.2": 1.2, "mean_dark": 1.31, "gamma": 1.4},
    },
    "baseline": {
        "accuracy": {"clean": 0.7, "0.2": 0.4, "mean_dark": 0.2, "gamma": 0.2},
        "nll": {"clean": 0.9, "0.2": 1.2, "mean_dark": 1.42, "gamma": 1.4},
    },
    "majority": 0.143,
    "votes_entropy": 0.45,
    "trend": [
        {"brighter": "clean", "darker": "0.2", "difference": 0.25, "low": 0.2, "high": 0.3, "verdict": "holds"},
        {"brighter": "0.2", "darker": "0.05", "difference": -0.06, "low": -0.1, "high": -0.02, "verdict": "broken"},
    ],
    "probes": {
        "exposure": "0.05",
        "lldif": {name: {"accuracy": 0.56, "nll": 1.3} for name in (*summary.PRIORS, *summary.ASKED)},
        "stage_one": {"own_prior": {"accuracy": 0.43, "nll": 1.4}, "without_label": {"accuracy": 0.21, "nll": 1.9}},
        "shuffled_gap": {"accuracy": {"value": 0.011, "low": -0.002, "high": 0.024}},
    },
    "test": {"candidate": {"clean": 0.72}, "champion": {"clean": 0.71}},
    "gates": [
        {"name": "better_than_majority", "outcome": "pass", "why": "accuracy 0.500 at exposure 0.2, 0.243 asked"},
        {"name": "not_worse_than_champion", "outcome": "fail", "why": "12 faces won, 40 lost of 350: p = 0.9"},
        {"name": "every_class", "outcome": "inconclusive", "why": "12 faces in class=fear: at least 50 are asked"},
    ],
    "decision": "rejected",
    "model": "lldif-demo",
    "version": 7,
    "alias": None,
    "warnings": ["faces are neither black nor white: broken by 28 of 280 rows"],
    "report": "reports/demo/index.html",
}


def drawn(width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(summary.table(ANSWER, drawn=True))
    return console.file.getvalue()


def words(text: str) -> list[str]:
    return re.findall(r"[^\s─]+", text)


def test_a_terminal_and_a_file_get_the_same_content():
    assert words(drawn(120)) == words(summary.text(ANSWER))


def test_it_tells_stages_accuracy_gates_decision_and_what_to_type():
    text = summary.text(ANSWER)
    for line in (
        r"ingest +up to date",
        r"train_diffusion +ran +3 min 05 s",
        r"accuracy by exposure \(always the commonest class: 0\.143; mean_dark: over 0\.2\)",
        r"clean +0\.750 +0\.700 +0\.720 +0\.710",
        r"mean_dark +0\.250 +0\.200\n +gamma +0\.300 +0\.200\n",
        r"votes, mean_dark: LLDif 1\.310, baseline 1\.420, at least 0\.450",
        r"more light never costs accuracy: broken: 0\.2 is worse than 0\.05 by 0\.060",
        r"accuracy by Z-hat, exposure 0\.05: inferred 0\.560, mean 0\.560, another face's 0\.560, none 0\.560",
        r"asked in one step 0\.560, two 0\.560, .* eight chains 0\.560, another face's image 0\.560\n",
        r"stage 1 itself 0\.430, without label 0\.210\n",
        r"Z-hat is worth 0\.011 \[-0\.002, 0\.024\] over another face's",
        r"passed +better_than_majority +accuracy 0\.500",
        r"FAILED +not_worse_than_champion",
        r"undecided +every_class",
        r"warnings about the data\n +faces are neither black nor white: broken by 28 of 280 rows",
        r"rejected: lldif-demo version 7",
        r"reports/demo/index\.html",
        r"dvc exp run -S params/demo\.yaml:train_diffusion\.epochs=12",
    ):
        assert re.search(line, text), line
    assert "\x1b" not in text
    assert not re.search(r" $", text, re.MULTILINE)


def test_a_trend_that_holds_is_said_to():
    lines = summary.measured(ANSWER | {"trend": ANSWER["trend"][:1]})
    assert "more light never costs accuracy: holds" in lines


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal_loses_no_figure_and_no_gate(width: int):
    text = drawn(width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for word in ("champion", "0.710", "not_worse_than_champion", "lldif-demo"):
        assert word in text
