"""What is seen while work goes on. Milliseconds, but for the whole command under a pseudo terminal: 20 s."""

import fcntl
import io
import json
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from types import SimpleNamespace

import pytest
from clones import COMMANDS, Clone
from rich.console import Console

from flows import live
from flows.live import Above, Lines, Screen
from flows.progress import Progress

STEPS = ("ingest", "train_prior", "gate")


def console(width: int = 80) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=30, color_system=None)


def seen(screen: Screen) -> list[str]:
    """The lines of the view as it is now."""
    out = console(screen.live.console.width)
    out.print(screen.frame())
    return [line.rstrip() for line in out.file.getvalue().splitlines()]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    clock = iter(range(100, 10_000, 10))  # ten seconds pass whenever somebody looks
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    return Screen("demo", STEPS, console())


def test_every_step_is_shown_with_its_state(screen: Screen):
    assert [line.split()[1:] for line in seen(screen)[1:4]] == [["waiting"]] * 3
    screen.begin("ingest")
    screen.end("ingest", "up to date")
    screen.begin("train_prior")
    states = [line.split() for line in seen(screen)[1:4]]
    assert states == [
        ["ingest", "up", "to", "date", "10", "s"],
        ["train_prior", "running", "10", "s"],
        ["gate", "waiting"],
    ]


def test_the_running_step_has_a_bar_figures_and_the_time_left_once_it_is_known(screen: Screen):
    screen.begin("train_prior")
    screen.progress(Progress("train_prior@demo", 1, 8, "loss=0.5"))
    text = "\n".join(seen(screen))
    assert re.search("━ +1/8", text)
    assert "loss=0.5" in text
    assert "left" not in text
    screen.progress(Progress("train_prior@demo", 2, 8, "loss=0.4"))  # twenty seconds later; ten more until we look
    assert "2/8 1 min 50 s left" in "\n".join(seen(screen))
    screen.progress(Progress("train_prior@demo", 8, 8, "loss=0.1"))
    assert "left" not in "\n".join(seen(screen))


def test_a_step_that_is_tried_again_begins_again(screen: Screen):
    screen.begin("train_prior")
    screen.progress(Progress("train_prior@demo", 3, 8, ""))
    screen.end("train_prior", "failed")
    assert "failed" in seen(screen)[2]
    screen.begin("train_prior")
    assert "running" in seen(screen)[2]
    assert "3/8" not in "\n".join(seen(screen))


def test_no_line_is_wider_than_the_terminal_and_none_is_wrapped(screen: Screen):
    screen.live.console.width = 40
    screen.begin("train_prior")
    screen.progress(Progress("train_prior@demo", 1, 8, " ".join(f"figure_{n}=0.5" for n in range(9))))
    lines = seen(screen)
    assert max(map(len, lines)) <= 40
    assert len(lines) == 1 + len(STEPS) + 2 + 1  # title, steps, bar and figures, the line the cursor rests on


@pytest.mark.parametrize(("error", "status"), [(ValueError, "failed"), (KeyboardInterrupt, "stopped")])
def test_a_step_left_early_says_so(screen: Screen, error: type[BaseException], status: str):
    with pytest.raises(error), live._as_current(screen), live.step("ingest"):
        raise error
    assert screen.rows["ingest"].status == status


def test_the_cursor_is_never_hidden_and_the_view_makes_room_for_the_answer():
    file = io.StringIO()
    terminal = live.Terminal(file=file, force_terminal=True, width=80, color_system=None)
    with Screen("demo", STEPS, terminal):
        pass
    assert "\x1b[?25l" not in file.getvalue()
    assert "waiting" in file.getvalue()
    assert "waiting" not in file.getvalue().split("\x1b[2K")[-1]  # its lines are wiped


def test_after_an_error_the_view_stays():
    file = io.StringIO()
    with pytest.raises(ValueError, match="x"), Screen("demo", STEPS, live.Terminal(file=file, force_terminal=True)):
        raise ValueError("x")
    assert "waiting" in file.getvalue().split("\x1b[2K")[-1]


