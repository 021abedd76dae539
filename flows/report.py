"""`lldif report`: one self-contained page about an experiment, made from what its stages left."""

import base64
import datetime
import json
from collections import Counter
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pyarrow.parquet as pq

from components import atomic, charts
from components.charts import Axis, Point, Series
from components.data.table import notes, open_table, read_known
from components.learning import evaluation
from components.learning.evaluation import exposure_name
from components.lowlight.table import DarkFaces, read_dark
from components.records import DataError
from flows import accounts, measured, project, sheets, tracking
from flows.desk import open_ledger
from flows.policy import Policy
from flows.project import ROOT, Failed
from flows.verdicts import MARKS, averaged

MODELS = {"candidate": "LLDif", "baseline": "baseline"}
WATCHED = 0.05  # the exposure whose classes and attributes are shown
SHEET_RUNG = 0.02  # the exposure whose best and worst faces are shown
SHOWN = 8  # of each
TRAININGS = {"prior": "stage 1", "lldif": "stage 2", "baseline": "baseline"}
CONTENTS = {
    "darkness": "In the dark",
    "faces": "Faces",
    "scores": "Scores",
    "prior": "The worth of Z",
    "training": "Training",
    "sweep": "Sweep",
    "data": "Data",
    "validation": "Validation",
    "verdict": "Verdict",
    "reproduce": "Reproduce",
}


def write(policy: Policy, experiment: str) -> Path:
    """Make reports/EXPERIMENT/index.html, its pictures beside it, and return its path.

    Raises Failed where a stage has not run.
    """
    page = project.reports_folder(experiment) / "index.html"
    try:
        content = gather(project.runs_folder(experiment), experiment)
    except FileNotFoundError as error:
        missing = Path(error.filename or str(error)).relative_to(ROOT)  # pyarrow's message is the path
        raise Failed(f"{missing}: missing: 'lldif run {experiment}' or 'dvc pull' brings it", "data") from None
    except DataError as error:
        raise Failed(str(error).replace(f"{ROOT}/", ""), "data") from None
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        (Path(__file__).parent / "report.html").read_text(encoding="utf-8")
    )
    pictures = content.pop("pictures")
    for name, picture in pictures.items():
        with atomic.replacing(page.with_name(f"{name}.png")) as temporary:
            temporary.write_bytes(picture)
    inline = {name: f"data:image/png;base64,{base64.b64encode(p).decode()}" for name, p in pictures.items()}
    atomic.write_text(page, template.render(**content, pictures=inline, **_verdict(policy, experiment)))
    return page


def gather(runs: Path, experiment: str) -> dict[str, Any]:
    """Everything on the page but the verdict, from the outputs of the stages."""
    slices, scores = _json(runs / "slices.json"), _json(runs / "scores.json")
    dark = read_dark(runs / "dark_valid.parquet")
    predictions = {model: evaluation.read(runs / "predictions.parquet", model) for model in MODELS}
    rungs = sorted(set(dark.exposures.tolist()), reverse=True)
    watched, sheet_rung = dark.rung(WATCHED), dark.rung(SHEET_RUNG)
    params = project.read_params(experiment)
    source = project.provenance()
    data = _data_sheet(runs)
    return {
        "experiment": experiment,
        "commit": source.commit,
        "dirty": source.dirty,
        "made": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "contents": list(CONTENTS.items()),
        "tiles": _tiles(scores, exposure_name(dark.rung(0.2)), exposure_name(watched)),
        "confidence": f"{params['evaluation']['confidence']:.0%}",
        "darkness": _darkness(slices, rungs, scores["majority"]),
        "curve": _curve(slices, rungs),
        "pictures": _pictures(dark, predictions["candidate"], rungs, sheet_rung),
        "sheet_rung": exposure_name(sheet_rung),
        "scores": measured.figures_table(scores, MODELS, [exposure_name(rung) for rung in rungs]),
        "averaged": averaged(scores["candidate"]["accuracy"]),
        "votes_entropy": f"{scores['votes_entropy']:.3f}",
        "risk_coverage": measured.risk_coverage(
            {name: predictions[model].at(watched) for model, name in MODELS.items()}
        ),
        "trend": measured.trend(scores, MODELS),
        "prior": measured.prior(_json(runs / "probes.json")),
        "temperature": {model: f"{scores[model]['temperature']:.2f}" for model in MODELS},
        "watched": exposure_name(watched),
        "classes": _by_class(slices, exposure_name(watched)),
        "attributes": _by_attribute(slices, exposure_name(watched)),
        "confusion": _confusion(runs, dark.classes, dark.rung(params["evaluation"]["confusion_at"])),
        "training": _training(runs),
        "trials": _trials(runs),
        "best": _json(runs / "best.json"),
        "data": data,
        "validation": _json(runs / "validation.json"),
        "reproduce": _reproduce(experiment, source.commit),
        "params": project.params_path(experiment).read_text(encoding="utf-8"),
    }


