"""Runs the console blocks of a page as a reader would, and compares what is printed with what the page shows.

A line that begins with ``$ `` is a command; lines ending in a backslash, an open quote or a here-document go on. The
lines behind it are what must be printed, in this order and perhaps among others; ``…`` stands for anything. `pipeline
dev` and `pipeline receiver` stay, as in terminals of their own; a receiver on a port that has one replaces it (the page
says: stop it). A ``text`` block under ``<!-- printed by: 9001 -->`` is what the receiver there prints, sooner or later.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pipeline.embedded.child import Child, Command

ROOT = Path(__file__).resolve().parents[2]
COMMAND_S = 60.0
PRINTED_S = 60.0
STOP_S = 20.0
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PRINTED_BY = re.compile(r"<!-- printed by: (\d+) -->\s*\Z")
_HERE = re.compile(r"<<'(\w+)'")
_OPTION_PORT = re.compile(r"--port (\d+)")


class Step(NamedTuple):
    """A command and what it must print; or, for ``by``, what the receiver on that port must have printed."""

    command: str
    expected: list[str]
    by: str = ""


def steps(page: str) -> Iterator[Step]:
    """The steps of a page, in order."""
    for fence in _FENCE.finditer(page):
        kind, body = fence.groups()
        by = _PRINTED_BY.search(page[: fence.start()])
        if kind == "text" and by:
            yield Step("", body.splitlines(), by[1])
        elif kind == "console":
            yield from _steps_of(body.splitlines())


def _steps_of(lines: list[str]) -> Iterator[Step]:
    at = 0
    while at < len(lines):
        assert lines[at].startswith("$ "), f"a command was expected, not {lines[at]!r}"
        command = lines[at][2:]
        at += 1
        while at < len(lines) and not _is_whole(command):
            command += "\n" + lines[at]
            at += 1
        expected = []
        while at < len(lines) and not lines[at].startswith("$ "):
            expected.append(lines[at])
            at += 1
        yield Step(command, expected)


def _is_whole(command: str) -> bool:
    if here := _HERE.search(command):
        return command.endswith(f"\n{here[1]}")
    if command.endswith("\\"):
        return False
    try:
        shlex.split(command)
    except ValueError:
        return False
    return True


def missing(expected: list[str], printed: str) -> str | None:
    """The first expected line that was not printed behind those before it; None when all were."""
    lines = iter(" ".join(line.split()) for line in printed.splitlines())
    for wanted in expected:
        pattern = re.compile(r"\s*.*?\s*".join(re.escape(part.strip()) for part in " ".join(wanted.split()).split("…")))
        if not any(pattern.fullmatch(line) for line in lines):
            return wanted
    return None


class Reader:
    """Somebody who types what a page says, in ``home``. ``ports`` maps the page's ports to free ones."""

    def __init__(self, home: Path, ports: Mapping[str, str]) -> None:
        self._home, self._ports = home, ports
        self._folder = home
        self._running: dict[str, tuple[Child, Path]] = {}
        shim = home / "bin" / "pipeline"
        shim.parent.mkdir()
        shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m pipeline "$@"\n')
        shim.chmod(0o755)
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_BOOTSTRAP")}
        self._environment = {**ours, "PATH": f"{shim.parent}:{ours['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "160"}

    def follow(self, page: str) -> None:
        """Do every step. Raises AssertionError naming the first that does not go as the page says."""
        for step in steps(page):
            if step.by:
                self._await_printed(step.by, step.expected)
            elif step.command.startswith(("pipeline dev", "pipeline receiver")):
                self._begin(step)
            else:
                self._run(step)

    def stop(self) -> None:
        for child, _ in reversed(self._running.values()):
            child.stop()

    def _run(self, step: Step) -> None:
        where = f"status=$?; pwd > {shlex.quote(str(self._home))}/folder; exit $status"
        script = f"cd {shlex.quote(str(self._folder))}\n{self._here(step.command)}\n{where}"
        done = subprocess.run(
            ["bash", "-c", script],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        printed = self._there(done.stdout)
        assert done.returncode == 0, f"$ {step.command}\nexit status {done.returncode}\n{printed}"
        lacking = missing(step.expected, printed)
        assert lacking is None, f"$ {step.command}\nprinted\n{printed}\nwhich lacks\n{lacking}"
        self._folder = Path((self._home / "folder").read_text().strip())

    def _begin(self, step: Step) -> None:
        name, default = (
            ("8080", "--port 8080 --kafka-port 9092") if "pipeline dev" in step.command else ("9000", "--port 9000")
        )
        asked = _OPTION_PORT.search(step.command)
        command = step.command if asked else f"{step.command} {default}"
        name = asked[1] if asked else name
        if name in self._running:
            self._running.pop(name)[0].stop()
        output = self._home / f"printed-{name}-{len(list(self._home.iterdir()))}"
        words = ["bash", "-c", f"cd {shlex.quote(str(self._folder))} && exec {self._here(command)}"]
        self._running[name] = (
            Child(Command(words=words, output=output, grace_s=STOP_S, environment=self._environment)),
            output,
        )
        self._await_printed(name, step.expected)

    def _await_printed(self, name: str, expected: list[str]) -> None:
        child, output = self._running[name]
        deadline = time.monotonic() + PRINTED_S
        while missing(expected, printed := self._there(output.read_text())) is not None:
            assert child.status() is None, f"{name} ended: {printed}"
            assert time.monotonic() < deadline, f"{name} printed\n{printed}\nwhich lacks\n{missing(expected, printed)}"
            time.sleep(0.1)

    def _here(self, text: str) -> str:
        """``text`` with the page's ports replaced by ours."""
        return re.sub(r"\b(" + "|".join(self._ports) + r")\b", lambda found: self._ports[found[1]], text)

    def _there(self, text: str) -> str:
        back = {ours: theirs for theirs, ours in self._ports.items()}
        return re.sub(r"\b(" + "|".join(back) + r")\b", lambda found: back[found[1]], text)
