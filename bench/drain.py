"""Runs a bridge against the sink until it has delivered what it should, and tells what that cost its process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil

from pipeline.embedded.child import Child, Command

ROOT = Path(__file__).resolve().parents[1]
COMPILED = ROOT / "build" / "compiled"
BRIDGE_CORE, OTHER_CORE = 0, 1
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
ANY_CORE = len(CORES)
LIMIT_S = 120.0
POLL_S = 0.1
# What comes too late or twice comes within this.
SETTLE_S = 1.0


class Peer(NamedTuple):
    """A bridge to run: arguments of our interpreter (or of another ``program``), where its output goes, what is added
    to its environment.
    """

    name: str
    words: list[str]
    log: Path
    environment: Mapping[str, str] = {}
    program: str = sys.executable


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One round of one peer. ``lag`` and ``attempts`` (records of attempts) are None where they are not asked."""

    peer: str
    events: int
    cpu_us: float
    per_s: float
    rss_mb: int
    violations: int
    duplicates: int
    unsigned: int
    lag: int | None = None
    attempts: int | None = None


class Spent(NamedTuple):
    """What the process used while the endpoint saw ``events`` more; ``per_s`` is by the endpoint's clock."""

    cpu_s: float
    events: int
    per_s: float
    rss_mb: int


def drained(peer: Peer, url: str, events: int) -> Result:
    """Run it until the endpoint has ``events``. Raises RuntimeError with its last words when it does not get there."""
    environment = {"PYTHONPATH": str(ROOT), **peer.environment}
    with on_core(BRIDGE_CORE):
        command = Command(words=[peer.program, *peer.words], output=peer.log, grace_s=30, environment=environment)
        child = Child(command)
    try:
        spent = _watched(child, url, events)
        time.sleep(SETTLE_S)
    except RuntimeError as error:
        raise RuntimeError(f"{peer.name}: {error}: {peer.log.read_text()[-3000:]}") from None
    finally:
        child.stop()
    last = stats(url)
    return Result(
        peer=peer.name,
        events=int(last["events"]),
        cpu_us=round(spent.cpu_s / max(spent.events, 1) * 1e6, 1),
        per_s=round(spent.per_s),
        rss_mb=spent.rss_mb,
        violations=int(last["violations"]),
        duplicates=int(last["duplicates"]),
        unsigned=int(last["unsigned"]),
    )


def _watched(child: Child, url: str, events: int) -> Spent:
    """CPU counts from the first event seen, so that starting costs nothing here."""
    process = psutil.Process(child.pid)
    began: tuple[float, int] | None = None
    deadline = time.monotonic() + LIMIT_S
    while True:
        time.sleep(POLL_S)
        if time.monotonic() > deadline or child.status() is not None:
            raise RuntimeError(f"delivered {stats(url)['events']:.0f} of {events}")
        seen, cpu = stats(url), cpu_s(process)
        count = int(seen["events"])
        if began is None and count:
            began = (cpu, count)
        if began is not None and count >= events:
            rss_mb = process.memory_info().rss // 2**20
            return Spent(cpu - began[0], count - began[1], count / max(seen["seconds"], 1e-9), rss_mb)


@contextlib.contextmanager
def sink() -> Iterator[str]:
    command = [sys.executable, "-m", "bench.sink"]
    running = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    try:
        yield running.stdout.readline().strip()
    finally:
        running.communicate()


def stats(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - the sink's own http URL
        told: dict[str, float] = json.load(response)
        return told


def times(url: str) -> list[tuple[int, int]]:
    """When each event was made and answered, unix nanoseconds."""
    with urllib.request.urlopen(url + "?times", timeout=10) as response:  # noqa: S310 - the sink's own http URL
        return [(made, answered) for made, answered in json.load(response)]


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started here runs on that core, where the system lets us say so and has it; `ANY_CORE`: on any."""
    if core >= len(CORES):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CORES[core]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