def _verdict(policy: Policy, experiment: str) -> dict[str, Any]:
    """What the gates said of the model in runs/, if it was judged and the registry answers."""
    from components.records import file_sha256

    weights = project.runs_folder(experiment) / "lldif.safetensors"
    try:
        with tracking.reachable(policy) as client:
            version = tracking.find_version(client, policy.registry.model_name(experiment), file_sha256(weights))
        entries = open_ledger(policy).entries()
    except (Failed, FileNotFoundError) as error:
        return {"verdict": None, "verdict_missing": f"Unknown: {error}."}
    account = accounts.account(entries, experiment, version.identity) if version else None
    if version is None or account is None or account.judged is None:
        return {"verdict": None, "verdict_missing": f"Not judged yet: lldif run {experiment}."}
    found = {"model": version.name, "version": version.number, "alias": version.alias}
    gates = [gate | {"mark": MARKS[gate["outcome"]]} for gate in account.judged.gates]
    return {"verdict": {**found, "decision": account.decision, "gates": gates}, "verdict_missing": ""}


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _tiles(scores: dict[str, Any], bright: str, dark: str) -> list[dict[str, str]]:
    ours, plain = scores["candidate"]["accuracy"], scores["baseline"]["accuracy"]
    return [
        {"name": f"LLDif, exposure {bright}", "value": f"{ours[bright]:.1%}", "tone": ""},
        {"name": f"LLDif, exposure {dark}", "value": f"{ours[dark]:.1%}", "tone": ""},
        {"name": f"baseline, exposure {dark}", "value": f"{plain[dark]:.1%}", "tone": ""},
        {"name": "always the commonest class", "value": f"{scores['majority']:.1%}", "tone": "quiet"},
    ]


def _of_all(slices: list[dict[str, Any]], model: str, rungs: list[float]) -> list[dict[str, Any]]:
    rows = {
        row["exposure"]: row
        for row in slices
        if (row["model"], row["slice"], row["metric"]) == (model, "all", "accuracy")
    }
    return [rows[exposure_name(rung)] for rung in rungs]


def _darkness(slices: list[dict[str, Any]], rungs: list[float], majority: float) -> str:
    """Rungs at even distances, brightest left: the steps of the ladder are what was measured."""
    series = [
        Series(name, [_point(place, row) for place, row in enumerate(_of_all(slices, model, rungs))])
        for model, name in MODELS.items()
    ]
    x = Axis("exposure", 0, len(rungs) - 1, [(place, exposure_name(rung)) for place, rung in enumerate(rungs)])
    return charts.lines(series, x, _share("accuracy"), "Accuracy by exposure", ("commonest class", majority))


def _point(place: float, row: dict[str, Any]) -> Point:
    return Point(place, row["value"], row["low"], row["high"])


def _share(title: str) -> Axis:
    return Axis(title, 0, 1, [(number / 5, f"{number / 5:.1f}") for number in range(6)])


def _curve(slices: list[dict[str, Any]], rungs: list[float]) -> dict[str, Any]:
    columns = [_of_all(slices, model, rungs) for model in MODELS]
    rows = [
        {"name": exposure_name(rung), "cells": [f"{r['value']:.3f} [{r['low']:.3f}, {r['high']:.3f}]" for r in row]}
        for rung, *row in zip(rungs, *columns, strict=True)
    ]
    return {"columns": list(MODELS.values()), "rows": rows}


def _by_class(slices: list[dict[str, Any]], rung: str) -> str:
    rows = [row for row in slices if (row["model"], row["exposure"], row["metric"]) == ("candidate", rung, "recall")]
    return charts.intervals(
        [(row["slice"].partition("=")[2], f"({row['faces']})", _point(0, row)) for row in rows],
        _share("share of the class recognised (faces)"),
        "Recall by class",
    )


def _by_attribute(slices: list[dict[str, Any]], rung: str) -> str:
    rows = [
        row
        for row in slices
        if (row["model"], row["exposure"]) == ("candidate", rung)
        and "=" in row["slice"]
        and not row["slice"].startswith("class=")
    ]
    if not rows:
        return ""
    return charts.intervals(
        [(row["slice"].replace("=", " ").replace("_", " "), f"({row['faces']})", _point(0, row)) for row in rows],
        _share("accuracy (faces)"),
        "Accuracy by attribute",
    )


def _confusion(runs: Path, classes: tuple[str, ...], exposure: float) -> dict[str, Any]:
    pairs = Counter((row["actual"], row["predicted"]) for row in _json(runs / "confusion.json"))
    rows = []
    for actual in classes:
        whole = sum(pairs[actual, predicted] for predicted in classes) or 1
        shares = [pairs[actual, predicted] / whole for predicted in classes]
        cells = [{"share": f"{share:.2f}", "shade": f"{0.75 * share:.2f}"} for share in shares]
        rows.append({"name": actual, "cells": cells})
    return {"exposure": exposure_name(exposure), "classes": classes, "rows": rows}


