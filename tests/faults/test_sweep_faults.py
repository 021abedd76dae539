"""Sweeps whose driver, workers, trials and nodes die. Eight minutes: `make test-faults`, not `make test`.

A sweep is judged by the work it did, not by the clock: epochs trained again are what a death costs.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from clones import COMMANDS, Clone, end, free_port
from sweeps import before_a_sweep, change_sweep, check_runs, journal, reports, state_of

pytestmark = pytest.mark.killing

KILLS = 10
# said to every node and driver: otherwise Ray goes by whether a token lies in the home folder
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
SETTLED = {"trials": 4, "epochs_per_trial": 3, "scheduler": "none"}  # the same bytes, whatever dies


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Clone:
    return before_a_sweep(tmp_path_factory.mktemp("ready") / "clone", **SETTLED)


@pytest.fixture(scope="module")
def whole(ready, tmp_path_factory) -> tuple[Clone, dict[str, Any]]:
    """The sweep of which nothing died, and its answer."""
    clone = copy(ready, tmp_path_factory.mktemp("whole"))
    return clone, clone.answer("lldif", "sweep", "demo", "--json")


@pytest.fixture
def clone(ready, tmp_path) -> Clone:
    return copy(ready, tmp_path)


def copy(ready: Clone, folder: Path) -> Clone:
    shutil.copytree(ready.path, folder / "clone")
    return Clone(folder / "clone", ready.environment)


def wait_until(true: Callable[[], object], process: "subprocess.Popen[str]", seconds: float = 300) -> None:
    """Until it is so, or the process has done its work."""
    deadline = time.monotonic() + seconds
    while not true() and process.poll() is None:
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)
    assert not process.poll(), process.communicate()[1]


def came(clone: Clone) -> int:
    try:
        return len(journal(clone))
    except FileNotFoundError:  # not begun yet
        return 0


def finished(process: "subprocess.Popen[str]") -> dict[str, Any]:
    out, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors
    return json.loads(out)


def check_goes_on(clone: Clone) -> None:
    """No trial ever went back by more than the epoch whose checkpoint its death prevented."""
    last: dict[str, int] = {}
    for name, epoch in reports(clone):
        assert epoch in (last.get(name, 0), last.get(name, 0) + 1), (name, epoch, last)
        last[name] = epoch


def check_same(clone: Clone, whole: tuple[Clone, dict[str, Any]]) -> None:
    """What was found is what a sweep finds of which nothing died, byte for byte."""
    for name in ("trials.json", "best.json"):
        assert (state_of(clone) / name).read_bytes() == (state_of(whole[0]) / name).read_bytes()


def test_a_driver_killed_at_10_random_moments_loses_and_doubles_nothing(clone, whole):
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 (shown where the test fails)
    moments = random.Random(seed)
    for turn in range(KILLS):
        process = clone.start("lldif", "sweep", "demo", "--json")
        if turn % 2:  # at any time, Ray's start and end included
            time.sleep(moments.uniform(0, 30))
        else:  # when something has been learnt
            wanted = came(clone) + moments.randint(1, 6)
            wait_until(lambda wanted=wanted: came(clone) >= wanted, process)
            time.sleep(moments.uniform(0, 1.5))
        ended = process.poll() is not None
        process.kill()
        process.communicate()
        if ended:
            break
    answer = finished(clone.start("lldif", "sweep", "demo", "--json"))
    check_goes_on(clone)
    check_same(clone, whole)
    check_runs(clone, answer)
    assert len(reports(clone)) <= 1.5 * len(reports(whole[0]))


def workers(driver: int) -> list[psutil.Process]:
    """The processes in which trials are at work, of a Ray that the driver started."""
    found = psutil.Process(driver).children(recursive=True)
    return [process for process in found if is_worker(process)]


def is_worker(process: psutil.Process) -> bool:
    try:
        return "ray::ImplicitFunc" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def test_a_trial_whose_worker_is_killed_goes_on_from_its_checkpoint(clone, whole):
    process = clone.start("lldif", "sweep", "demo", "--json")
    wait_until(lambda: any(epoch == 2 for _, epoch in reports_so_far(clone)), process)
    victims = workers(process.pid)
    assert victims
    victims[0].send_signal(signal.SIGKILL)
    answer = finished(process)
    assert sum(line["event"] == "died" for line in journal(clone)) == 1
    check_goes_on(clone)
    check_same(clone, whole)
    check_runs(clone, answer)


def reports_so_far(clone: Clone) -> list[tuple[str, int]]:
    return reports(clone) if came(clone) else []


def test_a_trial_that_raises_is_tried_again_so_often_then_failed_and_the_sweep_goes_on(clone):
    """An absurd learning rate makes no number of the loss."""
    space = clone.params()["sweep"]["space"] | {"optim.muon_rate": {"kind": "choice", "values": [0.02, 1e36]}}
    # of this seed's draws two are the absurd one and one is the sound one
    change_sweep(clone, space=space, seed=2, retries=1, trials=4, confirm={"best": 0, "seeds": 2, "in_stage": False})
    answer = clone.answer("lldif", "sweep", "demo", "--json")
    status = {one["parameters"]["optim.muon_rate"]: one["status"] for one in answer["trials"]}
    assert status == {0.02: "finished", 1e36: "failed"}
    failed = [one for one in answer["trials"] if one["status"] == "failed"]
    assert all("lower the learning rate" in one["error"] for one in failed)
    deaths = [line["name"] for line in journal(clone) if line["event"] == "died"]
    assert sorted(deaths) == [f"trial-{one['number']:04}" for one in failed]  # once each: one retry
    check_runs(clone, answer)


def test_trials_of_a_node_that_is_lost_move_to_another(clone, whole):
    """The cluster is somebody else's: it is still there when the sweep has ended."""
    from ray.cluster_utils import Cluster

    quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 3}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": quick})
    try:
        cluster.add_node(num_cpus=1)
        lost = cluster.add_node(num_cpus=1)
        process = clone.start("lldif", "sweep", "demo", "--json", RAY_ADDRESS=cluster.address)
        wait_until(lambda: len({name for name, epoch in reports_so_far(clone) if epoch == 2}) == 2, process)
        cluster.remove_node(lost, allow_graceful=False)
        answer = finished(process)
        assert cluster.head_node.live_processes()
        assert sum(line["event"] == "died" for line in journal(clone)) >= 1
        check_goes_on(clone)
        check_same(clone, whole)
        check_runs(clone, answer)
    finally:
        cluster.shutdown()


