"""Two tables that stand beside every result: what LLDif's prior is worth, and that more light never costs accuracy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison.methods import CEILING
from benchmarks.comparison.runs import ANSWERS, PREDICTIONS, Line, judgement
from components.data.table import read_known
from components.learning import evaluation
from components.learning.evaluation import Resampling

Table = tuple[list[str], list[list[str]]]  # heads, rows
READ = "accuracy, % / negative log-likelihood, nats"
PROBES = {  # heads by probe, as components.learning.probes names them
    "lldif": {
        "one_chain": "K = 1",
        "eight_chains": "K = 8",
        "one_step": "T = 1",
        "two_steps": "T = 2",
        "four_steps": "T = 4",
        "eight_steps": "T = 8",
        "zero": "Z-hat = 0",
        "mean": "mean Z-hat",
        "shuffled": "shuffled Z-hat",
        "oracle": "true Z",
        "image_shuffled": "shuffled image",
    },
    "stage_one": {
        "own_prior": "stage 1, the image of its Z",
        "without_label": "stage 1, no label",
        "wrong_label": "stage 1, wrong label",
        "dark_image": "stage 1, dark face",
    },
}
NO_LABEL = dict.fromkeys(("without_label", "wrong_label"), "no label enters")  # of our stage 1 neither is asked
RESAMPLES, CONFIDENCE = 1000, 0.95


def probes(methods: Mapping[str, Sequence[Line]]) -> Table:
    """A row for each method that has a prior, the seeds' means; flips are not averaged here.

    An MLP of equal size is a training of its own, `lldif_mlp`: a row where it was run.
    """
    rows = []
    for name, runs in methods.items():
        found = [line["probes"] for line in runs if line.get("probes")]
        if found:
            cells = [
                _mean_cell([one[part].get(probe) for one in found], NO_LABEL.get(probe, "–"))
                for part in PROBES
                for probe in PROBES[part]
            ]
            deviations = [
                float(np.mean([one["prior"][key] for one in found]))
                for key in ("inferred_deviation", "chain_deviation", "true_deviation")
            ]
            explained = [one["prior"]["explained"] for one in found if "explained" in one["prior"]]  # by today's code
            share = f"{100 * float(np.mean(explained)):.0f}" if explained else "–"
            rows.append([name, found[0]["exposure"], *cells, " / ".join(f"{value:.3f}" for value in deviations), share])
    heads = [head for part in PROBES.values() for head in part.values()]
    return ["method", "exposure", *heads, "deviation of Z-hat / across chains / of Z", "of Z explained, %"], rows


def _mean_cell(found: Sequence[Mapping[str, float] | None], otherwise: str) -> str:
    known = [one for one in found if one is not None]
    if not known:
        return otherwise
    accuracy, nll = (float(np.mean([one[figure] for one in known])) for figure in ("accuracy", "nll"))
    return f"{100 * accuracy:.1f} / {nll:.3f}"


def trends(methods: Mapping[str, Sequence[Line]], root: Path) -> Table | None:
    """A row for each method whose predictions are under `root`: every rung of the ladder less the next darker one.

    The seeds' mean; "broken" where its whole interval lies below zero.
    """
    rows: list[list[str]] = []
    steps: list[str] = []
    for name, runs in methods.items():
        folders = [judgement(root, line) for line in runs]
        here = [folder for folder in folders if (folder / PREDICTIONS).exists()]
        if here and name != CEILING:
            trend = _trend(here, runs[0]["split"])
            steps = [f"{step['brighter']} less {step['darker']}" for step in trend]
            rows.append([name, *map(_step_cell, trend)])
    return (["method", *steps], rows) if rows else None


def _trend(folders: Sequence[Path], split: str) -> list[dict[str, Any]]:
    """Of one method's seeds."""
    seeds = [evaluation.read(folder / PREDICTIONS, ANSWERS) for folder in folders]
    subjects, _ = read_known(folders[0].parent / "faces.parquet", split)
    faces = seeds[0].at(seeds[0].exposures[0]).ids
    return evaluation.trend(seeds, Resampling.of(faces, subjects, RESAMPLES, CONFIDENCE, seed=1))


def _step_cell(step: Mapping[str, Any]) -> str:
    return f"{100 * step['difference']:+.1f}" + (" broken" if step["verdict"] == "broken" else "")
