"""Parts of a bridge worker in memory: what runs and their keepers stand on, with nothing that waits for a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

from pipeline.delivery.verdict import Fault, Reply
from pipeline.guard import Guard
from pipeline.hooks import Hooks
from pipeline.kafka.client import KafkaSettings
from pipeline.push.owner import Owner
from pipeline.push.parts import BridgeSettings, WorkerParts
from pipeline.push.reading import Reading
from pipeline.push.run import Run
from pipeline.record import Position, Record
from pipeline.sealing import KeyRing
from pipeline.subscription import StoredRun, StoredSubscription, subscription_from
from tests.fakes.admin import FakeAdmin, FakeCatalog, FakeOffsets
from tests.fakes.log import MemoryLog
from tests.fakes.producer import FakeProducer
from tests.fakes.table import FakeTable
from tests.fakes.view import FakeView

AUDIT, ATTEMPTS = "_pipeline-audit", "_pipeline-attempts"
OK = Reply(204, None, 0.01)


def row_of(name: str = "hook", **declared: Any) -> StoredSubscription:
    """An active subscription to topic ``t``."""
    spec = {"name": name, "topics": ["t"], "endpoint": {"url": "https://receiver.example/hook"}, **declared}
    return StoredSubscription(spec=subscription_from(spec))


def reading_of(row: StoredSubscription | None = None, run: StoredRun | None = None) -> Reading:
    return Reading("app", row or row_of(), run, lambda topic: (f"/app/{topic}", f"{topic}.record"))


class NotingHooks(Hooks):
    """``told`` lists every moment as (name, arguments)."""

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[Any, ...]]] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("on_"):
            return lambda *arguments: self.told.append((name, arguments))
        return super().__getattribute__(name)

    def of(self, name: str) -> list[tuple[Any, ...]]:
        return [arguments for told, arguments in self.told if told == name]


class FakeSender:
    """``sent`` lists (record, attempt); `answer` says what came of the oldest attempt that is open."""

    def __init__(self) -> None:
        self.sent: list[tuple[Record, int]] = []
        self.open: list[tuple[Callable[[Any, Reply | Fault], None], Any]] = []
        self.aborted = 0
        self.closed = False

    def send(
        self,
        record: Record,
        attempt: int,
        done: Callable[[Any, Reply | Fault], None],
        arg: Any,
        origin: Position | None = None,
    ) -> None:
        self.sent.append((record, attempt))
        self.open.append((done, arg))

    def answer(self, outcome: Reply | Fault = OK) -> None:
        done, arg = self.open.pop(0)
        done(arg, outcome)

    def abort(self, arg: object) -> None:
        self.aborted += 1
        self.open = [one for one in self.open if one[1] is not arg]

    async def close(self) -> None:
        self.closed = True


class Told:
    """Happenings that were told: (what, subscription, facts)."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str, dict[str, object]]] = []

    def tell(self, what: str, name: str, /, **facts: object) -> None:
        self.all.append((what, name, facts))

    def whats(self) -> list[str]:
        return [what for what, _, _ in self.all]


class FakeJournal:
    """``lines`` lists (topic, key, line) of every line of the records written."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, bytes, dict[str, Any]]] = []

    def write(self, topic: str, key: bytes, value: bytes) -> None:
        self.lines.extend((topic, key, json.loads(line)) for line in value.split(b"\n"))


class ForgettingCatalog(FakeCatalog):
    """Remembers nothing, so there is nothing to forget."""

    def forget(self, topic: str) -> None: ...


class FakeBridge:
    """A log with topic ``t`` (two partitions) and its dead-letter topic, and the parts of a worker over it."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.log.create("t", 2)
        self.log.create("app.hook.dlq", 2)
        self.log.create(AUDIT)
        self.view, self.producer, self.journal = FakeView(self.log), FakeProducer(self.log), FakeJournal()
        self.offsets, self.hooks, self.sender = FakeOffsets(), NotingHooks(), FakeSender()
        self.admin = FakeAdmin(self.log, self.offsets)
        self.catalog = ForgettingCatalog(self.log)
        self.parked = FakeTable()
        self.told = Told()
        self.may_act = True
        self.stopped: list[tuple[str, str]] = []
        self.settings = BridgeSettings(instance="w1")

    @property
    def parts(self) -> WorkerParts:
        fakes: dict[str, Any] = {
            "view": self.view,
            "offsets": self.offsets,
            "catalog": self.catalog,
            "admin": self.admin,
            "producer": self.producer,
            "journal": self.journal,
            "subscriptions": FakeTable(),
            "runs": FakeTable(),
            "parked": self.parked,
        }
        return WorkerParts(
            kafka=KafkaSettings(),
            keyring=KeyRing([("k1", bytes(32))]),
            guard=Guard(),
            hooks=self.hooks,
            defaults=lambda topic: (f"/app/{topic}", f"{topic}.record"),
            happenings=self.told,
            **fakes,
        )

    def run(self, reading: Reading | None = None, on_changed: Callable[[], None] = lambda: None) -> Run:
        """A run on the running loop."""
        return Run(
            reading or reading_of(),
            cast("Any", self.sender),
            self.parts,
            self.settings,
            Owner(
                may_act=lambda _: self.may_act,
                id_prefix=lambda topic: f"evt_{topic}_",
                on_stop=lambda state, reason: self.stopped.append((state, reason)),
                on_changed=on_changed,
            ),
        )

    def append(self, *bodies: bytes, key: bytes | None = b"k", partition: int = 0, **headers: bytes) -> None:
        for body in bodies:
            self.log.append("t", body, key=key, partition=partition, headers=tuple(headers.items()))

    def audited(self) -> list[dict[str, Any]]:
        """Every line of the audit topic, without when."""
        lines = [json.loads(record.value or b"") for record in self.log.topics[AUDIT].partitions[0].records]
        return [{name: fact for name, fact in line.items() if name != "at"} for line in lines]


async def eventually(holds: Callable[[], bool], what: str = "it") -> None:
    """Let the loop turn until ``holds``; for what takes a few turns or a retry of some milliseconds."""
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError(f"{what} did not come about")
