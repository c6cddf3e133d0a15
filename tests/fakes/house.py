"""A whole gateway over fakes in memory: what wiring builds, on a log that a test can look into."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any

from pipeline.delivery.verdict import Fault, Reply
from pipeline.errors import AddressBlocked, HandshakeRefused
from pipeline.gateway import GatewayLimits, GatewayParts, build_app
from pipeline.guard import Guard
from pipeline.publish import Publisher
from pipeline.pull import NamedCursors, Reader, ReaderSettings, Rendering
from pipeline.push.attempt_search import Attempts
from pipeline.push.facts import RecordFacts
from pipeline.record import Position, Record
from pipeline.redrive import DeadLetters, Discards, Edits, ParkedKeys, Redrives, WriteBacks
from pipeline.registry.face import Registry
from pipeline.replay import Replays
from pipeline.runs import Runs
from pipeline.sealing import KeyRing
from pipeline.subscription import StoredSubscription, Subscription
from pipeline.subscriptions import Beside, Ledgers, Probing, Resets, Subscriptions, SubscriptionTables, Trials
from pipeline.topic import Topic
from tests.fakes.admin import FakeAdmin, FakeCatalog, FakeOffsets
from tests.fakes.asgi import Caller
from tests.fakes.log import MemoryLog
from tests.fakes.producer import FakeProducer
from tests.fakes.table import FakeTable
from tests.fakes.view import FakeView

ATTEMPTS, EVENTS = "_pipeline-attempts", "app.pipeline-events"
KEYRING = KeyRing([("k1", bytes(range(32)))])


class Told:
    """Audit or operational events: `of` gives the facts told of a kind, oldest first."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def tell(self, what: str, name: str, /, **facts: object) -> None:
        self.lines.append((what, name, facts))

    def of(self, what: str) -> list[dict[str, object]]:
        return [facts for told, _, facts in self.lines if told == what]


class FakeAdmission:
    """Lets everything in, at the rate it ``allows``, unless it ``refuses`` with a reason."""

    def __init__(self) -> None:
        self.allows: int | None = None
        self.refuses = ""
        self.blocks: AddressBlocked | None = None
        self.asked: list[Subscription] = []

    async def admit(self, spec: Subscription, before: StoredSubscription | None = None) -> int | None:
        self.asked.append(spec)
        if self.blocks is not None:
            raise self.blocks
        if self.refuses:
            raise HandshakeRefused(self.refuses)
        return self.allows


class FakeEndpoint:
    """Stands in for a sender and what it sends to: every attempt ends in ``answer``."""

    def __init__(self) -> None:
        self.answer: Reply | Fault = Reply(204, None, 0.012)
        self.got: list[Record] = []
        self.closed = 0

    def send(
        self,
        record: Record,
        attempt: int,
        done: Callable[[Any, Reply | Fault], None],
        arg: object,
        origin: Position | None = None,
        /,
    ) -> None:
        self.got.append(record)
        asyncio.get_running_loop().call_soon(done, arg, self.answer)

    async def close(self) -> None:
        self.closed += 1


