"""A Kafka in memory, small and strict: partitions with gaps, log starts and ids; the fakes beside it stand on it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.record import Headers, Position, Record


@dataclass
class MemoryPartition:
    records: list[Record] = field(default_factory=list)
    start: int = 0
    end: int = 0
    watchers: list[Callable[[], None]] = field(default_factory=list)

    def wake(self) -> None:
        watchers, self.watchers = self.watchers, []
        for watcher in watchers:
            watcher()


@dataclass
class MemoryTopic:
    topic_id: str
    partitions: list[MemoryPartition]
    config: dict[str, str] = field(default_factory=dict)


@dataclass
class MemoryLog:
    """``now_ms`` is the log's own clock: it stands still until a test moves it."""

    topics: dict[str, MemoryTopic] = field(default_factory=dict)
    now_ms: int = 1_795_219_200_000
    topics_made: int = 0
    turn: int = 0

    def create(self, name: str, partitions: int = 1, config: dict[str, str] | None = None) -> None:
        self.topics_made += 1
        raw = b"%016d" % self.topics_made
        # Spread the number over the front: cursors carry only the first bytes of an id.
        topic_id = base64.urlsafe_b64encode(raw[::-1]).rstrip(b"=").decode()
        self.topics[name] = MemoryTopic(topic_id, [MemoryPartition() for _ in range(partitions)], config or {})

    def delete(self, name: str) -> None:
        del self.topics[name]

    def append(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Position:
        parts = self.topics[topic].partitions
        if partition is None:
            if key is None:
                self.turn += 1
                partition = self.turn % len(parts)
            else:
                partition = sum(key) % len(parts)
        part = parts[partition]
        position = Position(topic, partition, part.end)
        part.records.append(Record(topic, partition, part.end, self.now_ms, key, value, headers))
        part.end += 1
        part.wake()
        return position

    def skip(self, topic: str, partition: int, count: int = 1) -> None:
        """Offsets without records, as transaction markers are."""
        self.topics[topic].partitions[partition].end += count
        self.topics[topic].partitions[partition].wake()

    def trim(self, topic: str, partition: int, start: int) -> None:
        """Retention: everything below ``start`` is gone."""
        part = self.topics[topic].partitions[partition]
        part.start = start
        part.records = [record for record in part.records if record.offset >= start]
