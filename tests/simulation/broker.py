"""The broker of a simulated world: what outlives every worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.errors import BrokerUnavailable, TopicNotFound
from pipeline.kafka.offsets import Committed
from pipeline.record import Headers, Position, Record
from pipeline.webhookid import webhook_id
from tests.fakes.log import MemoryLog, MemoryPartition, MemoryTopic
from tests.fakes.table import FakeTable
from tests.simulation.world import World

Place = tuple[str, int]
TOPIC = "t"


class Broker:
    """What outlives every worker. ``on_commit`` and ``on_append`` are told when the broker has done it, ``on_heard``
    when whoever waits for an append was answered.
    """

    def __init__(self, world: World) -> None:
        self.world, self.log = world, MemoryLog()
        self.committed: dict[str, dict[Place, Committed]] = {}
        self.subscriptions, self.runs, self.parked = FakeTable(), FakeTable(), FakeTable()
        self.on_commit: Callable[[str, str, Place, Committed | None, Committed], None] = lambda *_: None
        self.on_append: Callable[[str, Record], None] = lambda *_: None
        self.on_heard: Callable[[Record], None] = lambda _: None
        # Every event as it was published, by its value (no two have the same), and the id it has everywhere.
        self.published: dict[bytes | None, tuple[Record, str]] = {}

    def topic(self, name: str) -> MemoryTopic:
        """Raises `TopicNotFound`."""
        if name not in self.log.topics:
            raise TopicNotFound(name)
        return self.log.topics[name]

    def part(self, place: Place) -> MemoryPartition:
        """Raises `TopicNotFound`."""
        parts = self.topic(place[0]).partitions
        if place[1] >= len(parts):
            raise TopicNotFound(f"{place[0]}/{place[1]}")
        return parts[place[1]]

    def delete_topic(self, name: str) -> None:
        """With it go the offsets that groups have committed for it, as Kafka's coordinators see to."""
        topic = self.log.topics.pop(name)
        for known in self.committed.values():
            for place in [place for place in known if place[0] == name]:
                del known[place]
        for part in topic.partitions:
            part.wake()

    def truncate(self, place: Place, to: int) -> None:
        """A replica that lacked what lay from ``to`` on leads now: those offsets are given out once more."""
        part = self.part(place)
        part.records = [record for record in part.records if record.offset < to]
        part.end = to
        part.wake()

    def commit(self, who: str, group: str, offsets: Mapping[Place, tuple[int, str | None]]) -> None:
        known = self.committed.setdefault(group, {})
        for place in offsets:
            self.part(place)
        for place, (offset, metadata) in offsets.items():
            before, known[place] = known.get(place), Committed(offset, metadata)
            self.on_commit(who, group, place, before, known[place])

    def append(self, topic: str, value: bytes | None, key: bytes | None, headers: Headers, partition: int) -> Position:
        if partition >= len(self.topic(topic).partitions):
            raise BrokerUnavailable(f"{topic} has no partition {partition}")
        position = self.log.append(topic, value, key=key, headers=headers, partition=partition)
        record = self.log.topics[topic].partitions[position.partition].records[-1]
        if topic == TOPIC:
            self.published[value] = record, webhook_id(self.log.topics[topic].topic_id, partition, position.offset)
        self.on_append(topic, record)
        return position


def drive(coroutine: Any) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise asyncio.InvalidStateError("it waits for something")