class GatewayHouse:
    """``call`` asks the gateway; the parts are there to look at."""

    def __init__(
        self,
        *,
        limits: GatewayLimits | None = None,
        reader: ReaderSettings | None = None,
        topics: Mapping[str, Topic] | None = None,
        registry: Registry | None = None,
    ) -> None:
        self.log = MemoryLog()
        self.view, self.producer, self.catalog = FakeView(self.log), FakeProducer(self.log), FakeCatalog(self.log)
        self.offsets = FakeOffsets()
        self.admin = FakeAdmin(self.log, self.offsets)
        self.subscription_rows, self.run_rows, self.cursor_rows = FakeTable(), FakeTable(), FakeTable()
        self.parked_rows, self.tally_rows = FakeTable(), FakeTable()
        self.slept: list[Callable[[], Awaitable[None]]] = []
        self.audit, self.happenings, self.admission = Told(), Told(), FakeAdmission()
        self.unready: list[str] = []
        self.unhealthy: list[str] = []
        rendering = Rendering("app", default_type, registry)
        self.reader = Reader(self.view, self.catalog, self.admin, rendering, reader)
        self.runs = Runs(
            self.run_rows,
            self.offsets,
            admin=self.admin,
            namespace="app",
            now_ms=self.now_ms,
            random_hex=_counted_hex(),
            tells=self.happenings,
            notes=self.audit,
            parked=self.parked_rows,
        )
        self.runs.tallies = self.tally_rows
        self.subscriptions = Subscriptions(
            SubscriptionTables(self.subscription_rows, self.cursor_rows),
            self.admin,
            self.offsets,
            keyring=KEYRING,
            guard=Guard(),
            namespace="app",
            random=_counted_bytes(),
            beside=Beside(
                ledgers=Ledgers(self.audit, self.happenings),
                runs=self.runs,
                admission=self.admission,
                log=self.view,
                now_ms=self.now_ms,
                sleep=self._sleep,
            ),
        )
        self.resets = Resets(self.subscriptions, self.admin, self.offsets, bridge_group="app._bridge")
        self.endpoint = FakeEndpoint()
        self.trials = Trials(
            self.subscriptions,
            sender_of=lambda _row, _prefix: self.endpoint,
            namespace="app",
            now_ms=self.now_ms,
            random_hex=_counted_hex(),
        )
        self.cursors = NamedCursors(
            self.cursor_rows,
            self.offsets,
            self.admin,
            self.reader,
            namespace="app",
            taken=lambda name: self.subscription_rows.get(name) is not None,
            now_ms=self.now_ms,
        )
        self.avro: set[str] = set()
        self.letters = DeadLetters(
            self.reader,
            self.runs,
            log=self.view,
            catalogue=self.catalog,
            topics_of=self.topics_of,
            facts_of=facts_of,
            is_avro=self.avro.__contains__,
        )
        self.discards = Discards(self.runs, self.letters)
        self.edits = Edits(self.runs, self.letters, self.producer)
        self.replays = Replays(
            self.runs,
            self.admin,
            self.row_of,
            log=self.view,
            offsets=self.offsets,
            guard=Guard(),
            now_ms=self.now_ms,
            is_avro=self.avro.__contains__,
        )
        self.redrives = Redrives(self.runs, self.letters, self.row_of)
        self.parked_keys = ParkedKeys(self.parked_rows, self.runs, self.letters, self.redrives)
        self.write_backs = WriteBacks(
            self.runs, self.letters, self.row_of, admin=self.admin, offsets=self.offsets, producer=self.producer
        )
        publisher = Publisher(self.producer, self.catalog, topics or {}, registry)
        self.parts = self._parts(publisher, limits or GatewayLimits())
        self.call = Caller(build_app(self.parts))

    def _parts(self, publisher: Publisher, limits: GatewayLimits) -> GatewayParts:
        async def ready() -> list[str]:
            return self.unready

        return GatewayParts(
            namespace="app",
            publisher=publisher,
            reader=self.reader,
            log=self.view,
            catalogue=self.catalog,
            admin=self.admin,
            default_type=default_type,
            cursors=self.cursors,
            subscriptions=self.subscriptions,
            runs=self.runs,
            replays=self.replays,
            redrives=self.redrives,
            dead_letters=self.letters,
            discards=self.discards,
            edits=self.edits,
            parked_keys=self.parked_keys,
            resets=self.resets,
            trials=self.trials,
            attempts=Attempts(self.view, self.admin, ATTEMPTS),
            probing=Probing(self.view, self.admin, EVENTS),
            ready=ready,
            healthy=lambda: self.unhealthy,
            metrics=lambda: b"# HELP pipeline_up 1\n",
            limits=limits,
        )

    async def _sleep(self, _seconds: float) -> None:
        """No time passes; what a test left in ``slept`` happens meanwhile."""
        for happens in list(self.slept):
            await happens()

    def now_ms(self) -> int:
        return self.log.now_ms

    def row_of(self, name: str) -> StoredSubscription:
        return self.subscriptions.get(name)[0]

    def topics_of(self, name: str) -> tuple[str, ...] | None:
        return self.row_of(name).spec.topics if self.subscription_rows.get(name) is not None else None


def facts_of(record: Record) -> RecordFacts:
    return RecordFacts(record, lambda topic: (f"/app/{topic}", default_type(topic)))


def default_type(topic: str) -> str:
    return f"{topic}.record"


def _counted_bytes() -> Callable[[int], bytes]:
    """Bytes that differ from call to call, and are the same in every run."""
    drawn = 0

    def draw(count: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return drawn.to_bytes(2, "big").rjust(count, b"\x5a")

    return draw


def _counted_hex() -> Callable[[], str]:
    numbers = count()
    return lambda: f"{next(numbers):04x}"
