"""`lldif ui`: MLflow's and Prefect's pages, started together, stopped together."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

from flows import policy as policy_file
from flows import project, tracking
from flows.project import ROOT, Failed

HOST = "127.0.0.1"
START_SECONDS = 120


@dataclass(frozen=True)
class Service:
    name: str
    url: str
    process: "subprocess.Popen[bytes] | None"  # None: it runs elsewhere already


def start(mlflow_port: int, prefect_port: int) -> list[Service]:
    """Start what is not served elsewhere, and return when it answers. Raises Failed."""
    services = [_mlflow(mlflow_port), _prefect(prefect_port)]
    try:
        for service in services:
            if service.process:
                _wait(service)
    except Failed:
        stop(services)
        raise
    return services


def wait(services: list[Service]) -> None:
    """Until a person interrupts, or one of them ends."""
    processes = {s.process.pid: s for s in services if s.process}
    if processes:
        pid, _ = os.wait()
        raise Failed(f"{processes[pid].name} has ended", "infrastructure")


def stop(services: list[Service]) -> None:
    for service in services:
        if service.process and service.process.poll() is None:
            os.killpg(service.process.pid, signal.SIGTERM)
            service.process.wait()


def _mlflow(port: int) -> Service:
    rules = policy_file.load()
    uri = tracking.tracking_uri(rules)
    if uri.startswith(("http://", "https://")):
        return Service("MLflow", uri, None)
    command = ["mlflow", "server", "--host", HOST, "--port", str(port), "--backend-store-uri", uri]
    command += ["--default-artifact-root", (ROOT / rules.tracking.artifacts).as_uri()]
    return Service("MLflow", f"http://{HOST}:{port}", _spawn(command, {}))


def _prefect(port: int) -> Service:
    if "PREFECT_API_URL" in os.environ:
        return Service("Prefect", os.environ["PREFECT_API_URL"].removesuffix("/api"), None)
    # the pages ask these, not the command line, where the API is
    where = {"PREFECT_SERVER_API_HOST": HOST, "PREFECT_SERVER_API_PORT": str(port)}
    where |= {"PREFECT_UI_API_URL": f"http://{HOST}:{port}/api"}
    command = ["prefect", "server", "start", "--host", HOST, "--port", str(port)]
    return Service("Prefect", f"http://{HOST}:{port}", _spawn(command, where))


def _spawn(command: list[str], extra: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=project.environment() | extra,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        start_new_session=True,
    )


def _wait(service: Service) -> None:
    """A server announces itself in no other way than by answering its port."""
    port = int(service.url.rpartition(":")[2])
    assert service.process
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if service.process.poll() is not None:
            raise Failed(f"{service.name} did not start: is port {port} in use?", "infrastructure")
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.2)
    raise Failed(f"{service.name} did not answer on port {port} within {START_SECONDS} s", "infrastructure")
