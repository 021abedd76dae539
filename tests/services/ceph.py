"""A real S3 server for tests: Ceph's object gateway with one monitor and one store in memory, on loopback.

Needs the Debian packages in PACKAGES, and no rights but those to its folder. Nothing of it outlives `stop`.
"""

import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from clones import free_port

PACKAGES = ("radosgw", "ceph-mon", "ceph-osd", "ceph-common")
COMMANDS = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph", "ceph-authtool", "monmaptool")
ACCESS_KEY, SECRET_KEY = "lldif", "lldif-secret"
PATIENCE_SECONDS = 120
CONFIG = """\
[global]
fsid = {fsid}
mon host = {monitor}
keyring = {folder}/keyring
run dir = {folder}
admin socket = {folder}/$name.socket
pid file = {folder}/$name.pid
log file = {folder}/$name.log
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail warn = 2
mon data avail crit = 1
auth allow insecure global id reclaim = false
[mon.a]
mon data = {folder}/mon
[osd.0]
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 1073741824
[client.gateway]
rgw frontends = beast endpoint=127.0.0.1:{port}
"""


def missing() -> list[str]:
    """Commands that are not installed."""
    return [name for name in COMMANDS if shutil.which(name) is None]


class Ceph:
    """A running server; its folder should be short-lived and its name short, since sockets lie in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.fsid = folder, free_port(), str(uuid.uuid4())
        self.processes: list[subprocess.Popen[bytes]] = []
        self.monitor = f"v2:127.0.0.1:{free_port()}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes boto3, DVC and MLflow talk to this server."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "default",
        }

    def start(self) -> None:
        for name in ("mon", "osd"):
            (self.folder / name).mkdir(parents=True)
        settings = {"fsid": self.fsid, "monitor": f"[{self.monitor}]", "folder": self.folder, "port": self.port}
        (self.folder / "ceph.conf").write_text(CONFIG.format(**settings))
        self._make_keys()
        self._start_monitor()
        self._start_store()
        self._spawn("radosgw", "-n", "client.gateway")
        user = ("user", "create", "--uid=lldif", "--display-name=lldif")
        keys = (f"--access-key={ACCESS_KEY}", f"--secret-key={SECRET_KEY}")
        self._until(lambda: self._answers("radosgw-admin", "-n", "client.gateway", *user, *keys))
        self._until(self._serves)

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.send_signal(signal.SIGKILL)
            process.wait()

    def _make_keys(self) -> None:
        ring = str(self.folder / "keyring")
        self._tool("ceph-authtool", "--create-keyring", ring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        may_all = ("--cap", "mon", "allow *", "--cap", "osd", "allow *")
        for name in ("client.admin", "client.gateway", "osd.0"):
            self._tool("ceph-authtool", ring, "--gen-key", "-n", name, *may_all)

    def _start_monitor(self) -> None:
        monitors, ring = str(self.folder / "monmap"), str(self.folder / "keyring")
        self._tool("monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", f"[{self.monitor}]", monitors)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors, "--keyring", ring)
        self._spawn("ceph-mon", "-i", "a")
        self._until(lambda: self._answers("ceph", "auth", "import", "-i", ring))

    def _start_store(self) -> None:
        identity = str(uuid.uuid4())
        self._run("ceph", "osd", "new", identity)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", identity)
        self._spawn("ceph-osd", "-i", "0")
        self._until(lambda: "1 up" in self._answer("ceph", "osd", "stat"))

    def _serves(self) -> bool:
        import httpx

        try:
            return httpx.get(f"http://127.0.0.1:{self.port}").status_code < 500
        except httpx.HTTPError:
            return False

    def _spawn(self, command: str, *arguments: str) -> None:
        with (self.folder / f"{command}.out").open("wb") as out:
            whole = [command, "-c", str(self.folder / "ceph.conf"), *arguments, "-f"]
            self.processes.append(subprocess.Popen(whole, stdout=out, stderr=out, stdin=subprocess.DEVNULL))

    def _tool(self, *command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_SECONDS)

    def _run(self, command: str, *arguments: str) -> None:
        self._tool(command, "-c", str(self.folder / "ceph.conf"), *arguments)

    def _answer(self, command: str, *arguments: str) -> str:
        whole = ["timeout", "20", command, "-c", str(self.folder / "ceph.conf"), *arguments]
        return subprocess.run(whole, capture_output=True, text=True, check=False).stdout

    def _answers(self, command: str, *arguments: str) -> bool:
        whole = ["timeout", "60", command, "-c", str(self.folder / "ceph.conf"), *arguments]
        return subprocess.run(whole, capture_output=True, check=False).returncode == 0

    def _until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            dead = [process.args for process in self.processes if process.poll() is not None]
            assert not dead, f"{dead}: ended; see {self.folder}"
            assert time.monotonic() < deadline, f"no answer within {PATIENCE_SECONDS} s; see {self.folder}"
            time.sleep(0.3)