def test_what_others_write_comes_in_whole_lines_even_from_prefects_own_console():
    from prefect.logging.handlers import PrefectConsoleHandler

    file = io.StringIO()
    terminal = Console(file=file, force_terminal=True, width=20, color_system=None)
    above = Above(terminal, sys.stderr)
    above.write("half ")
    assert file.getvalue() == ""
    above.write("a line\n")
    assert file.getvalue() == "half a line\n"
    PrefectConsoleHandler(stream=above).emit(logging.makeLogRecord({"msg": "Finished in state Completed()"}))
    assert file.getvalue() == "half a line\nFinished in state Completed()\n"  # through us, not past us, and not cut


def test_lines_are_at_most_one_in_five_seconds_but_the_last_step_always(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: now[0]))
    lines = Lines("demo")
    for step in range(1, 9):
        now[0] += 2
        lines.progress(Progress("train_prior@demo", step, 8, "loss=1"))
    out, errors = capsys.readouterr()
    assert errors.splitlines() == [f"train_prior@demo {step}/8 loss=1" for step in (1, 4, 7, 8)]
    assert out == ""


def test_without_a_view_work_speaks_in_lines(capsys):
    with live.step("gate") as step:
        step.detail("version 2 against version 1")
    assert capsys.readouterr().err.splitlines() == ["gate: version 2 against version 1", "gate: done, 0 s"]


@pytest.mark.parametrize(("term", "watched"), [("xterm", True), ("dumb", False), (None, False)])
def test_only_a_terminal_that_can_be_drawn_on_is_drawn_on(monkeypatch, term: str | None, watched: bool):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("TERM", raising=False)
    if term:
        monkeypatch.setenv("TERM", term)
    assert live.is_watched() is watched
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert not live.is_watched()


def in_terminal(clone: Clone, *command: str, **extra: str) -> tuple[int, str, str]:
    """Run a command whose standard error is a terminal of 60 columns. Returns exit code, standard output, screen."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 60, 0, 0))
    process = subprocess.Popen(
        [COMMANDS / command[0], *command[1:]],
        cwd=clone.path,
        env=clone.environment | {"TERM": "xterm-256color"} | extra,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        start_new_session=True,
    )
    os.close(theirs)
    drawn: list[bytes] = []
    reader = threading.Thread(target=lambda: drawn.extend(iter(lambda: _read(ours), b"")))
    reader.start()
    out, _ = process.communicate(timeout=300)
    reader.join(timeout=30)
    return process.returncode, out, b"".join(drawn).decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # nobody writes any more
        return b""


def test_a_run_in_a_terminal_draws_a_view_and_keeps_the_answer_clean(clone: Clone):
    with (clone.path / "components" / "stages" / "evaluate.py").open("a") as code:
        code.write("# changed\n")  # one cheap stage has something to do
    exit_code, out, screen = in_terminal(clone, "lldif", "run", "demo", "--json", PREFECT_LOGGING_LEVEL="INFO")
    assert exit_code == 0
    stages = {stage["name"]: stage["status"] for stage in json.loads(out)["stages"]}
    assert stages == dict.fromkeys(stages, "cached") | {"evaluate": "ran"}
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen)
    assert re.search(r"evaluate +running", plain)
    assert re.search(r"━ (\d)/\1", plain)
    assert "accuracy_0.2=" in plain
    assert re.search(r"promote +done", plain)
    assert "\x1b[?25l" not in screen
    log = [line for line in plain.splitlines() if "Finished in state" in line]
    assert log  # Prefect's own lines stand above the view, whole
    assert all(re.match(r"\d\d:\d\d:\d\d", line) for line in log)


def test_a_stage_by_itself_has_a_view_of_its_own_and_an_error_stays_one_line(clone: Clone):
    code, out, screen = in_terminal(clone, "lldif", "stage", "evaluate", "demo")
    assert (code, out) == (0, "")
    assert re.search(r"evaluate +\S*ran", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen))
    (clone.path / "runs" / "demo" / "lldif.safetensors").write_bytes(b"nothing")
    code, _, screen = in_terminal(clone, "lldif", "stage", "evaluate", "demo")
    assert code == 1
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen).rstrip().splitlines()[-1]
    assert last.startswith("lldif: ")
    assert "Traceback" not in screen
