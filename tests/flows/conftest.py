"""A registry without models, for what decides."""

from pathlib import Path

import pytest
from registry import Place, make_database, make_place


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_database(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def place(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return make_place(tmp_path, database, monkeypatch)
