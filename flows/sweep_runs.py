"""A sweep in MLflow: one run for it, nested in that one for each trial, and in those one for each confirmation."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows import sweep_charts, tracking

ENDS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}  # of a training, in MLflow's words
METRIC = "valid_accuracy"
Rows = Sequence[dict[str, Any]]  # as in trials.json


def fill(client: Any, folder: str, sweep: str, experiment: str, trials: Rows, is_over: bool) -> None:
    """Bring the nested runs of the run `sweep` up to `trials`: nothing is logged twice, whoever was killed in between.

    With `is_over` nobody works on the sweep any more: a trial that has not ended is KILLED until somebody goes on.
    """
    found = client.search_runs([folder], f"tags.sweep_run = '{sweep}'", max_results=10_000)
    known = {(run.data.tags["trial"], run.data.tags.get("seed")): run for run in found}
    common = {"experiment": experiment, "sweep_run": sweep}
    for row in trials:
        if row["status"] == "waiting":
            continue
        number = str(row["number"])
        tags = common | {"mlflow.parentRunId": sweep, "stage": "trial", "trial": number}
        run = _fill(client, folder, known.get((number, None)), f"trial {number}", tags, row, row, is_over)
        for again in row["confirmations"]:
            if again["status"] != "waiting":
                seed = str(again["seed"])
                tags = common | {"mlflow.parentRunId": run, "stage": "confirmation", "trial": number, "seed": seed}
                name = f"trial {number}, seed {seed}"
                _fill(client, folder, known.get((number, seed)), name, tags, row, again, is_over)


def _fill(
    client: Any,
    folder: str,
    run: Any,
    name: str,
    tags: dict[str, str],
    trial: dict[str, Any],
    training: dict[str, Any],
    is_over: bool,
) -> str:
    """One training of a trial; returns the id of its run."""
    if run is None:
        began = training.get("began")
        run = client.create_run(folder, tags=tags, run_name=name, start_time=int(1000 * began) if began else None)
    run_id = str(run.info.run_id)
    has = run.data.tags
    if "complete" in has:
        return run_id
    if "reports_uploaded" not in has:
        tracking.log_params(client, run_id, {name: str(value) for name, value in trial["parameters"].items()})
    done = int(has.get("reports_uploaded", "0"))
    reports = [_report(row) for row in training["history"][done:]]
    tracking.log_reports(client, run_id, reports)
    if reports or "reports_uploaded" not in has:
        client.set_tag(run_id, "reports_uploaded", str(done + len(reports)))
    status = ENDS.get(training["status"], "KILLED" if is_over else "RUNNING")
    if training["error"]:
        client.set_tag(run_id, "error", training["error"])
    if training["stopped_by"]:
        client.set_tag(run_id, "stopped_by", training["stopped_by"])
    if training["status"] in ENDS:
        last = training.get("last")
        client.set_terminated(run_id, status, int(1000 * last) if last else None)
        client.set_tag(run_id, "complete", "true")
    elif run.info.status != status:
        client.update_run(run_id, status)
    return run_id


def _report(row: dict[str, Any]) -> dict[str, Any]:
    metrics = {name: value for name, value in row.items() if name not in ("epoch", "time")}
    return {"step": row["epoch"], "metrics": metrics, "time": row.get("time", 0)}


def conclude(client: Any, sweep: str, trials: Rows, best: dict[str, Any]) -> None:
    """What the whole sweep found, on its own run: the winner, the best so far by trial, and the pictures."""
    curve = best_so_far(trials)
    tracking.log_reports(
        client, sweep, [{"step": number, "metrics": {f"best_{METRIC}": value}} for number, value in curve]
    )
    metrics = {"mean": best["mean"]} if best["spread"] is None else {"mean": best["mean"], "spread": best["spread"]}
    tracking.log_reports(client, sweep, [{"step": 0, "metrics": metrics}])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "trials.json").write_text(json.dumps(trials, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        (folder / "best.json").write_text(json.dumps(best, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        (folder / "parallel_coordinates.svg").write_text(sweep_charts.parallel(trials, best["trial"]), encoding="utf-8")
        (folder / "best_so_far.svg").write_text(sweep_charts.curve(curve), encoding="utf-8")
        client.log_artifacts(sweep, str(folder))
    client.log_table(sweep, _columns(trials), "trials_table.json")
    client.set_tag(sweep, "best_trial", str(best["trial"]))
    client.set_tag(sweep, "mlflow.note.content", best["says"])


def best_so_far(trials: Rows) -> list[tuple[int, float]]:
    """(trial, the highest last accuracy on valid of it and those before it)."""
    curve: list[tuple[int, float]] = []
    for row in trials:
        if row[METRIC] is not None:
            curve.append((row["number"], max(row[METRIC], curve[-1][1] if curve else 0.0)))
    return curve


def _columns(trials: Rows) -> dict[str, list[Any]]:
    """The table of trials: a column for each parameter, by its flat name."""
    names = sorted({name for row in trials for name in row["parameters"]})
    columns: dict[str, list[Any]] = {
        key: [row[key] for row in trials] for key in ("number", "status", "stopped_by", "epochs", METRIC)
    }
    return columns | {name: [row["parameters"][name] for row in trials] for name in names}
