"""Who is to blame while MLflow is told something. Seconds: 3."""

import errno
from collections.abc import Callable

import pytest
import requests
from pyarrow import parquet

from flows import policy, tracking
from flows.project import ROOT, Failed

SERVER = "http://127.0.0.1:9"


def raising(error: Exception) -> Callable[[], object]:
    def work() -> object:
        raise error

    return work


def said(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> tuple[str, str]:
    """Line and class of what goes wrong in `work`."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    with pytest.raises(Failed) as caught, tracking.reachable(policy.load()):
        work()
    return str(caught.value), caught.value.kind


@pytest.mark.parametrize(
    ("work", "line", "kind"),
    [
        (raising(OSError(errno.ENOSPC, "No space left on device")), "No space left on device", "infrastructure"),
        (
            raising(PermissionError(errno.EACCES, "Permission denied", str(ROOT / "state" / "lock"))),
            "state/lock: Permission denied",
            "infrastructure",
        ),
        (
            lambda: (ROOT / "runs" / "x" / "lldif_history.json").read_text(),
            "runs/x/lldif_history.json: missing",
            "data",
        ),
        (lambda: parquet.read_table(ROOT / "runs" / "x.parquet"), "runs/x.parquet: missing", "data"),
    ],
)
def test_what_is_wrong_with_the_disk_is_not_said_of_mlflow(monkeypatch, work, line, kind):
    assert said(monkeypatch, work) == (line, kind)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (requests.ConnectionError("Max retries exceeded with url: /api"), "does not answer"),
        (
            requests.HTTPError("500 Server Error. Response text: <html>\n<body>"),
            "500 Server Error. Response text: <html>",
        ),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "[Errno 104] Connection reset by peer"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_a_connection_that_breaks_is_mlflows(monkeypatch, error, words):
    assert said(monkeypatch, raising(error)) == (f"MLflow at {SERVER}: {words}", "infrastructure")
