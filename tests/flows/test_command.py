"""The command line: doctor, ui, help, exit codes."""

import os
import signal
import socket

import httpx
from clones import Clone, end, free_port, wait_for_port


def test_doctor_says_what_is_there_and_what_is_missing(clone: Clone):
    found = {finding["check"]: finding for finding in clone.answer("lldif", "doctor", "--json")}
    assert {"python", "packages", "git", "disk", "device", "MLflow", "Prefect", "experiment demo"} <= set(found)
    assert found["experiment demo"]["detail"] == "up to date"
    assert all(finding["ok"] for finding in found.values())
    text = clone.run("lldif", "doctor", code=1, MLFLOW_TRACKING_URI="http://127.0.0.1:9").stdout
    assert "MISSING  MLflow " in text
    assert "-> start that server, or unset MLFLOW_TRACKING_URI" in text


def test_ui_serves_both_pages_until_interrupted(finished):
    clone, _ = finished
    mlflow, prefect = free_port(), free_port()
    environment = {k: v for k, v in clone.environment.items() if k != "PREFECT_API_URL"}
    served = Clone(clone.path, environment).start(
        "lldif", "ui", "--mlflow-port", str(mlflow), "--prefect-port", str(prefect)
    )
    try:
        for port in (mlflow, prefect):
            wait_for_port(served, port)
        page = httpx.get(f"http://127.0.0.1:{mlflow}/", timeout=60)
        assert "MLflow" in page.text
        experiments = httpx.get(
            f"http://127.0.0.1:{mlflow}/api/2.0/mlflow/experiments/search", params={"max_results": 10}, timeout=60
        )
        assert "lldif/demo" in experiments.text
        settings = httpx.get(f"http://127.0.0.1:{prefect}/ui-settings", timeout=60).json()
        assert settings["api_url"] == f"http://127.0.0.1:{prefect}/api"
        os.kill(served.pid, signal.SIGINT)
        out, _ = served.communicate(timeout=60)
        assert f"http://127.0.0.1:{mlflow}" in out
        assert served.returncode == 0
        for port in (mlflow, prefect):
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", port)) != 0
    finally:
        end(served)


def test_a_server_that_is_too_slow_is_one_line_and_none_is_left(empty_clone: Clone):
    environment = {k: v for k, v in empty_clone.environment.items() if k != "PREFECT_API_URL"}
    clone = Clone(empty_clone.path, environment | {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "1"})
    told = clone.run("lldif", "run", "demo", code=1).stderr.splitlines()
    assert [line for line in told if "Prefect" in line or "Traceback" in line] == [
        "lldif: Prefect: its server did not start within 1 s: wait longer by"
        " PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, or name one that runs in PREFECT_API_URL"
    ]
    assert not (clone.path / "runs").exists()


def test_help_names_every_command(finished):
    text = finished[0].run("lldif", "--help").stdout
    for command in ("run", "stage", "data", "promote", "approve", "rollback", "history", "ui", "clean", "doctor"):
        assert f"\n  {command} " in text
    assert "3 candidate rejected" in text
