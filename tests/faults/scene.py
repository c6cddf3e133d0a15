"""A scene of a fault: three brokers, bridges as processes, a verifying receiver, and a history by each of them.

``FAULT_EVENTS`` and ``FAULT_RATE`` (a second) in the environment make a scene as long as one likes. Histories take
about 600 bytes of disk an event, and the checker about 2 KB of memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from confluent_kafka.cimpl import NewTopic

from pipeline.errors import BrokerUnavailable
from pipeline.receiver import ReceiverSettings
from pipeline.receiver.received import Headers
from pipeline.testing import WebhookReceiver
from pipeline.verify import HistoryWriter, Incident, Line, Verified, check, read_history
from pipeline.webhookid import id_prefix
from tests.e2e.rig import Rig, until
from tests.faults.load import Load

PARTITIONS, KEYS = 6, 100
EVENTS, RATE_PER_S = int(os.environ.get("FAULT_EVENTS", "10000")), int(os.environ.get("FAULT_RATE", "1500"))
IN_FLIGHT, ANSWER_S = 32, 0.004
# At a kill: what is in flight, and what ended since the last commit (every 0.1 s, and a walk) at the greatest pace.
KILL = IN_FLIGHT + int(IN_FLIGHT / ANSWER_S * 0.3)
# Where no commit can be made, at most what comes until the session ends and the worker fences itself (Rig: 6 s).
OUTAGE = KILL + 6 * RATE_PER_S
DONE_S = 60.0 + 3 * EVENTS / RATE_PER_S
# A whole test: its events, what the fault takes, and the checker's own time.
LIMIT_S = 150 + 2 * DONE_S
HEARD_MAX = 1000
RETRY = {"schedule_s": [0.5] * 30}


class Heard(WebhookReceiver):
    """Keeps the ids of what it took, all of them, and little else."""

    def __init__(self, history: HistoryWriter) -> None:
        super().__init__(settings=ReceiverSettings(delay_s=ANSWER_S, history_max=HEARD_MAX), record=history)
        self.ids: set[str] = set()

    def answer(self, method: str, path: str, headers: Headers, body: bytes) -> tuple[int, bytes]:
        status, text = super().answer(method, path, headers, body)
        if 200 <= status < 300:
            self.ids.add(self.history[-1].id)
        return status, text


class Scene:
    """Made by `staged`. ``tell`` an incident, then do it; with the first one most of the load begins to come."""

    def __init__(self, rig: Rig, receiver: Heard, load: Load, history: HistoryWriter) -> None:
        self.rig, self._receiver, self.load, self._history = rig, receiver, load, history

    def tell(self, name: str, duplicates_max: int = 0, *, again_max: int = 0) -> None:
        now = self._history.now()
        self._history.write(Incident(at=now, name=name, duplicates_max=duplicates_max, again_max=again_max))
        self.load.go.set()

    async def under_load(self) -> None:
        """The worker is at work, and most events are still to come."""
        await self.delivered(EVENTS // 10)
        self.load.go.set()
        await self.delivered(EVENTS // 2)

    def fail_for(self, seconds: float) -> None:
        """The endpoint answers 500 to everything from now on for this long."""
        self._receiver.fail_for(seconds)

    async def delivered(self, events: int) -> None:
        async def enough() -> bool:
            return self._receiver.statuses[204] >= events

        await until(enough, DONE_S, f"{events} deliveries; there are {dict(self._receiver.statuses)}")

    @contextlib.contextmanager
    def bridge(self) -> Iterator[subprocess.Popen[bytes]]:
        """A bridge process; drained at the end of the block if it still runs."""
        with self.rig.bridge() as process:
            yield process
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0

    def coordinator(self, group: str) -> int:
        """The broker that keeps ``group``, counted from 0."""
        admin = self.rig.admin
        found: Any = admin.describe_consumer_groups([group])[group].result(20)
        return int(found.coordinator.id) - 1

    async def at_work(self, process: subprocess.Popen[bytes]) -> None:
        """It owns partitions and delivers."""
        name = f'-{process.pid}"'.encode()

        async def wrote() -> bool:
            return name in (self.rig.folder / "worker.jsonl").read_bytes()

        await until(wrote, DONE_S, "an attempt by the new worker")

    async def leave(self, process: subprocess.Popen[bytes]) -> None:
        """SIGTERM, and wait until it has drained."""
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 20) == 0

    async def settled(self) -> None:
        """Everything was appended, delivered and committed."""
        await asyncio.to_thread(self.load.join, DONE_S)
        assert self.load.appended == EVENTS

        async def all_came() -> bool:
            return len(self._receiver.ids) >= EVENTS

        await until(all_came, DONE_S, f"{EVENTS} events delivered")
        await until(self._no_lag, DONE_S, "lag 0")

    async def _no_lag(self) -> bool:
        try:
            async with self.rig.node() as node:
                status = await node.subscriptions.status("hook")
        except BrokerUnavailable:  # leaders are moving: whoever looks has to look again
            return False
        return all(part.lag == 0 for part in status.partitions)

    def lines(self) -> list[Line]:
        files = sorted(self.rig.folder.glob("*.jsonl"))
        return [line for file in files for line in read_history(file)]

    def verified(self) -> Verified:
        return check(self.lines())


@contextlib.asynccontextmanager
async def staged(folder: Path, servers: str, topic: str, brokers_wait: Callable[[], None]) -> AsyncIterator[Scene]:
    """Topic, subscription and receiver stand; events begin to come."""
    brokers_wait()
    rig = Rig(folder, servers, topic[-20:].strip("-"), history_file='"worker.jsonl"')
    admin = rig.admin
    admin.create_topics([NewTopic(topic, PARTITIONS, 3)])[topic].result(20)
    history = HistoryWriter(folder / "producer.jsonl", "producer")
    heard = HistoryWriter(folder / "receiver.jsonl", "receiver")
    async with Heard(heard) as receiver:
        async with rig.node() as node:
            declared = {"topics": [topic], "start": "earliest", "endpoint": {"url": receiver.url}, "retry": RETRY}
            outcome = await node.subscriptions.put("hook", {**declared, "in_flight_max": IN_FLIGHT})
            assert outcome.shown.secret is not None
            receiver.trust(outcome.shown.secret)
            prefix = id_prefix((await node.catalog.get(topic)).topic_id)
        load = Load(servers, topic, prefix, history, events=EVENTS, rate_per_s=RATE_PER_S, keys=KEYS)
        load.start()
        yield Scene(rig, receiver, load, history)
        load.go.set()
        await asyncio.to_thread(load.join, DONE_S)
    history.close()
    heard.close()
