"""A registry and a ledger in a temporary place, with versions that hold no model: what decides needs only their names.

MLflow's tables take seconds to make, so they are made once and copied.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.gates.evidence import Evidence, Soundness, Table
from components.gates.policy import Gates
from flows import desk, evidence, lineage, project, promotion, tracking
from flows.evidence import Gathered
from flows.ledger import Entry, Ledger
from flows.policy import LedgerPlace, Policy, Registry, Retention, Tracking
from flows.promotion import Wish
from flows.tracking import Version

MODEL = "lldif-demo"
FACES = 400
BETTER = {"kind": "superiority", "name": "better", "metric": "accuracy", "slice": "all", "exposures": [0.2]}
FLOOR = {"kind": "absolute", "name": "floor", "metric": "accuracy", "slice": "all", "exposures": [0.2], "limit": 0.3}
RULES = {"test": "exact", "confidence": 0.95, "minimum_faces": 50, "on_inconclusive": "fail"}
SOUND = {"kind": "integrity", "name": "sound", "difference": 1e-5, "allow_dirty": True}


@dataclass
class Place:
    """An experiment named demo whose versions answer as rightly as the test says."""

    folder: Path
    policy: Policy
    shares_right: dict[int, float] = field(default_factory=dict)  # by version
    scored: list[tuple[int, int | None]] = field(default_factory=list)  # candidate and champion, every time
    meanwhile: Callable[[], object] = lambda: None  # happens while the models answer
    broken: set[int] = field(default_factory=set)  # versions that do not load
    astray: set[int] = field(default_factory=set)  # versions that answer other faces

    @property
    def client(self) -> Any:
        return client_of(self.policy.tracking.uri)

    @property
    def book(self) -> Ledger:
        return desk.open_ledger(self.policy)

    def register(self, share_right: float) -> Version:
        """A new version, right about so many faces."""
        number = len(self.shares_right) + 1
        tags = dict.fromkeys(lineage.TAGS, "known") | {"weights_sha256": f"{number:064x}", "git.dirty": "false"}
        self.client.create_model_version(MODEL, f"file:///nowhere/{number}", tags=tags)
        self.shares_right[number] = share_right
        return self.version(number)

    def version(self, number: int) -> Version:
        found = tracking.version(self.client, MODEL, number)
        assert found is not None
        return found

    def bring_test_set(self, name: str) -> None:
        """Other test faces."""
        runs = self.folder / "runs" / "demo"
        faces = pa.table(
            {
                "id": [f"{name} {face}" for face in range(FACES)] + ["x"],
                "split": ["test"] * FACES + ["train"],
                "subject": [""] * (FACES + 1),
            }
        )
        pq.write_table(faces.replace_schema_metadata({"lldif": '{"classes": []}'}), runs / "faces.parquet")
        self.show_in_light(name)

    def show_in_light(self, name: str) -> None:
        """The same test faces, darkened otherwise."""
        (self.folder / "runs" / "demo" / "dark_test.parquet").write_bytes(name.encode())

    def promote(self, version: Version, **wish: Any) -> Entry:
        return promotion.promote(self.policy, "demo", version, Wish(**{"who": "ada", **wish}))

    def aliases(self) -> dict[str, int]:
        return tracking.pointers(self.client, MODEL).aliases

    def with_looks(self, looks: int) -> Policy:
        gates = self.policy.gates.model_copy(
            update={"holdout": self.policy.gates.holdout.model_copy(update={"looks": looks})}
        )
        self.policy = self.policy.model_copy(update={"gates": gates})
        return self.policy

    def gather(
        self, policy: Policy, experiment: str, candidate: Version, champion: Version | None, look: Callable[[], object]
    ) -> Gathered:
        """Stands for two processes with models in them."""
        if champion and champion.number in self.broken:
            raise evidence.DoesNotLoad(f"{MODEL} version {champion.number} does not load: no word", "infrastructure")
        if candidate.number in self.broken:
            error = f"{MODEL} version {candidate.number} does not load: no word"
            return Gathered(Evidence(None, None, None, None, Soundness(error, np.nan, (), (), False)), {}, {})
        look()
        self.scored.append((candidate.number, champion.number if champion else None))
        self.meanwhile()
        tables = [self._table(one.number) if one else None for one in (candidate, champion)]
        assert tables[0] is not None
        shown = {"candidate": evidence.accuracy(tables[0])}
        sound = Soundness(None, 0.0, (), (), False)
        return Gathered(Evidence(tables[0], tables[1], None, None, sound), shown, {"candidate": 1.0})

    def check_loads(self, policy: Policy, version: Version) -> None:
        if version.number in self.broken:
            raise evidence.DoesNotLoad(f"{MODEL} version {version.number} does not load: no word", "infrastructure")

    def _table(self, number: int) -> Table:
        labels = np.arange(FACES) % 4
        right = np.arange(FACES) < round(FACES * self.shares_right[number])
        probabilities = np.eye(4)[np.where(right, labels, (labels + 1) % 4)]
        ids = [f"{'other' if number in self.astray else 'face'} {face}" for face in range(FACES)]
        return Table(ids, np.full(FACES, 0.2), labels, probabilities, [""] * FACES, [{}] * FACES, ("a", "b", "c", "d"))


def client_of(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri, uri)


def make_database(folder: Path) -> Path:
    """MLflow's tables with the registered model in them."""
    path = folder / "mlflow.db"
    client_of(f"sqlite:///{path}").create_registered_model(MODEL)
    return path


def make_place(folder: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in [name for name in os.environ if name.startswith("MLFLOW_TRACKING")]:
        monkeypatch.delenv(name)
    shutil.copyfile(database, folder / "mlflow.db")
    gates = {
        "bootstrap": True,
        "holdout": {"looks": 100},
        "declared": [SOUND, FLOOR | RULES, BETTER | RULES],
    }
    policy = Policy(
        tracking=Tracking(uri=f"sqlite:///{folder / 'mlflow.db'}", artifacts="mlartifacts"),
        registry=Registry(model="lldif-{experiment}"),
        ledger=LedgerPlace(uri=str(folder / "ledger")),
        retention=Retention(
            whole_states_per_stage=1, state_days=1, gate_days=1, report_days=1, unregistered_runs_per_stage=1
        ),
        gates=Gates.model_validate(gates, strict=False),
    )
    place = Place(folder, policy)
    (folder / "runs" / "demo").mkdir(parents=True)
    place.bring_test_set("first")
    monkeypatch.setattr(desk, "ROOT", folder)
    monkeypatch.setattr(project, "runs_folder", lambda experiment: folder / "runs" / experiment)
    monkeypatch.setattr(evidence, "gather", place.gather)
    monkeypatch.setattr(evidence, "check_loads", place.check_loads)
    return place
