"""The report's sections on what accuracy does not say: risk and coverage, the trend over the ladder, the worth of Z."""

from typing import Any

import numpy as np

from components import charts
from components.charts import Axis, Point, Series
from components.learning import metrics
from components.learning.evaluation import GAMMA, Predictions

WORDS = {
    "macro_f1": "macro F1",
    "nll": "negative log-likelihood",
    "brier": "Brier score, label",
    "votes_brier": "Brier score, votes",
    "accuracy_at_80": "accuracy at 80 % coverage",
    "aurc": "area under risk and coverage",
}
PROBES = {
    "one_chain": "Z-hat as inferred, one chain",
    "eight_chains": "Z-hat as inferred, eight chains averaged",
    "one_step": "Z-hat in one step, T = 1",
    "two_steps": "Z-hat in two steps, T = 2",
    "four_steps": "Z-hat in four steps, T = 4",
    "eight_steps": "Z-hat in eight steps, T = 8",
    "zero": "Z-hat = 0",
    "mean": "Z-hat = its mean over faces",
    "shuffled": "Z-hat of another face",
    "oracle": "Z of stage 1 (oracle)",
    "image_shuffled": "its own Z-hat, the image of another face",
}
TOLD = {
    "own_prior": "stage 1, shown the image of its Z",
    "without_label": "stage 1, told no label",
    "wrong_label": "stage 1, told a wrong label",
    "dark_image": "stage 1, shown the dark face",
}
COVERAGES = np.arange(1, 21) / 20


def risk_coverage(tables: dict[str, Predictions]) -> str:
    """A line for each model, by name: the share of wrong answers among its surest."""
    series = []
    for name, rows in tables.items():
        risks = metrics.risk_coverage(rows.probabilities, rows.labels, COVERAGES)
        series.append(Series(name, [Point(*pair) for pair in zip(COVERAGES.tolist(), risks.tolist(), strict=True)]))
    highest = max(point.y for one in series for point in one.points)
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if highest <= 5 * step or step == 0.2)
    ticks = [number * step for number in range(max(1, int(np.ceil(highest / step - 1e-9))) + 1)]
    x = Axis("coverage: share of faces answered, the surest", 0, 1, [(n / 5, f"{n / 5:.0%}") for n in range(6)])
    y = Axis("risk: share answered wrongly", 0, ticks[-1], [(at, f"{at:.0%}") for at in ticks])
    return charts.lines(series, x, y, "Risk by coverage")


def figures_table(scores: dict[str, Any], models: dict[str, str], rungs: list[str]) -> dict[str, Any]:
    """Every figure of every model, by exposure and in the other darkness."""
    columns = [*rungs, *(name for name in ("mean_dark", GAMMA) if name in scores["candidate"]["accuracy"])]
    rows = [
        {
            "figure": WORDS.get(figure, figure.replace("_", " ")),
            "model": name,
            "cells": [f"{scores[model][figure][column]:.3f}" for column in columns],
        }
        for figure in scores["candidate"]
        if figure != "temperature"
        for model, name in models.items()
    ]
    return {"columns": [column.replace("_", " ") for column in columns], "rows": rows}


def trend(scores: dict[str, Any], models: dict[str, str]) -> list[dict[str, Any]]:
    """A row for each pair of neighbouring exposures and model."""
    return [
        {**row, "model": name, "gain": _interval(row["difference"], row)}
        for model, name in models.items()
        for row in scores["trend"][model]
    ]


def prior(probed: dict[str, Any]) -> dict[str, Any]:
    """What was asked of Z, each answer beside the model's own."""
    own = probed["lldif"]["one_chain"]["accuracy"]
    rows = [_asked(words, probed["lldif"][name], own) for name, words in PROBES.items() if name in probed["lldif"]]
    rows += [
        _asked(words, probed["stage_one"][name], own) for name, words in TOLD.items() if name in probed["stage_one"]
    ]
    gap = {metric: _interval(one["value"], one) for metric, one in probed["shuffled_gap"].items()}
    deviations = {name: f"{value:.3f}" for name, value in probed["prior"].items()}
    return {"exposure": probed["exposure"], "rows": rows, "gap": gap, **deviations}


def _asked(words: str, found: dict[str, float], own: float) -> dict[str, str]:
    difference = f"{found['accuracy'] - own:+.3f}"
    return {
        "name": words,
        "accuracy": f"{found['accuracy']:.3f}",
        "difference": difference,
        "nll": f"{found['nll']:.3f}",
    }


def _interval(value: float, bounds: dict[str, float]) -> str:
    return f"{value:+.3f} [{bounds['low']:+.3f}, {bounds['high']:+.3f}]"
