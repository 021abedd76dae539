"""`lldif doctor`: each thing that can be missing, made to be missing. 10 s; most of it is DVC's start."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
import yaml

from flows import doctor, project
from flows.doctor import Finding
from flows.project import git
from flows.watch import OWNER

NOWHERE = "127.0.0.1:9"  # the discard port: nobody answers
OURS = {"source": "folder", "size": 64, "colour": "rgb", "max_reject_share": 0.01, "layout": "class"} | {
    "classes": ["angry", "happy", "neutral"],
    "split_by": "hash",
    "subject_pattern": "",
    "valid_share": 0.1,
    "test_share": 0.2,
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, and an environment that points nowhere."""
    for module in (doctor, project, doctor.versioning):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(doctor.staging, "STATE", tmp_path / "state")
    for name in list(os.environ):
        if name.startswith(("LLDIF_", "PREFECT_", "RAY_", "MLFLOW_")):
            monkeypatch.delenv(name)
    return tmp_path


def found(check: Callable[[], str], remedy: str = "") -> Finding:
    return doctor._find("it", check, remedy)


def missing(check: Callable[[], str], what: str, how: str, remedy: str = "") -> None:
    finding = found(check, remedy)
    assert not finding.ok
    assert what in finding.detail
    assert "\n" not in finding.detail
    assert how in finding.remedy


def test_every_finding_is_aligned_and_what_is_missing_says_how_to_get_it():
    text = doctor.text([Finding("git", True, "abc, clean"), Finding("shared memory", False, "none", "do this")])
    assert text.splitlines() == [
        "ok       git            abc, clean",
        "MISSING  shared memory  none",
        "                        -> do this",
    ]


def test_the_device_says_what_precision_auto_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for native, precision in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda native=native: {"avx512_bf16": native})
        assert found(doctor._device).detail == f"CPU, {os.cpu_count()} cores; precision auto is {precision}"


def test_packages(root: Path):
    lock = root / "requirements.lock"
    lock.write_text(f"pytest=={pytest.__version__}\n")
    assert found(doctor._packages).detail == "1 as locked"
    lock.write_text("pytest==0.0.1\nno-such-package-here==1.0\n")
    missing(doctor._packages, "2 differ", "make install", remedy="make install")
    assert "no-such-package-here missing (lock: 1.0)" in found(doctor._packages).detail


def test_a_repository_and_a_commit(root: Path):
    missing(doctor._git, "not a git repository", "git init && git add -A && git commit")
    git("init", "-q")
    missing(doctor._git, "no commit yet", "git add -A && git commit")
    (root / "a").write_text("a")
    git("add", "-A")
    git("-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-q", "-m", "a")
    assert found(doctor._git).detail.endswith(", clean")


def test_no_git_at_all(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(root))
    missing(doctor._git, "no git command", "install git")


def test_disk_memory_and_shared_memory(root: Path, monkeypatch: pytest.MonkeyPatch):
    for check in (doctor._disk, doctor._memory):
        assert found(check).ok
    monkeypatch.setattr(doctor, "FREE_GIGABYTES", 10**9)
    missing(doctor._disk, "are needed", "lldif clean", remedy="lldif clean")
    (root / "memory.max").write_text("500000000\n")  # what a small container says
    monkeypatch.setattr(doctor, "MEMORY_LIMIT", root / "memory.max")
    missing(doctor._memory, "0.5 GB free", "docker run --memory")
    monkeypatch.setattr(doctor, "SHARED_MEMORY", root / "shm")
    missing(doctor._shared_memory, "0.00 GB free", "--shm-size")