def _training(runs: Path) -> str:
    histories = {name: _json(runs / f"{file}_history.json") for file, name in TRAININGS.items()}
    series = [
        Series(name, [Point(row["epoch"], row["valid_accuracy"]) for row in rows]) for name, rows in histories.items()
    ]
    longest = max(len(rows) for rows in histories.values())
    step = max(1, longest // 10)
    x = Axis("epoch", 1, longest, [(epoch, str(epoch)) for epoch in range(1, longest + 1, step)])
    return charts.lines(series, x, _share("accuracy on valid"), "Accuracy on valid by epoch")


def _trials(runs: Path) -> list[dict[str, Any]]:
    return [
        {
            **trial,
            "accuracy": f"{trial['history'][-1]['valid_accuracy']:.3f}" if trial["history"] else "",
            "parameters": {
                name: f"{value:.4g}" if isinstance(value, float) else value
                for name, value in trial["parameters"].items()
            },
        }
        for trial in _json(runs / "trials.json")
    ]


def _data_sheet(runs: Path) -> dict[str, Any]:
    counts = _json(runs / "faces.json")
    table = open_table(runs / "faces.parquet")
    first = table.read_row_group(0, columns=["source"])["source"][0].as_py()
    shape = notes(table)["shape"]
    splits = ["train", "valid", "test"]
    by_class = counts["classes"]
    rows = [{"name": name, "cells": [by_class[split][name] for split in splits]} for name in by_class["train"]]
    rows.append({"name": "all", "cells": [counts[split] for split in splits]})
    reasons = Counter(pq.read_table(runs / "rejects.parquet", columns=["reason"])["reason"].to_pylist())
    people = {subject for subject in read_known(runs / "faces.parquet", "valid")[0] if subject}
    return {
        "source": first,
        "shape": " x ".join(str(side) for side in shape),
        "splits": splits,
        "rows": rows,
        "total": sum(counts[split] for split in splits),
        "valid": counts["valid"],
        "duplicates": counts["left_as_duplicates"],
        "rejects": counts["rejects"],
        "reasons": reasons.most_common(10),
        "subjects": len(people),
    }


def _pictures(
    dark: DarkFaces, predictions: evaluation.Predictions, rungs: list[float], rung: float
) -> dict[str, bytes]:
    """PNG by name; there is no sheet of faces answered wrongly where every answer is right."""
    clean = dict(zip(dark.at(rungs[0]).ids, dark.at(rungs[0]).images, strict=True))
    chosen = np.linspace(0, len(clean) - 1, 3).astype(int)
    ladder = [[dark.at(step).images[face] for step in rungs] for face in chosen]
    found = {
        "exposures": _picture(ladder, [], [exposure_name(step) for step in rungs], None),
        "best": _ranked(dark, predictions, clean, rung, right=True),
        "worst": _ranked(dark, predictions, clean, rung, right=False),
    }
    return {name: picture for name, picture in found.items() if picture}


def _ranked(
    dark: DarkFaces, predictions: evaluation.Predictions, clean: dict[str, np.ndarray], rung: float, right: bool
) -> bytes | None:
    """The faces answered with most confidence among those answered rightly, or wrongly; None where there is none."""
    here = np.flatnonzero(predictions.exposures == rung)
    answered = (predictions.predicted == predictions.labels)[here]
    order = np.argsort(-predictions.probabilities[here].max(axis=1), kind="stable")
    shown = [int(here[one]) for one in order if answered[one] == right][:SHOWN]
    if not shown:
        return None
    originals = [clean[dark.ids[row]] for row in shown]
    rows = [[without_gain(image, rung) for image in originals], [dark.images[row] for row in shown], originals]
    named = [dark.classes[predictions.predicted[row]] for row in shown]
    truly = [dark.classes[predictions.labels[row]] for row in shown]
    said = named if right else [f"{one}, is {other}" for one, other in zip(named, truly, strict=True)]
    captions = [[""] * len(shown), [""] * len(shown), said]
    return _picture(rows, ["dark", "brightened", "clean"], [], captions)


def without_gain(image: np.ndarray, exposure: float) -> np.ndarray:
    """How dark it is: an sRGB image (H, W, C) uint8 in so much of its light, as a camera without gain shows it."""
    # 2.2 is what sRGB's curve comes to on the whole
    return (image * exposure ** (1 / 2.2)).astype(np.uint8)


def _picture(
    rows: list[list[np.ndarray]], row_names: list[str], column_names: list[str], captions: list[list[str]] | None
) -> bytes:
    scale = max(1, round(104 / rows[0][0].shape[0]))
    return sheets.png(sheets.contact_sheet(rows, row_names, column_names, scale, captions))


def _reproduce(experiment: str, commit: str) -> str:
    raw = project.live()[experiment]["raw"]
    fetch = [] if raw.startswith("components/") else [f"dvc pull {raw}.dvc    # or: lldif data add"]
    lines = [f"git checkout {commit}", "make install", *fetch, f"lldif run {experiment}", f"lldif report {experiment}"]
    return "\n".join(lines)
