"""A command under the keeper ends when it should, and its status is told. Real processes, each gone in milliseconds."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from pipeline.embedded.child import Child, Command
from pipeline.embedded.places import process_lives

WAITS = "import signal; print('ready', flush=True); signal.pause()"
DEAF = "import signal; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); signal.pause()"


def child(tmp_path: Path, program: str, *, grace_s: float = 10) -> Child:
    output = tmp_path / "output"
    output.touch()
    started = Child(Command(words=[sys.executable, "-c", program], output=output, grace_s=grace_s, niceness=5))
    while "ready" in program and not output.read_bytes():
        assert started.status() is None
    return started


@pytest.mark.parametrize(("program", "status"), [("", 0), ("raise SystemExit(3)", 3)])
def test_its_status_is_the_commands(tmp_path: Path, program: str, status: int) -> None:
    assert child(tmp_path, program).wait() == status


def test_a_signal_is_told_as_the_shell_tells_it(tmp_path: Path) -> None:
    started = child(tmp_path, WAITS)
    os.kill(started.pid, signal.SIGKILL)
    assert started.wait() == 128 + signal.SIGKILL


def test_stop_is_gentle_first(tmp_path: Path) -> None:
    started = child(tmp_path, WAITS)
    started.stop()
    assert started.status() == 128 + signal.SIGTERM
    assert not process_lives(str(started.pid))


def test_stop_insists_after_the_grace(tmp_path: Path) -> None:
    started = child(tmp_path, DEAF, grace_s=0.05)
    started.stop()
    assert started.status() == 128 + signal.SIGKILL


def test_a_command_that_cannot_run_says_so_in_its_output(tmp_path: Path) -> None:
    output = tmp_path / "output"
    assert Child(Command(words=["/nowhere/java"], output=output, grace_s=1)).wait() == 127
    assert "/nowhere/java cannot be run" in output.read_text()
