"""From a registered version to a decision: both models answer in processes of their own, the gates judge."""

import json
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.data.images import encode
from components.data.table import DarkFaces, read_dark, read_known
from components.gates.disturbances import disturb
from components.gates.evidence import Costs, Evidence, Soundness, Table
from components.gates.judging import judge
from components.gates.policy import Absolute, Gates, NonInferiority, Superiority
from components.gates.verdict import Verdict, decide
from components.learning import evaluation
from components.learning.evaluation import Predictions
from flows import project, tracking
from flows.policy import Policy
from flows.project import ROOT, Failed
from flows.tracking import Version

PROMOTED, REJECTED = "promoted", "rejected"
LATENCY_ROUNDS, LATENCY_FACES = 4, 20


@dataclass(frozen=True)
class Judgement:
    """The verdict of every gate, and what the models did on the test split."""

    decision: str
    gates: tuple[Verdict, ...]
    champion: int | None
    test_accuracy: dict[str, dict[str, float]]  # of candidate and champion, by exposure
    latency_milliseconds: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON: a figure that does not exist is null."""
        plain = json.loads(json.dumps(asdict(self)), parse_constant=lambda _: None)
        return plain | {"gates": [gate | {"passed": gate["outcome"] != "fail"} for gate in plain["gates"]]}


class Scorer:
    """A registered model at work in a fresh process, with its own code and nothing of ours."""

    def __init__(self, version: Version, policy: Policy) -> None:
        self.version = version
        environment = project.environment() | {"MLFLOW_TRACKING_URI": tracking.tracking_uri(policy)}
        environment.pop("PYTHONPATH", None)
        self.process = subprocess.Popen(
            [sys.executable, "-I", ROOT / "flows" / "scoring.py", version.uri],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Scorer":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def ready(self) -> str:
        """Wait until the model is loaded; return where its components came from. Raises Failed."""
        return str(self._answer()["components"])

    def ask(self, **command: object) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command, default=str) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            _, errors = self.process.communicate()
            last = errors.strip().splitlines()[-1] if errors.strip() else "no word"
            raise Failed(
                f"{self.version.name} version {self.version.number} does not load: {last[:200]}", "infrastructure"
            )
        return json.loads(line)


def judge_version(policy: Policy, experiment: str, candidate: Version, champion: Version | None) -> Judgement:
    """Score candidate and champion on the same test faces and let every gate speak. Raises Failed."""
    folder = ROOT / "state" / "gate" / experiment
    folder.mkdir(parents=True, exist_ok=True)
    versions = {"candidate": candidate} | ({"champion": champion} if champion else {})
    scorers = {role: Scorer(version, policy) for role, version in versions.items()}
    runs = project.runs_folder(experiment)
    faces, known = read_dark(runs / "dark_test.parquet"), read_known(runs / "faces.parquet", "test")
    try:
        homes = {role: Path(scorer.ready()).parents[2] for role, scorer in scorers.items()}
        tables = {
            role: _table(scorer, faces, known, runs, folder / role, policy.gates) for role, scorer in scorers.items()
        }
        costs = _costs(scorers, homes, runs / "dark_test.parquet")
        soundness = _soundness(scorers["candidate"], runs, folder / "candidate")
    finally:
        for scorer in scorers.values():
            scorer.__exit__()
    evidence = Evidence(
        tables["candidate"], tables.get("champion"), costs["candidate"], costs.get("champion"), soundness
    )
    verdicts = judge(policy.gates, evidence, policy.gates.holdout.alpha_share)
    promote = decide(verdicts, policy.gates, champion is not None).promote
    answers = {role: Predictions(t.ids, t.exposures, t.labels, t.probabilities) for role, t in tables.items()}
    accuracy = {role: evaluation.summary(evaluation.scores(one))["accuracy"] for role, one in answers.items()}
    latency = {role: round(float(np.median(one.latency_p95_milliseconds)), 2) for role, one in costs.items()}
    decision = PROMOTED if promote else REJECTED
    return Judgement(decision, verdicts, champion.number if champion else None, accuracy, latency)


def _predict(scorer: Scorer, table: Path, out: Path) -> Predictions:
    scorer.ask(predict=table, out=out)
    return evaluation.read(out, "served")


def _table(
    scorer: Scorer,
    faces: DarkFaces,
    known: tuple[list[str], list[dict[str, str]]],
    runs: Path,
    folder: Path,
    gates: Gates,
) -> Table:
    """What a model answers on the test faces, and on disturbed ones where a gate asks for that."""
    answers = _predict(scorer, runs / "dark_test.parquet", folder.with_suffix(".parquet"))
    rungs = len(faces.ids) // len(known[0])  # the table holds all faces at one exposure, then all at the next
    asked = [g for g in gates.declared if isinstance(g, Absolute | NonInferiority | Superiority)]
    exposures = sorted({rung for gate in asked if gate.metric == "stability" for rung in gate.exposures})
    here = np.flatnonzero(np.isin(faces.exposures, exposures))
    disturbed = {}
    for name, images in disturb(faces.images[here]).items() if len(here) else ():
        disturbed[name] = np.full(answers.probabilities.shape, np.nan)
        table, out = folder.with_name(f"{name}.parquet"), folder.with_name(f"{folder.name}_{name}.parquet")
        columns = {"id": [faces.ids[row] for row in here], "exposure": faces.exposures[here]}
        rows = columns | {"label": faces.labels[here], "image": [encode(image) for image in images]}
        pq.write_table(pa.table(rows), table)
        disturbed[name][here] = _predict(scorer, table, out).probabilities
    return Table(
        answers.ids,
        answers.exposures,
        answers.labels,
        answers.probabilities.astype(np.float64),
        known[0] * rungs,
        known[1] * rungs,
        faces.classes,
        disturbed,
    )


def _soundness(scorer: Scorer, runs: Path, folder: Path) -> Soundness:
    """Whether the candidate answers on valid as it did in evaluation."""
    answers = _predict(scorer, runs / "dark_valid.parquet", folder.with_name("valid.parquet")).probabilities
    recorded = evaluation.read(runs / "predictions.parquet", "candidate").probabilities
    same = answers.shape == recorded.shape
    difference = float(np.abs(answers - recorded).max()) if same else float("nan")
    return Soundness(None, difference, (), (), project.provenance().dirty)


def _costs(scorers: dict[str, Scorer], homes: dict[str, Path], table: Path) -> dict[str, Costs]:
    """In alternating rounds: what disturbs one model disturbs the other too."""
    rounds: dict[str, list[tuple[float, float]]] = {role: [] for role in scorers}
    for _ in range(LATENCY_ROUNDS):
        for role, scorer in scorers.items():
            began = time.perf_counter()
            milliseconds = scorer.ask(latency=LATENCY_FACES, table=table)["milliseconds"]
            rate = len(milliseconds) / (time.perf_counter() - began)
            rounds[role].append((float(np.percentile(milliseconds, 95)), rate))
    return {
        role: Costs(
            f"{platform.machine()} CPU",
            np.array([latency for latency, _ in measured]),
            np.array([rate for _, rate in measured]),
            sum(path.stat().st_size for path in homes[role].rglob("*") if path.is_file()),
        )
        for role, measured in rounds.items()
    }
