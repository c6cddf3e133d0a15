"""The other clients a simulated worker has of its broker: offsets, producer, admin, catalog, tables, journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pipeline.errors import TopicNotFound
from pipeline.kafka.admin import TopicState
from pipeline.kafka.offsets import Committed
from pipeline.kafka.table import Row
from pipeline.record import Headers, Position, Record
from tests.fakes.log import MemoryPartition
from tests.fakes.table import FakeTable
from tests.simulation.broker import Broker, Place, drive
from tests.simulation.world import Process


class SimOffsets:
    """Committed offsets. One moment is left out here: a pointer names no topic id, so one that was read back before its
    topic was deleted, and is committed when that has been made again, would be believed there.
    """

    def __init__(self, process: Process, broker: Broker) -> None:
        self._process, self._broker = process, broker
        self.on_seen: Callable[[str, str, dict[Place, Committed]], None] = lambda *_: None
        # The ids that topics had when a group's pointers were read, until that group commits: each commit reads anew.
        self._read_of: dict[str, dict[str, str]] = {}

    async def read(self, group: str, partitions: Iterable[Place]) -> dict[Place, Committed]:
        places = list(partitions)

        def find() -> tuple[dict[Place, Committed], dict[str, str]]:
            known = self._broker.committed.get(group, {})
            return {place: known[place] for place in places if place in known}, self._topic_ids()

        found: dict[Place, Committed]
        found, self._read_of[group] = await self._process.ask(f"read offsets of {group}", find)
        self.on_seen(self._process.name, group, found)
        return found

    async def commit(self, group: str, offsets: Mapping[Place, tuple[int, str | None]]) -> None:
        wanted = dict(offsets)
        ids = self._read_of.pop(group, None) or self._topic_ids()

        def commit() -> None:
            for topic in {topic for topic, _ in wanted}:
                if self._broker.topic(topic).topic_id != ids.get(topic):
                    raise TopicNotFound(topic)
            self._broker.commit(self._process.name, group, wanted)

        await self._process.ask(f"commit {group}", commit)

    def _topic_ids(self) -> dict[str, str]:
        return {name: topic.topic_id for name, topic in self._broker.log.topics.items()}


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
        self._broker.on_heard(Record(*position, 0, key, value, headers))
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

    async def delete_group(self, name: str) -> None:
        await self._process.ask(f"delete {name}", lambda: self._broker.committed.pop(name, None))

    async def offsets(self, partitions: Iterable[Place], at: object) -> dict[Place, int]:
        wanted = list(partitions)

        def find() -> dict[Place, int]:
            return {p: self._broker.part(p).start if at == "earliest" else self._broker.part(p).end for p in wanted}

        found: dict[Place, int] = await self._process.ask("list offsets", find)
        return found


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
