"""What is laid before the gates: candidate and champion at work in processes of their own, on the same faces."""

import json
import math
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.data.images import decode, encode
from components.data.table import notes, open_table
from components.gates.disturbances import disturb
from components.gates.evidence import Costs, Evidence, Soundness, Table
from components.gates.policy import Gates, OfOneFigure
from components.learning.evaluation import DARK_RUNGS, exposure_name
from components.records import DataError, file_sha256
from flows import lineage, project, tracking
from flows.policy import Policy
from flows.project import ROOT, Failed
from flows.tracking import Version

ROUNDS, FACES = 8, 20  # of the measurement of costs, and faces in a round


class DoesNotLoad(Failed):
    """The model's files are here, and no model comes of them."""


class Scorer:
    """A registered model at work in a fresh process, with its own code and nothing of ours."""

    def __init__(self, version: Version, policy: Policy, folder: Path) -> None:
        self.version = version
        environment = project.environment() | {"MLFLOW_TRACKING_URI": tracking.tracking_uri(policy)}
        environment.pop("PYTHONPATH", None)
        # a pipe that nobody reads would stop whoever writes much
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        self.process = subprocess.Popen(
            [sys.executable, "-I", ROOT / "flows" / "scoring.py", version.uri, folder],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def files(self) -> Path:
        """Wait until the model's files are here. Raises Failed."""
        return Path(self._answer("does not come from the registry", Failed)["files"])

    def load(self, files: Path) -> None:
        """Wait until the model is loaded. Raises DoesNotLoad, also where its weights are not those registered."""
        weights = files / "artifacts" / "lldif.safetensors"
        if weights.exists() and file_sha256(weights) != self.version.weights_sha256:
            name = f"{self.version.name} version {self.version.number}"
            raise DoesNotLoad(f"{name} does not load: its weights are not those that were registered", "data")
        self._answer("does not load", DoesNotLoad)

    def ask(self, **command: object) -> dict[str, Any]:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it died meanwhile: what it said last is why
            self.process.stdin.write(json.dumps(command, default=str) + "\n")
            self.process.stdin.flush()
        return self._answer("does not answer", Failed)

    def _answer(self, otherwise: str, kind: type[Failed]) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            last = ([line for line in self.errors.read().splitlines() if line.strip()] or ["no word"])[-1]
            raise kind(f"{self.version.name} version {self.version.number} {otherwise}: {last[:200]}", "infrastructure")
        return json.loads(line)


@dataclass(frozen=True)
class Gathered:
    evidence: Evidence
    accuracy: dict[str, dict[str, float]]  # of candidate and champion, by exposure
    latency_milliseconds: dict[str, float]  # of one face, 95th percentile


def gather(
    policy: Policy, experiment: str, candidate: Version, champion: Version | None, look: Callable[[], object]
) -> Gathered:
    """Let both models answer the test split; `look` is called when both are loaded and before anything is read.

    A candidate that does not load is evidence too. Raises Failed where the champion does not, or the registry is away.
    """
    folder = ROOT / "state" / "gate" / experiment
    folder.mkdir(parents=True, exist_ok=True)
    versions = {"candidate": candidate} | ({"champion": champion} if champion else {})
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        scorers = {}
        for role, version in versions.items():
            (place / role).mkdir()
            scorers[role] = Scorer(version, policy, place / role)
            stack.callback(scorers[role].close)
        files = {role: scorer.files() for role, scorer in scorers.items()}
        soundness = _soundness(scorers["candidate"], candidate, files["candidate"])
        if soundness.load_error:
            return Gathered(Evidence(None, None, None, None, soundness), {}, {})
        if champion:
            scorers["champion"].load(files["champion"])
        look()
        try:
            return _answers(experiment, policy.gates, scorers, files, folder, soundness)
        except DataError as error:
            raise Failed(str(error).replace(f"{ROOT}/", ""), "data") from None


def check_loads(policy: Policy, version: Version) -> None:
    """Raises Failed where the version does not come from the registry, does not load or does not answer."""
    with tempfile.TemporaryDirectory() as folder:
        scorer = Scorer(version, policy, Path(folder))
        try:
            scorer.load(scorer.files())
            scorer.ask(reproduce=True)
        finally:
            scorer.close()


def _soundness(scorer: Scorer, version: Version, files: Path) -> Soundness:
    try:
        scorer.load(files)
        error, difference = None, scorer.ask(reproduce=True)["difference"]
    except DoesNotLoad as failed:
        error, difference = str(failed), None
    missing = tuple(name for name in lineage.TAGS if not version.tags.get(name))
    return Soundness(
        load_error=error,
        difference=math.nan if difference is None else difference,
        pickles=pickles(files),
        missing_tags=missing,
        dirty=version.tags.get("git.dirty") != "false",
    )


def pickles(folder: Path) -> tuple[str, ...]:
    """Files that are pickles, by what they begin with, or archives that hold one, as torch's own format does."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as stream:
            first = stream.read(2)
        inside = zipfile.ZipFile(path).namelist() if zipfile.is_zipfile(path) else []
        by_name = path.suffix in (".pkl", ".pickle", ".joblib") or any(name.endswith(".pkl") for name in inside)
        # protocol 2 and later begin with 0x80 and their number
        if by_name or (first[:1] == b"\x80" and first[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")):
            found.append(str(path.relative_to(folder)))
    return tuple(found)


def _answers(
    experiment: str,
    gates: Gates,
    scorers: dict[str, Scorer],
    files: dict[str, Path],
    folder: Path,
    soundness: Soundness,
) -> Gathered:
    runs = project.runs_folder(experiment)
    test, known = runs / "dark_test.parquet", read_faces(runs / "faces.parquet")
    open_table(test)  # says in one line where it is damaged
    disturbed = write_disturbed(test, folder, exposures_to_disturb(gates))
    tables = {}
    for role, scorer in scorers.items():
        tables[role] = _table(scorer, test, disturbed, known, folder / f"{role}.parquet")
    costs = _costs(scorers, files, test)
    evidence = Evidence(
        tables["candidate"], tables.get("champion"), costs["candidate"], costs.get("champion"), soundness
    )
    latency = {role: round(float(np.median(one.latency_p95_milliseconds)), 2) for role, one in costs.items()}
    return Gathered(evidence, {role: accuracy(table) for role, table in tables.items()}, latency)


def exposures_to_disturb(gates: Gates) -> set[float]:
    asked = [gate for gate in gates.declared if isinstance(gate, OfOneFigure) and gate.metric == "stability"]
    return {exposure for gate in asked for exposure in gate.exposures}


def write_disturbed(test: Path, folder: Path, exposures: set[float]) -> dict[str, Path]:
    """Tables like `test` of its faces at these exposures, disturbed, by the disturbance; none where none is asked."""
    rows = pq.read_table(test)
    rows = rows.filter(pa.array([exposure in exposures for exposure in rows["exposure"].to_pylist()]))
    if not len(rows):
        return {}
    images = np.stack([decode(image) for image in rows["image"].to_pylist()])
    found = {}
    for name, changed in disturb(images).items():
        column = pa.array([encode(image) for image in changed], pa.binary())
        found[name] = folder / f"{name}.parquet"
        pq.write_table(rows.set_column(rows.schema.get_field_index("image"), "image", column), found[name])
    return found


def read_faces(faces: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """Subject and attributes of the faces of the test split, by id; where a face comes from is an attribute too."""
    columns = ["id", "subject", "source", "attributes"]
    rows = pq.read_table(faces, columns=columns, filters=[("split", "=", "test")]).to_pylist()
    return {row["id"]: (row["subject"], {"source": row["source"]} | json.loads(row["attributes"])) for row in rows}


def _table(
    scorer: Scorer, test: Path, disturbed: dict[str, Path], known: dict[str, tuple[str, dict[str, str]]], out: Path
) -> Table:
    scorer.ask(predict=test, out=out)
    rows = pq.read_table(out)
    ids, exposures = rows["id"].to_pylist(), rows["exposure"].to_numpy()
    probabilities = _probabilities(rows)
    steady = {}
    for name, table in disturbed.items():
        scorer.ask(predict=table, out=out.with_stem(f"{out.stem}_{name}"))
        changed = pq.read_table(out.with_stem(f"{out.stem}_{name}"))
        steady[name] = np.full(probabilities.shape, np.nan)
        # a filter keeps the order, so these are the rows at those exposures, one after the other
        steady[name][np.isin(exposures, changed["exposure"].to_numpy())] = _probabilities(changed)
    return Table(
        ids,
        exposures,
        rows["label"].to_numpy().astype(np.int64),
        probabilities,
        [known[face][0] for face in ids],
        [known[face][1] for face in ids],
        tuple(notes(open_table(test))["classes"]),
        steady or None,
    )


def _probabilities(rows: pa.Table) -> np.ndarray:
    return np.array(rows["probabilities"].to_pylist(), dtype=np.float64)


def accuracy(table: Table) -> dict[str, float]:
    """By exposure, brightest first, and the mean over the dark ones."""
    right = table.predicted == table.labels
    rungs = sorted(set(table.exposures.tolist()), reverse=True)
    found = {rung: round(float(right[table.exposures == rung].mean()), 4) for rung in rungs}
    dark = [value for rung, value in found.items() if rung in DARK_RUNGS]
    by_name = {exposure_name(rung): value for rung, value in found.items()}
    return by_name | ({"mean_dark": round(float(np.mean(dark)), 4)} if dark else {})


def _costs(scorers: dict[str, Scorer], files: dict[str, Path], test: Path) -> dict[str, Costs]:
    """In alternating rounds: what disturbs one model disturbs the other too."""
    rounds: dict[str, list[dict[str, Any]]] = {role: [] for role in scorers}
    for _ in range(ROUNDS):
        for role, scorer in scorers.items():
            rounds[role].append(scorer.ask(cost=FACES, table=test))
    return {
        role: Costs(
            str(measured[0]["device"]),
            np.array([one["p95_milliseconds"] for one in measured]),
            np.array([one["faces_per_second"] for one in measured]),
            sum(path.stat().st_size for path in files[role].rglob("*") if path.is_file()),
        )
        for role, measured in rounds.items()
    }