def test_variables_of_a_run_in_a_persons_shell(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LLDIF_SWEEP_STORAGE", "/shared")  # which a person does set
    assert found(doctor._environment).ok
    monkeypatch.setenv(OWNER, "1")
    missing(doctor._environment, OWNER, f"unset {OWNER}")


@pytest.fixture
def gone() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def holding(root: Path, owner: int) -> "subprocess.Popen[str]":
    """A process of a run that holds the clone's lock."""
    (root / "state").mkdir(exist_ok=True)
    code = "import sys; stream = open(sys.argv[1], 'a'); print('open', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, root / "state" / "dvc.lock"],
        env=os.environ | {OWNER: str(owner)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    process.stdout.readline()
    return process


def test_a_lock_that_outlived_its_run_is_told_from_one_at_work(root: Path, gone: int):
    assert found(doctor._locks).detail == "no run is at work"
    with holding(root, os.getpid()) as process:
        assert found(doctor._locks).detail == f"a run is at work: process {process.pid}"
        process.communicate()
    with holding(root, gone) as process:
        missing(doctor._locks, f"process {process.pid} of a run that was killed", f"kill {process.pid}")
        process.communicate()


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    """A server that answers as Prefect's does when asked how it is."""
    with HTTPServer(("127.0.0.1", 0), Healthy) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{one.server_port}"
        one.shutdown()


def test_prefect(root: Path, server: str, monkeypatch: pytest.MonkeyPatch):
    assert found(doctor._prefect).ok
    monkeypatch.setenv("PREFECT_API_URL", f"http://{server}/api")
    assert found(doctor._prefect).ok
    for url in (f"http://user:secret@{NOWHERE}/api", f"http://{server}/other", "nonsense"):
        monkeypatch.setenv("PREFECT_API_URL", url)
        missing(doctor._prefect, "does not answer", "prefect server start, or unset PREFECT_API_URL")
        assert "secret" not in found(doctor._prefect).detail


def test_ray_is_asked_only_where_an_address_is_set_and_never_imported(root: Path, server: str, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # an import would fail
    assert found(doctor._ray).ok
    for address in (server, f"ray://{server}"):
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert found(doctor._ray).ok
    for address in (NOWHERE, f"ray://{NOWHERE}", "ray://127.0.0.1:port"):
        monkeypatch.setenv("RAY_ADDRESS", address)
        missing(doctor._ray, "does not answer", "ray start --head, or unset RAY_ADDRESS")
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setattr(doctor, "RAY_CLUSTER", root / "ray_current_cluster")
    missing(doctor._ray, "no Ray was started", "ray start --head")
    (root / "ray_current_cluster").write_text(f"{server}\n")
    assert found(doctor._ray).ok


def test_mlflow(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{NOWHERE}")
    finding = doctor._find("MLflow", doctor._mlflow, "unset it")
    assert finding == Finding("MLflow", False, f"http://{NOWHERE}: does not answer", "unset it")


def test_a_dvc_remote_may_be_absent(root: Path):
    (root / "state").mkdir()
    git("init", "-q")
    subprocess.run([Path(sys.executable).parent / "dvc", "init", "-q"], cwd=root, check=True)
    assert found(doctor._remote).detail.startswith("none")
    (root / ".dvc" / "config").write_text("['remote \"store\"']\n    url = /nowhere\n")
    assert found(doctor._remote) == Finding("it", True, "store")
    (root / ".dvc" / "config").write_text("[core\n")
    missing(doctor._remote, "", "dvc remote list", remedy="dvc remote list")


def test_params_and_raw_data(root: Path):
    (root / "params").mkdir()
    live = root / "params" / "live.yaml"
    live.write_text("live: [")
    missing(doctor._live, "params/live.yaml: not YAML", "git checkout", remedy="git checkout params/live.yaml")
    live.write_text("live:\n")
    missing(doctor._live, "no experiment is live", "git checkout")
    live.write_text("live:\n  demo:\n    raw: components/data/faces.py\n")
    (root / "components").mkdir()
    (root / "params" / "demo.yaml").write_text("ingest: {source: embedded}\n")
    missing(lambda: doctor._experiment("demo"), "params/demo.yaml: ", "git diff params/demo.yaml")


@pytest.mark.parametrize(
    ("name", "raw", "how"),
    [
        ("demo", "components/data/faces.py", "git checkout components/data/faces.py"),
        ("ferplus-mini", "data/ferplus.zip", "lldif data add ferplus PATH"),
        ("kdef", "data/kdef.zip", "lldif data add kdef PATH"),
        ("ours", "data/ours.zip", "lldif data add folder ours PATH"),
    ],
)
def test_raw_data_that_is_not_here_comes_with_the_command_that_brings_it(root: Path, name: str, raw: str, how: str):
    content = yaml.safe_load((project_params() / f"{'rafdb' if name == 'ours' else name}.yaml").read_text())
    if name == "ours":
        content["ingest"] = OURS
    (root / "params").mkdir()
    (root / "components").mkdir()
    (root / "params" / f"{name}.yaml").write_text(yaml.safe_dump(content))
    (root / "params" / "live.yaml").write_text(f"live:\n  {name}:\n    raw: {raw}\n")
    with pytest.raises(doctor.Missing, match=f"^{raw} is not here$") as missed:
        doctor._experiment(name)
    assert missed.value.remedy == how
    (root / raw).parent.mkdir(parents=True, exist_ok=True)
    (root / f"{raw}.dvc").write_text("outs: []\n")
    with pytest.raises(doctor.Missing) as missed:
        doctor._experiment(name)
    assert missed.value.remedy == f"dvc pull {raw}.dvc, or {how}"


def project_params() -> Path:
    return Path(doctor.__file__).parent.parent / "params"
