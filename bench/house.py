"""A bridge of the product's in a process of its own, with subscriptions made for it: what the benches here run."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.drain import BRIDGE_CORE, ROOT, on_core, stats
from pipeline.embedded.child import Child, Command

SETTINGS = """
namespace = "{namespace}"
[kafka]
bootstrap_servers = "{servers}"
[webhook]
allow_loopback = true
allow_http = true
"""
MAKE_KEY = "from pathlib import Path; from pipeline.wiring import ensure_key_file as e; e(Path('.pipeline/secret.key'))"
# How the bridge's log names a fault of its own.
FAULT = "internal: "
POLL_S = 0.1
STARTED_S = 60.0


class House:
    """One namespace on ``servers`` in a ``directory`` of its own."""

    def __init__(self, directory: Path, servers: str, namespace: str) -> None:
        self.directory, self.servers, self.namespace = directory, servers, namespace
        directory.mkdir()
        (directory / "pipeline.toml").write_text(
            SETTINGS.format(servers=servers, namespace=namespace), encoding="utf-8"
        )
        self.run("-c", MAKE_KEY)

    def run(self, *words: str) -> str:
        """What a command of the product prints."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, *words], cwd=self.directory, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stdout[-1000:]}{done.stderr[-2000:]}")
        return done.stdout

    def subscribe(self, declarations: list[dict[str, Any]]) -> None:
        """Declare and make them all with one command."""
        folder = self.directory / "subscriptions"
        folder.mkdir(exist_ok=True)
        for declared in declarations:
            (folder / f"{declared['name']}.yaml").write_text(json.dumps(declared), encoding="utf-8")
        self.run("-m", "pipeline", "subs", "apply")

    def lag(self, name: str) -> int | None:
        """By Kafka's own tool; None where it lists nothing."""
        group = f"{self.namespace}.{name}"
        told = self.run("-m", "pipeline", "kafka", "consumer-groups", "--describe", "--group", group)
        lags = [line.split()[5] for line in told.splitlines() if line.startswith(group)]
        return sum(int(lag) for lag in lags if lag.isdigit()) if lags else None

    @contextlib.contextmanager
    def bridge(self, core: int = BRIDGE_CORE) -> Iterator[Child]:
        """The bridge, by default on a core of its own, until the block ends. Raises RuntimeError with its last words
        when something fails in the block, and when a run stopped for a fault of ours: figures of that say nothing.
        """
        words = [sys.executable, "-m", "pipeline", "bridge", "--dir", str(self.directory)]
        log = self.directory / "bridge.log"
        with on_core(core):
            child = Child(Command(words=words, output=log, grace_s=30, environment={"PYTHONPATH": str(ROOT)}))
        try:
            yield child
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {log.read_text()[-3000:]}") from None
        finally:
            child.stop()
        if FAULT in (said := log.read_text()):
            raise RuntimeError(f"a run stopped: {said[-3000:]}")


def declared(name: str, topic: str, url: str, **fields: Any) -> dict[str, Any]:
    """A subscription from the topic's start with a schedule short enough for a bench."""
    retry = {"schedule_s": [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]}
    return {"name": name, "topics": [topic], "start": "earliest", "endpoint": {"url": url}, "retry": retry, **fields}


def until(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    """Raises RuntimeError after ``limit_s``."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {limit_s:.0f} s: {what}")
        time.sleep(POLL_S)


def reset(url: str) -> None:
    """The endpoint counts from zero again."""
    stats(url + "?reset")


def events_at(url: str) -> int:
    return int(stats(url)["events"])
