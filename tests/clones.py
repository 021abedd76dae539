"""A copy of this working tree with a tiny experiment, and what tests do with it."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.records import file_sha256

REPOSITORY = Path(__file__).resolve().parent.parent
COMMANDS = Path(sys.executable).parent

# what makes the demo experiment small enough to be run again and again
TINY = {
    "ingest": {"source": "embedded", "seed": 1, "train": 140, "valid": 70, "test": 350},
    "darken": {"exposures": [1.0, 0.2, 0.05]},
    "train_baseline": {"peer": "plain", "epochs": 1},
}
# a handful of faces and epochs cannot pass the real gates; what is tested is the line, not the model
BETTER_THAN_MAJORITY = {
    "kind": "absolute",
    "name": "better_than_majority",
    "metric": "accuracy_above_majority",
    "slice": "all",
    "exposures": [0.2],
    "limit": -0.3,
    "test": "wilson",
    "confidence": 0.95,
    "minimum_faces": 100,
    "on_inconclusive": "fail",
}
NOT_WORSE = {
    "kind": "non_inferiority",
    "name": "not_worse_than_champion",
    "metric": "accuracy",
    "slice": "all",
    "exposures": [0.05],
    "margin": 0.03,
    "test": "exact",
    "confidence": 0.95,
    "minimum_faces": 100,
    "on_inconclusive": "fail",
}
TINY_GATES = [BETTER_THAN_MAJORITY, NOT_WORSE]


@dataclass(frozen=True)
class Clone:
    """A copy of the project in a folder of its own, with an environment that touches nothing outside it."""

    path: Path
    environment: dict[str, str]

    def start(self, *command: str, **extra: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(COMMANDS / command[0]), *command[1:]],
            cwd=self.path,
            env=self.environment | extra,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, code: int | None = 0, **extra: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*command, **extra)
        try:
            out, errors = process.communicate(timeout=1200)
        finally:
            end(process)
        done = subprocess.CompletedProcess(command, process.returncode, out, errors)
        assert code is None or done.returncode == code, f"{command}: {done.returncode}\n{out}\n{errors}"
        return done

    def answer(self, *command: str, code: int = 0, **extra: str) -> Any:
        """The JSON that a command prints."""
        return json.loads(self.run(*command, code=code, **extra).stdout)

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", *arguments]
        return subprocess.run(command, cwd=self.path, check=True, capture_output=True, text=True).stdout

    def params(self, experiment: str = "demo") -> dict[str, Any]:
        return yaml.safe_load((self.path / "params" / f"{experiment}.yaml").read_text())

    def set_params(self, content: dict[str, Any], experiment: str = "demo") -> None:
        (self.path / "params" / f"{experiment}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    def set_gates(self, declared: list[dict[str, Any]]) -> None:
        """Declare these gates and no others, with looks for many candidates."""
        policy = self.path / "mlflow.yaml"
        content = yaml.safe_load(policy.read_text())
        content["gates"] = {"bootstrap": True, "holdout": {"looks": 100}, "declared": declared}
        policy.write_text(yaml.safe_dump(content, sort_keys=False))

    def copy(self, to: Path) -> "Clone":
        """A second clone in the state of this one, registry included."""
        shutil.copytree(self.path, to, symlinks=True)
        with sqlite3.connect(to / "mlflow.db") as database:  # MLflow keeps the places of artefacts as absolute paths
            tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
            for table in tables:
                for _, column, kind, *_ in database.execute(f"pragma table_info({table})").fetchall():
                    if "CHAR" in kind.upper() or "TEXT" in kind.upper():
                        change = f'update "{table}" set "{column}" = replace("{column}", ?, ?) where "{column}" like ?'
                        database.execute(change, (str(self.path), str(to), f"%{self.path}%"))
        return Clone(to, self.environment)

    def twin(self, number: int = 1) -> int:
        """Register the model of a version once more, with a note among its weights; return the new number."""
        from mlflow import MlflowClient

        from components.learning import checkpoint

        uri = f"sqlite:///{self.path / 'mlflow.db'}"
        client = MlflowClient(uri, uri)
        old = client.get_model_version("lldif-demo", str(number))
        # by its place: MLflow would look for a model's id in the store of this process
        source = Path(
            client.get_logged_model(old.source.removeprefix("models:/")).artifact_location.removeprefix("file://")
        )
        copy = self.path / "mlartifacts" / f"twin-{len(client.search_model_versions())}"
        shutil.copytree(source, copy)
        weights = copy / "artifacts" / "lldif.safetensors"
        tensors, notes = checkpoint.read(weights)
        checkpoint.write(weights, tensors, notes | {"twin": copy.name})
        tags = old.tags | {"weights_sha256": file_sha256(weights)}
        made = client.create_model_version("lldif-demo", copy.as_uri(), run_id=old.run_id, tags=tags)
        return int(made.version)

    def champion(self, model: str = "lldif-demo") -> int | None:
        """The number of the champion's version, asked of the registry's database itself."""
        with sqlite3.connect(f"file:{self.path / 'mlflow.db'}?mode=ro", uri=True) as database:
            query = "select version from registered_model_aliases where name = ? and alias = 'champion'"
            row = database.execute(query, (model,)).fetchone()
        return int(row[0]) if row else None


def fresh_clone(path: Path, environment: dict[str, str]) -> Clone:
    """The files that git would carry, as they are in the working tree now, in a repository of their own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source = REPOSITORY / name
        if source.exists() and name != "dvc.lock" and not name.startswith("data/"):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, path / name)
    (path / "params" / "live.yaml").write_text("live:\n  demo:\n    raw: components/data/faces.py\n")
    clone = Clone(path, environment)
    clone.git("init", "-q", "-b", "main")
    content = clone.params() | TINY
    content["model"]["prior"] |= {"width": 8, "channels": 16}
    content["model"]["light"] = {"form": "auto_gain", "blurs": False, "read_noise": 0.0}
    content["inference"]["flip_average"] = False
    content["batches"] |= {"size": 16, "exposure_low": 0.1, "clean_share": 0.3, "shift_pixels": 0}
    content["compute"]["threads"] = 1
    content["train_prior"]["epochs"] = 1
    content["train_diffusion"]["epochs"] = 4
    content["sweep"]["trials"] = 0
    content["evaluation"]["resamples"] = 100
    for rule in ("split_faces", "class_faces"):
        content["validation"][rule]["at_least"] = {"train": 10, "valid": 5, "test": 5}
    clone.set_params(content)
    clone.set_gates(TINY_GATES)
    clone.git("add", "-A")
    clone.git("commit", "-q", "-m", "clone")
    return clone


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end(process: "subprocess.Popen[Any]") -> None:
    """End a process and everything it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def hashes(folder: Path) -> dict[str, str]:
    """Every file under a folder with the hash of its content."""
    return {str(f.relative_to(folder)): file_sha256(f) for f in sorted(folder.rglob("*")) if f.is_file()}


def wait_for_port(process: "subprocess.Popen[Any]", port: int, seconds: float = 300) -> None:
    """Until a server answers: it announces itself in no other way."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nothing answers on port {port}")