def test_nodes_that_share_no_folder_get_code_and_faces_from_the_driver_and_keep_checkpoints_in_a_bucket(clone):
    """Every node sees an empty folder where the clone is; a worker is killed, so that the bucket is needed."""
    engine = clone.path / "flows" / "sweep" / "engine.py"
    mark = '"metrics": dict(report.metrics)'
    assert mark in engine.read_text()
    engine.write_text(engine.read_text().replace(mark, f'{mark} | {{"of_this_clone": 1.0}}'))
    with bucket() as storage, blind_nodes(clone.path, storage) as (address, head):
        more = storage | TOKEN | {"RAY_ADDRESS": address, "LLDIF_SWEEP_STORAGE": "s3://sweeps/demo"}
        process = clone.start("lldif", "sweep", "demo", "--json", **more)
        wait_until(lambda: any(epoch == 2 for _, epoch in reports_so_far(clone)), process)
        here = [one for one in psutil.process_iter() if is_worker(one) and address in " ".join(one.environ().values())]
        victim = here or [one for one in psutil.process_iter() if is_worker(one)]
        victim[0].send_signal(signal.SIGKILL)
        answer = finished(process)
        assert head.poll() is None  # the cluster was left as it was
    assert {one["status"] for one in answer["trials"]} == {"finished"}
    assert sum(line["event"] == "died" for line in journal(clone)) == 1
    check_goes_on(clone)
    check_runs(clone, answer)
    marked = [line["metrics"].get("of_this_clone") for line in journal(clone) if line["event"] == "report"]
    assert set(marked) == {1.0}
    assert not (state_of(clone) / "trials").exists()


@contextmanager
def bucket() -> Iterator[dict[str, str]]:
    """A bucket named sweeps, and the environment that leads to it."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    access = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    try:
        boto3.client(
            "s3",
            endpoint_url=access["AWS_ENDPOINT_URL"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name="us-east-1",
        ).create_bucket(Bucket="sweeps")
        yield access
    finally:
        server.stop()


@contextmanager
def blind_nodes(hidden: Path, access: dict[str, str]) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Two nodes with a CPU each, that see nothing of the folder `hidden`; the address of the first."""
    alone = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    if subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespaces are to be had here")
    port, started = free_port(), []
    address = f"127.0.0.1:{port}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | access | TOKEN
    head = f"--head --port={port} --include-dashboard=false"
    try:
        for which in (head, f"--address={address}"):
            start = f"{COMMANDS}/ray start {which} --node-ip-address=127.0.0.1 --num-cpus=1 --block"
            script = f"mount -t tmpfs none '{hidden}' && cd / && exec {start} --disable-usage-stats"
            started.append(
                subprocess.Popen(
                    [*alone, "bash", "-c", script],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
            wait_for_node(started, port)
        yield address, started[0]
    finally:
        for process in started:
            for one in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
                one.kill()
            end(process)


def wait_for_node(started: "list[subprocess.Popen[bytes]]", port: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert started[-1].poll() is None, "the node ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError("no node came up")
