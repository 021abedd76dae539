"""The report's sections on what accuracy does not say. Milliseconds."""

import re

import numpy as np
import pytest

from components.learning.evaluation import Predictions
from flows import measured

MODELS = {"candidate": "LLDif", "baseline": "baseline"}


def ranked(wrong: list[int], count: int = 100) -> Predictions:
    """Faces of class 0 from the surest down, those in places `wrong` answered with class 1."""
    confidence = np.linspace(0.99, 0.6, count)[:, None]
    named = np.eye(2)[np.isin(np.arange(count), wrong).astype(int)]
    labels = np.zeros(count, int)
    chances = confidence * named + (1 - confidence) * (1 - named)
    return Predictions([str(n) for n in range(count)], np.full(count, 0.05), labels, np.eye(2)[labels], chances)


def heights(svg: str, series: int) -> list[float]:
    points = re.search(rf'series-{series} line"[^>]* points="([^"]*)"', svg)
    assert points
    return [float(pair.split(",")[1]) for pair in points[1].split()]


def test_a_model_whose_errors_are_its_least_sure_answers_has_no_risk_until_it_must_answer_them():
    svg = measured.risk_coverage({"sorted": ranked(list(range(80, 100))), "reversed": ranked(list(range(20)))})
    best, worst = heights(svg, 0), heights(svg, 1)
    assert len(best) == len(worst) == 20
    assert len(set(best[:16])) == 1  # no error in the surest 80 %
    assert best[-1] == worst[-1] < best[0]
    assert worst[0] < worst[-1]  # up is less on a screen
    assert "sorted" in svg


@pytest.mark.parametrize(("errors", "top"), [(0, "1%"), (3, "3%"), (60, "60%"), (100, "100%")])
def test_the_axis_of_risk_fits_what_is_shown(errors, top):
    svg = measured.risk_coverage({"one": ranked(list(range(100 - errors, 100)))})
    assert f">{top}<" in svg
    assert min(heights(svg, 0)) >= 15.9


FIGURES = {"accuracy": {"clean": 0.8, "0.05": 0.7, "mean_dark": 0.7, "gamma": 0.6}, "temperature": 1.2}


def test_the_table_of_figures_ends_with_the_mean_and_the_other_darkness():
    found = measured.figures_table({"candidate": FIGURES, "baseline": FIGURES}, MODELS, ["clean", "0.05"])
    assert found["columns"] == ["clean", "0.05", "mean dark", "gamma"]
    row = {"figure": "accuracy", "cells": ["0.800", "0.700", "0.700", "0.600"]}
    assert found["rows"] == [{**row, "model": "LLDif"}, {**row, "model": "baseline"}]


def test_a_step_of_the_ladder_is_told_with_its_interval_and_verdict():
    step = {"brighter": "clean", "darker": "0.2", "difference": -0.05, "low": -0.08, "high": -0.02, "verdict": "broken"}
    (row,) = measured.trend({"trend": {"candidate": [step]}}, {"candidate": "LLDif"})
    assert (row["gain"], row["verdict"], row["model"]) == ("-0.050 [-0.080, -0.020]", "broken", "LLDif")


def test_what_was_asked_of_z_stands_beside_the_models_own_answer():
    asked = {name: {"accuracy": 0.5, "nll": 1.0} for name in measured.PROBES}
    asked["zero"] = {"accuracy": 0.45, "nll": 1.25}
    interval = {"value": 0.0, "low": -0.01, "high": 0.01}
    found = measured.prior(
        {
            "exposure": "0.05",
            "lldif": asked,
            "stage_one": {"own_prior": {"accuracy": 0.9, "nll": 0.2}},
            "prior": {"inferred_deviation": 0.1, "true_deviation": 0.2, "chain_deviation": 0.3, "explained": 0.7},
            "shuffled_gap": {"accuracy": interval, "nll": interval},
        }
    )
    rows = {row["name"]: row for row in found["rows"]}
    assert (rows["Z-hat = 0"]["difference"], rows["Z-hat = 0"]["nll"]) == ("-0.050", "1.250")
    assert rows["stage 1, shown the image of its Z"]["difference"] == "+0.400"
    assert len(rows) == len(measured.PROBES) + 1  # where no label enters Z, none is withheld
    assert (found["gap"]["nll"], found["true_deviation"]) == ("+0.000 [-0.010, +0.010]", "0.200")
