"""From a registered version to a decision: both models answer in processes of their own, the gates judge."""

import json
import math
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.gates.former import Verdict, judge
from components.learning import evaluation
from components.learning.evaluation import Predictions
from flows import project, tracking
from flows.policy import Policy
from flows.project import ROOT, Failed
from flows.tracking import Version

PROMOTED, REJECTED = "promoted", "rejected"
LATENCY_ROUNDS, LATENCY_FACES = 4, 8


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
        return json.loads(json.dumps(asdict(self)), parse_constant=lambda _: None)


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
    table = project.runs_folder(experiment) / "dark_test.parquet"
    folder = ROOT / "state" / "gate" / experiment
    folder.mkdir(parents=True, exist_ok=True)
    versions = {"candidate": candidate} | ({"champion": champion} if champion else {})
    scorers = {role: Scorer(version, policy) for role, version in versions.items()}
    try:
        for scorer in scorers.values():
            scorer.ready()
        predictions = {role: _predict(scorer, table, folder / f"{role}.parquet") for role, scorer in scorers.items()}
        latency = _latency(scorers, table)
    finally:
        for scorer in scorers.values():
            scorer.__exit__()
    verdicts = tuple(judge(gate, predictions["candidate"], predictions.get("champion")) for gate in policy.gates)
    decision = PROMOTED if all(verdict.passed for verdict in verdicts) else REJECTED
    accuracy = {role: evaluation.summary(evaluation.scores(p))["accuracy"] for role, p in predictions.items()}
    return Judgement(decision, verdicts, champion.number if champion else None, accuracy, latency)


def _predict(scorer: Scorer, table: Path, out: Path) -> Predictions:
    scorer.ask(predict=table, out=out)
    return evaluation.read(out, "served")


def _latency(scorers: dict[str, Scorer], table: Path) -> dict[str, float]:
    """Milliseconds for one face, the best of alternating rounds: what disturbs one model disturbs the other too."""
    best = dict.fromkeys(scorers, math.inf)
    for _ in range(LATENCY_ROUNDS):
        for role, scorer in scorers.items():
            best[role] = min(best[role], scorer.ask(latency=LATENCY_FACES, table=table)["milliseconds"])
    return {role: round(value, 2) for role, value in best.items()}
