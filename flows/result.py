"""What `lldif run` and the flow answer: one record, whether the work was done now or before."""

import json
from typing import Any

from components.records import file_sha256
from flows import accounts, project, tracking, versioning
from flows.desk import desk
from flows.ledger import Entry
from flows.policy import Policy
from flows.tracking import Version
from flows.versioning import StageRun


def current(policy: Policy, experiment: str) -> dict[str, Any] | None:
    """The answer where nothing needs doing: every stage up to date and its model judged. None otherwise."""
    if not (project.ROOT / "dvc.lock").exists() or versioning.stale(experiment):
        return None
    weights = project.runs_folder(experiment) / "lldif.safetensors"
    sha256 = file_sha256(weights)
    with tracking.reachable(policy) as client:
        version = tracking.find_version(client, policy.registry.model_name(experiment), sha256)
    if version is None or accounts.account(_settled(policy, experiment), experiment, version.identity).decision is None:
        return None
    runs = [StageRun(spec.name, "cached", 0.0) for spec in project.stages(experiment)]
    return of(policy, experiment, runs, version)


def _settled(policy: Policy, experiment: str) -> tuple[Entry, ...]:
    """The ledger, once the registry has followed it."""
    with desk(policy, experiment) as at:
        return at.book.entries()


def of(policy: Policy, experiment: str, runs: list[StageRun], candidate: Version) -> dict[str, Any]:
    """The whole answer, from what is on disk, in the ledger and in the registry."""
    scores = _json(experiment, "scores.json")
    account = accounts.account(_settled(policy, experiment), experiment, candidate.identity)
    with tracking.reachable(policy) as client:
        version = tracking.version(client, candidate.name, candidate.number) or candidate
    measured = account.judged.measured if account.judged else {}
    return {
        "experiment": experiment,
        "stages": [vars(run) for run in runs],
        "candidate": scores["candidate"],
        "baseline": scores["baseline"],
        "majority": scores["majority"],
        "votes_entropy": scores["votes_entropy"],
        "trend": scores["trend"]["candidate"],
        "probes": _json(experiment, "probes.json"),
        "gates": list(account.judged.gates) if account.judged else [],
        "test": measured.get("test_accuracy", {}),
        "latency_milliseconds": measured.get("latency_milliseconds", {}),
        "decision": account.decision,
        "model": version.name,
        "version": version.number,
        "alias": version.alias,
        "warnings": _json(experiment, "validation.json")["warnings"],
        "report": str((project.reports_folder(experiment) / "index.html").relative_to(project.ROOT)),
    }


def _json(experiment: str, name: str) -> Any:
    return json.loads((project.runs_folder(experiment) / name).read_text(encoding="utf-8"))


def scores_table(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Accuracy by exposure, brightest first, then other darkness: candidate and baseline on valid, candidate and
    champion on test.
    """
    rungs = sorted(answer["candidate"]["accuracy"], key=_brightness, reverse=True)
    columns = {"LLDif": answer["candidate"]["accuracy"], "baseline": answer["baseline"]["accuracy"]}
    columns |= {f"{role} (test)": accuracy for role, accuracy in answer["test"].items()}
    return [{"exposure": rung, **{name: values.get(rung) for name, values in columns.items()}} for rung in rungs]


def _brightness(rung: str) -> float:
    return {"clean": 2.0, "mean_dark": -1.0, "gamma": -2.0}.get(rung) or float(rung)


def next_steps(experiment: str) -> list[tuple[str, str]]:
    return [
        (f"reports/{experiment}/index.html", "the whole story on one page: open it in a browser"),
        ("lldif ui", "runs and models in MLflow, flows in Prefect"),
        ("dvc plots show && dvc metrics show", "curves and scores"),
        (f"dvc exp run -S params/{experiment}.yaml:train_diffusion.epochs=12", "try something"),
        ("lldif data add ferplus PATH", "real faces"),
    ]
