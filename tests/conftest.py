"""A tiny experiment, run once in a clone of this working tree; a Prefect server for the whole session."""

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clones import COMMANDS, Clone, end, free_port, fresh_clone, wait_for_port
from registry import Place, make_database, make_place


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Prefect server with a database of its own."""
    home, port = tmp_path_factory.mktemp("prefect"), free_port()
    environment = os.environ | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1",
    }
    process = subprocess.Popen(
        [COMMANDS / "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}/api"
    wait_for_port(process, port)
    yield address
    end(process)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all of pytest's workers share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def environment(shared: Path, prefect_server: str) -> dict[str, str]:
    """For every command of a test: our commands first, our server, homes in temporary folders."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PREFECT_", "LLDIF_"))
    }
    return clean | {
        "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}",
        "PREFECT_API_URL": prefect_server,
        "PREFECT_HOME": str(shared / "home"),
        "GIT_AUTHOR_NAME": "test",
        "GIT_AUTHOR_EMAIL": "test@example.org",
        "GIT_COMMITTER_NAME": "test",
        "GIT_COMMITTER_EMAIL": "test@example.org",
    }


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, shared: Path, environment: dict[str, str]
) -> tuple[Clone, dict[str, Any]]:
    """A clone in which `lldif run demo` went through once, and its answer. Not to be changed: copy it.

    It is made by the first of pytest's workers that wants it; each has a copy of its own.
    """
    answer = shared / "finished" / "answer.json"
    with (shared / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not answer.exists():
            made = fresh_clone(shared / "finished" / "clone", environment)
            answer.write_text(json.dumps(made.answer("lldif", "run", "demo", "--json")))
    copy = Clone(shared / "finished" / "clone", environment).copy(tmp_path_factory.getbasetemp() / "finished-copy")
    return copy, json.loads(answer.read_text())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that run the whole line come early, so that two workers end at about the same time.

    While the first makes the finished clone, the second has something else to do.
    """
    heavy = ("decisions", "faults", "flows")

    def rank(item: pytest.Item) -> int:
        if item.path.name.startswith("test_2_"):
            return 0
        if any(part in heavy for part in item.path.parts):
            return 2
        return 1 if "learning" in item.path.parts or "data" in item.path.parts else 3

    items.sort(key=rank)


@pytest.fixture
def clone(finished: tuple[Clone, dict[str, Any]], tmp_path: Path) -> Clone:
    """A copy of the finished clone, free to be changed."""
    return finished[0].copy(tmp_path / "clone")


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_database(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def place(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A registry and a ledger without models, for what decides."""
    return make_place(tmp_path, database, monkeypatch)


@pytest.fixture
def empty_clone(environment: dict[str, str], tmp_path: Path) -> Clone:
    """A clone in which nothing was run yet."""
    return fresh_clone(tmp_path / "clone", environment)
