"""A run's last will: `python -m flows.watch PID` waits until that process is gone and ends what it started.

A run that is killed cannot stop the server that Prefect started for it. What it started carries the run's number in its
environment. DVC alone is left to end by itself, its stage being gone: it has locks to give back.
"""

import contextlib
import os
import select
import subprocess
import sys
from pathlib import Path

import psutil

OWNER = "LLDIF_RUN_PID"  # the process that asked for the run; nothing of the run outlives it


def over_this_process() -> None:
    """Name this process the owner of what it starts, and have it watched."""
    os.environ[OWNER] = str(os.getpid())
    subprocess.Popen(
        [sys.executable, "-m", "flows.watch", str(os.getpid())],
        env={name: value for name, value in os.environ.items() if name != OWNER},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_until_gone(pid: int) -> None:
    """Return once the process has ended, at once if it has already."""
    with contextlib.suppress(ProcessLookupError):
        select.select([os.pidfd_open(pid)], [], [])  # readable from its end on


def end_what_it_started(pid: int) -> None:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(OWNER) == str(pid) and not is_dvc(process):
                process.terminate()


def is_dvc(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):  # it is gone, or not ours to look at
        return any(Path(part).name == "dvc" for part in process.cmdline()[:3])
    return False


if __name__ == "__main__":
    wait_until_gone(int(sys.argv[1]))
    end_what_it_started(int(sys.argv[1]))
