"""A command under the keeper (see ``keeper.py``): it ends when we say so, and when we are gone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec

# What the keeper itself may need on top of the grace it gives its child.
KEEPER_SLACK_S = 3.0


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What to run; all its output goes to the file ``output``. ``environment`` is added to ours, ``niceness`` too."""

    words: Sequence[str]
    output: Path
    grace_s: float
    environment: Mapping[str, str] = {}
    niceness: int = 0


class Child:
    """One running command. ``lock`` stays locked until the command has ended, even when we crash before."""

    def __init__(self, command: Command, lock: IO[str] | None = None) -> None:
        keeper = str(Path(__file__).with_name("keeper.py"))
        arguments = [str(os.getpid()), str(command.grace_s), str(command.niceness), str(command.output), *command.words]
        self._grace_s = command.grace_s
        self._keeper = subprocess.Popen(  # noqa: S603 - our own interpreter, our own file, no shell
            [sys.executable, "-I", "-S", keeper, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **command.environment},
            # Ctrl-C goes to the terminal's whole process group; the broker must outlast what still drains into it.
            start_new_session=True,
            pass_fds=() if lock is None else (lock.fileno(),),
        )
        assert self._keeper.stdout is not None
        with self._keeper.stdout as answer:
            self.pid = int(answer.readline() or 0)

    def status(self) -> int | None:
        """None while it runs, then its exit status (128 + signal when a signal ended it)."""
        return self._keeper.poll()

    def wait(self) -> int:
        """Its exit status, once it has ended by itself or by ``stop``."""
        status = self._keeper.wait()
        self._let_go()
        return status

    def stop(self) -> None:
        """SIGTERM, the grace, SIGKILL; returns when it is gone."""
        self._keeper.terminate()
        try:
            self._keeper.wait(self._grace_s + KEEPER_SLACK_S)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
        self._let_go()

    def _let_go(self) -> None:
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
