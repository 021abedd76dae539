"""Decision 7: what is current is said without starting an engine."""

import re

from clones import Clone

ENGINES = {"prefect", "torch", "ray", "great_expectations"}


def imported(stderr: str) -> set[str]:
    """Top-level packages in the interpreter's own account of its imports."""
    return {match[1] for match in re.finditer(r"^import time:.*\| +([A-Za-z_0-9]+)", stderr, re.MULTILINE)}


def test_a_current_experiment_needs_neither_prefect_nor_torch_nor_ray(finished: tuple[Clone, dict]):
    clone, first = finished
    done = clone.run(
        "lldif", "run", "demo", "--json", PYTHONPROFILEIMPORTTIME="1", PREFECT_API_URL="http://127.0.0.1:9/api"
    )
    assert "mlflow" in imported(done.stderr)
    assert not imported(done.stderr) & ENGINES
    assert f'"version": {first["version"]}' in done.stdout


def test_help_imports_no_engine_at_all(finished: tuple[Clone, dict]):
    clone, _ = finished
    for arguments in ((), ("run",), ("stage",), ("data", "add"), ("ui",), ("clean",), ("doctor",)):
        done = clone.run("lldif", *arguments, "--help", PYTHONPROFILEIMPORTTIME="1")
        assert not imported(done.stderr) & (ENGINES | {"mlflow", "dvc", "numpy", "pandas", "scipy", "pydantic"})
