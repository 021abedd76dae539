"""MLflow's runs as a projection of what the stages left on disk: nothing is lost or doubled when MLflow was away."""

import json
import time
from typing import Any

from components.records import file_sha256
from flows import project, staging, sweep_runs, tracking
from flows.policy import Policy
from flows.project import ROOT

FINDINGS = "findings.json"  # what validation leaves beside its pages

TRAININGS = {"train_prior": "prior", "train_diffusion": "lldif", "train_baseline": "baseline"}


PROJECTED = (*TRAININGS, "validate", "sweep")


def project_runs(client: Any, policy: Policy, experiment: str) -> dict[str, str]:
    """Bring MLflow's runs up to what the stages left on disk; return the run of each training, by stage."""
    folder = tracking.experiment_of(client, policy, experiment)
    runs = {}
    for spec in project.stages(experiment):
        if spec.name == "validate":
            _project_validation(client, folder, spec)
        if spec.name == "sweep":
            _project_sweep(client, folder, spec)
        if spec.name in TRAININGS:
            run = _project_training(client, folder, spec)
            if run:
                runs[spec.name] = run
    _log_scores(client, experiment, runs)
    return runs


def _project_validation(client: Any, folder: str, spec: project.StageSpec) -> None:
    """What was found in a face table, good or bad, with Great Expectations' pages."""
    pages, passed = project.reports_folder(spec.experiment) / "validation", ROOT / spec.outputs[0]
    # a table that failed leaves no output: then the pages are all there is
    findings = passed if passed.exists() else pages / FINDINGS
    if not findings.exists():
        return
    sha256 = file_sha256(findings)
    if tracking.run_by(client, folder, findings_sha256=sha256):
        return
    found = json.loads(findings.read_text(encoding="utf-8"))
    run = _create_run(client, folder, spec, sha256)
    counts = {"rules": len(found["rules"]), "errors": len(found["errors"]), "warnings": len(found["warnings"])}
    tracking.log_reports(client, run, [{"step": 0, "metrics": counts}])
    client.log_artifact(run, str(findings))
    if (pages / FINDINGS).exists() and file_sha256(pages / FINDINGS) == sha256:  # not those of another table
        client.log_artifacts(run, str(pages), "pages")
    client.set_terminated(run, "FAILED" if found["errors"] else "FINISHED")
    client.set_tag(run, "findings_sha256", sha256)


def _project_sweep(client: Any, folder: str, spec: project.StageSpec) -> None:
    """A run for the sweep, and nested in it one for each trial, in the state that it ended in."""
    best, trials = (ROOT / name for name in spec.outputs)
    if not trials.exists():
        return
    rows = json.loads(trials.read_text(encoding="utf-8"))
    sha256 = file_sha256(trials)
    if not rows or tracking.run_by(client, folder, trials_sha256=sha256):
        return
    sweep = tracking.run_by(client, folder, sweep_sha256=sha256) or _create_run(
        client, folder, spec, sha256, sweep_sha256=sha256
    )
    sweep_runs.fill(client, folder, sweep, spec.experiment, rows, is_over=True)
    sweep_runs.conclude(client, sweep, rows, json.loads(best.read_text(encoding="utf-8")))
    client.set_terminated(sweep, "FINISHED")
    client.set_tag(sweep, "trials_sha256", sha256)  # last: it says that nothing is missing


def _project_training(client: Any, folder: str, spec: project.StageSpec) -> str | None:
    """One training's run: found by weights or fingerprint, filled from where it stands, ended when the training has."""
    weights, history = (ROOT / next(o for o in spec.outputs if o.endswith(end)) for end in (".safetensors", ".json"))
    state = staging.latest_state(spec.target)
    left = staging.outcome(spec.target)
    sha256 = file_sha256(weights) if weights.exists() else None
    mine = bool(left and any(artifact["sha256"] == sha256 for artifact in left["artifacts"]))  # type: ignore[attr-defined]
    if sha256 and not mine:  # made elsewhere and pulled, or by an earlier state: the history is its record
        found = tracking.run_by(client, folder, weights_sha256=sha256)
        reports = [{"step": row.pop("epoch"), "metrics": row} for row in json.loads(history.read_text())]
        fingerprint = f"pulled-{sha256}"
    elif state:
        fingerprint = state.name
        found = tracking.run_by(client, folder, fingerprint=fingerprint)
        reports = [json.loads(line) for line in (state / "reports.jsonl").read_text().splitlines()]
    else:
        return None
    run = found or _create_run(client, folder, spec, fingerprint)
    _upload(client, run, reports)
    if sha256 and "weights_sha256" not in client.get_run(run).data.tags:
        client.log_artifact(run, str(history))
        if left and mine:
            client.set_tag(run, "device", str(left.get("device", "unknown")))  # older ones lack it
        client.set_tag(run, "weights_sha256", sha256)
        client.set_terminated(run, "FINISHED")
    return run


def _create_run(client: Any, folder: str, spec: project.StageSpec, fingerprint: str, **more: str) -> str:
    """With the parameters that the stage is given by the params file."""
    run = begin_run(client, folder, spec, fingerprint, **more)
    log_sections(client, run, spec, project.read_params(spec.experiment))
    return run


def begin_run(client: Any, folder: str, spec: project.StageSpec, fingerprint: str, **more: str) -> str:
    """A run of MLflow's for what a stage does, that says where its code stands."""
    source = project.provenance()
    tags = {
        "stage": spec.name,
        "experiment": spec.experiment,
        "fingerprint": fingerprint,
        "git.commit": source.commit,
        "git.dirty": str(source.dirty).lower(),
        "mlflow.source.git.commit": source.commit,
        **more,
    }
    run = client.create_run(folder, tags=tags, run_name=f"{spec.name} {fingerprint[:8]}")
    return str(run.info.run_id)


def log_sections(client: Any, run: str, spec: project.StageSpec, content: dict[str, Any]) -> None:
    """The sections of a params file that a stage is given; the same again changes nothing."""
    tracking.log_params(client, run, flatten({section: content[section] for section in spec.sections}))


def _upload(client: Any, run: str, reports: list[dict[str, Any]]) -> None:
    """Log the reports after the offset that the run's tag holds, then move it: at most repeats, never a hole."""
    done = int(client.get_run(run).data.tags.get("reports_uploaded", "0"))
    tracking.log_reports(client, run, reports[done:])
    if len(reports) > done:
        client.set_tag(run, "reports_uploaded", str(len(reports)))


def _log_scores(client: Any, experiment: str, runs: dict[str, str]) -> None:
    """The scores on valid, on the run of the model that earned them, and what its Z is worth."""
    folder = project.runs_folder(experiment)
    if not (folder / "scores.json").exists():
        return
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    probed = json.loads((folder / "probes.json").read_text(encoding="utf-8"))
    probed.pop("exposure")
    for model, stage in (("candidate", "train_diffusion"), ("baseline", "train_baseline")):
        if stage in runs:
            known = client.get_run(runs[stage]).data.metrics
            flat = flatten(scores[model], "valid.") | (flatten(probed, "probe.") if model == "candidate" else {})
            changed = {name: float(value) for name, value in flat.items() if known.get(name) != float(value)}
            # of two values at one step the later counts
            tracking.log_reports(client, runs[stage], [{"step": 0, "time": time.time(), "metrics": changed}])


def flatten(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, dict) else {name: str(value)}
    return flat
