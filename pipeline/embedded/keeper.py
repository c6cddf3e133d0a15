"""Runs one command as a child and never lets it outlive the process that asked for it.

Run as ``python -I -S keeper.py PARENT_PID GRACE_S NICENESS OUTPUT_FILE COMMAND...``; standard library only. It prints
the child's process id and ends with its exit status (128 + signal when one ended it, 127 when it did not start).

Why a process of its own: a crash (kill -9) of the parent runs no handler there. PR_SET_PDEATHSIG on the broker itself
would do on Linux only, is tied to the parent's *thread* that started it (a worker thread that ends would kill a healthy
broker), and cannot wait for a clean stop. The keeper notices in three ways that work on Linux and macOS: its stdin, a
pipe only the parent holds, ends; its parent process id changes (for a parent whose forks hold the pipe open); SIGTERM.
Then it stops the child: SIGTERM, GRACE_S of waiting, SIGKILL. Should the keeper itself be killed on Linux, the kernel
kills the child (here PR_SET_PDEATHSIG fits: the keeper has one thread).
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time

PARENT_CHECK_S = 0.5
PR_SET_PDEATHSIG = 1
NOT_STARTED = 127


def _die_with_keeper() -> None:
    """Between fork and exec: the kernel kills the child when this process dies."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_for_reason(parent: int, woken: int, child: subprocess.Popen[bytes], signals: list[int]) -> bool:
    """True when the child is to be stopped, False when it ended by itself."""
    watched = [woken, 0]
    while True:
        ready, _, _ = select.select(watched, [], [], PARENT_CHECK_S)
        if woken in ready:
            os.read(woken, 64)
        if child.poll() is not None:
            return False
        if signals or os.getppid() != parent or (0 in ready and not os.read(0, 64)):
            return True


def _stop(child: subprocess.Popen[bytes], grace_s: float) -> None:
    child.terminate()
    deadline = time.monotonic() + grace_s
    while child.poll() is None:
        if time.monotonic() > deadline:
            child.kill()
            child.wait()
            return
        time.sleep(0.02)


def main(arguments: list[str]) -> int:
    """Start, wait, stop; the child's exit status."""
    parent, grace_s, niceness, output, *command = arguments
    os.nice(int(niceness))
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signals: list[int] = []
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda got, _frame: signals.append(got))
    with open(output, "wb") as file:  # noqa: PTH123 - pathlib would double this process's start-up time
        try:
            child = subprocess.Popen(  # noqa: S603 - what our own parent asked for, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                preexec_fn=_die_with_keeper if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads here
            )
        except OSError as error:
            file.write(f"{command[0]} cannot be run: {error}\n".encode())
            return NOT_STARTED
    os.write(1, b"%d\n" % child.pid)
    if _wait_for_reason(int(parent), woken, child, signals):
        _stop(child, float(grace_s))
    status = child.wait()
    return 128 - status if status < 0 else status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
