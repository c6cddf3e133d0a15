"""The broker of a simulated world, and the clients a worker has of it: log view, offsets, producer, admin, tables."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pipeline.errors import BrokerUnavailable, PipelineError, PositionBeyondEnd, TopicNotFound
from pipeline.kafka.admin import TopicState
from pipeline.kafka.offsets import Committed
from pipeline.kafka.reading.feed import Gap, Slice
from pipeline.kafka.table import Row
from pipeline.record import Headers, Position, Record
from tests.fakes.log import MemoryLog, MemoryPartition
from tests.fakes.table import FakeTable
from tests.simulation.world import Process, World

Place = tuple[str, int]
FETCH_RECORDS_MAX = 20


class Broker:
    """What outlives every worker. ``on_commit`` and ``on_append`` are told when the broker has done it."""

    def __init__(self, world: World) -> None:
        self.world, self.log = world, MemoryLog()
        self.committed: dict[str, dict[Place, Committed]] = {}
        self.subscriptions, self.runs, self.parked = FakeTable(), FakeTable(), FakeTable()
        self.on_commit: Callable[[str, str, Place, Committed | None, Committed], None] = lambda *_: None
        self.on_append: Callable[[str, Record], None] = lambda *_: None

    def part(self, place: Place) -> MemoryPartition:
        if place[0] not in self.log.topics:
            raise TopicNotFound(place[0])
        return self.log.topics[place[0]].partitions[place[1]]

    def commit(self, who: str, group: str, offsets: Mapping[Place, tuple[int, str | None]]) -> None:
        known = self.committed.setdefault(group, {})
        for place, (offset, metadata) in offsets.items():
            before, known[place] = known.get(place), Committed(offset, metadata)
            self.on_commit(who, group, place, before, known[place])

    def append(self, topic: str, value: bytes | None, key: bytes | None, headers: Headers, partition: int) -> Position:
        if partition >= len(self.log.topics[topic].partitions):
            raise BrokerUnavailable(f"{topic} has no partition {partition}")
        position = self.log.append(topic, value, key=key, headers=headers, partition=partition)
        self.on_append(topic, self.log.topics[topic].partitions[position.partition].records[-1])
        return position


class SimFeed:
    """Fetches a few records at a time; what was fetched stays readable whatever becomes of the log meanwhile."""

    def __init__(self, view: SimView, place: Place, offset: int, on_ready: Callable[[], None]) -> None:
        self._view, self._place, self.position, self._on_ready = view, place, offset, on_ready
        self._fetched: Slice | PipelineError | None = None
        self._fetching = self.closed = False
        self._end: int | None = None

    def take(self, records_max: int) -> Slice | None:
        assert not self.closed, "a closed feed was read"
        found = self._fetched
        if found is None:
            self._fetch()
            return None
        if isinstance(found, PipelineError):
            self._fetched = None
            raise found
        if len(found.records) > records_max:
            given, kept = found.records[:records_max], found.records[records_max:]
            self._fetched = Slice(kept, found.next_offset, None)
            self.position = given[-1].offset + 1
            return Slice(given, self.position, None)
        self._fetched, self.position = None, found.next_offset
        return found

    def end(self) -> int | None:
        return self._end

    def close(self) -> None:
        assert not self.closed, "a feed was closed twice"
        self.closed = True

    def _fetch(self) -> None:
        if not self._fetching:
            self._fetching = True
            world = self._view.process.world
            world.at(world.latency(), self._arrive)

    def _arrive(self) -> None:
        """At the broker: answer, or wait for something to be appended."""
        process, world = self._view.process, self._view.process.world
        if self.closed or not process.alive:
            return
        if process.cut or world.broker_down:
            world.at(0.5, self._arrive)
            return
        part = self._view.broker.part(self._place)
        found = self._read(part)
        if found is None:
            self._end = part.end
            part.watchers.append(self._arrive)
        else:
            world.at(world.latency(), process.tell, self._came_back, found, part.end)

    def _read(self, part: MemoryPartition) -> Slice | PipelineError | None:
        at = self.position
        if at > part.end:
            return PositionBeyondEnd(f"{self._place}: {at} is beyond the end {part.end}")
        if at < part.start:
            return Slice([], part.start, Gap(at, part.start))
        if at == part.end:
            return None
        first = bisect_left(part.records, at, key=lambda record: record.offset)
        records = part.records[first : first + FETCH_RECORDS_MAX]
        more = len(part.records) > first + FETCH_RECORDS_MAX
        return Slice(records, records[-1].offset + 1 if more else part.end, None)

    def _came_back(self, found: Slice | PipelineError, end: int) -> None:
        self._fetching = False
        if not self.closed:
            self._fetched, self._end = found, end
            self._on_ready()


class SimView:
    def __init__(self, process: Process, broker: Broker) -> None:
        self.process, self.broker = process, broker

    def feed(self, topic: str, partition: int, offset: int, on_ready: Callable[[], None]) -> SimFeed:
        return SimFeed(self, (topic, partition), offset, on_ready)

    async def fetch(self, topic: str, partition: int, offset: int) -> Record | None:
        def find() -> Record | None:
            records = self.broker.part((topic, partition)).records
            return next((record for record in records if record.offset == offset), None)

        found: Record | None = await self.process.ask(f"fetch {topic}/{partition}@{offset}", find)
        return found


class SimOffsets:
    def __init__(self, process: Process, broker: Broker) -> None:
        self._process, self._broker = process, broker
        self.on_seen: Callable[[str, str, dict[Place, Committed]], None] = lambda *_: None

    async def read(self, group: str, partitions: Iterable[Place]) -> dict[Place, Committed]:
        places = list(partitions)

        def find() -> dict[Place, Committed]:
            known = self._broker.committed.get(group, {})
            return {place: known[place] for place in places if place in known}

        found: dict[Place, Committed] = await self._process.ask(f"read offsets of {group}", find)
        self.on_seen(self._process.name, group, found)
        return found

    async def commit(self, group: str, offsets: Mapping[Place, tuple[int, str | None]]) -> None:
        wanted = dict(offsets)
        await self._process.ask(f"commit {group}", lambda: self._broker.commit(self._process.name, group, wanted))


class SimProducer:
    def __init__(self, process: Process, broker: Broker) -> None:
        self._process, self._broker = process, broker

    async def append(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Position:
        position: Position = await self._process.ask(
            f"append to {topic}", lambda: self._broker.append(topic, value, key, headers, partition or 0)
        )
        return position

    def append_soon(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        done: object = None,
    ) -> bool:
        """The client sends it again until it is there, unless the process ends first. The audit is taken to arrive."""
        process, world = self._process, self._process.world

        def send() -> None:
            if topic.endswith("-audit"):
                self._broker.append(topic, value, key, headers, partition or 0)
            elif process.cut or world.broker_down or world.chance.random() < world.request_loss:
                world.at(0.5, again)
            else:
                self._broker.append(topic, value, key, headers, partition or 0)

        def again() -> None:
            if process.alive:
                process.in_thread(send)

        world.at(0.001, send)
        return True


class SimAdmin:
    def __init__(self, process: Process, broker: Broker) -> None:
        self._process, self._broker = process, broker

    async def describe(self, names: Iterable[str]) -> dict[str, TopicState]:
        wanted = sorted(names)

        def find() -> dict[str, TopicState]:
            topics = self._broker.log.topics
            return {
                name: TopicState(name, topics[name].topic_id, len(topics[name].partitions))
                for name in wanted
                if name in topics
            }

        found: dict[str, TopicState] = await self._process.ask("describe topics", find)
        return found

    async def create(self, name: str, partitions: int = 1, *_: object, **__: object) -> bool:
        def make() -> bool:
            if name in self._broker.log.topics:
                return False
            self._broker.log.create(name, partitions)
            return True

        made: bool = await self._process.ask(f"create {name}", make)
        return made

    async def add_partitions(self, name: str, total: int) -> None:
        def widen() -> None:
            parts = self._broker.log.topics[name].partitions
            parts.extend(MemoryPartition() for _ in range(total - len(parts)))

        await self._process.ask(f"widen {name}", widen)

    async def offsets(self, partitions: Iterable[Place], at: object) -> dict[Place, int]:
        wanted = list(partitions)

        def find() -> dict[Place, int]:
            return {p: self._broker.part(p).start if at == "earliest" else self._broker.part(p).end for p in wanted}

        found: dict[Place, int] = await self._process.ask("list offsets", find)
        return found


class SimCatalog:
    """Asks each time, and remembers ids as the real one does."""

    def __init__(self, admin: SimAdmin) -> None:
        self._admin = admin
        self._known: dict[str, TopicState] = {}

    async def get(self, topic: str) -> TopicState:
        found = (await self._admin.describe([topic])).get(topic)
        if found is None:
            raise TopicNotFound(topic)
        self._known[topic] = found
        return found

    def id_of(self, topic: str) -> str | None:
        known = self._known.get(topic)
        return known.topic_id if known else None

    def forget(self, topic: str) -> None:
        self._known.pop(topic, None)


class SimTable:
    """One worker's sight of a table: told of changes on its own loop."""

    def __init__(self, process: Process, table: FakeTable) -> None:
        self._process, self._table = process, table

    def get(self, key: str) -> Row | None:
        return self._table.get(key)

    def rows(self) -> Mapping[str, Row]:
        return self._table.rows()

    async def put(self, key: str, value: bytes | None, *, based_on: int | None) -> Row:
        def write() -> Row:
            written: Row = drive(self._table.put(key, value, based_on=based_on))
            return written

        row: Row = await self._process.ask(f"write row {key}", write)
        return row

    def watch(self, callback: Callable[[str, Row | None], None]) -> Callable[[], None]:
        return self._table.watch(lambda key, row: self._process.tell(callback, key, row))


class SimJournal:
    def write(self, topic: str, key: bytes, value: bytes, /) -> None: ...


def drive(coroutine: Any) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise asyncio.InvalidStateError("it waits for something")
