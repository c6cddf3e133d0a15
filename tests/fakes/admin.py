"""FakeAdmin, FakeCatalog and FakeOffsets: what an administrator sees of a `MemoryLog`, and consumer groups beside
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pipeline.errors import BrokerUnavailable, GroupActive, TopicNotFound
from pipeline.kafka.admin import TopicState
from pipeline.kafka.offsets import Committed
from tests.fakes.log import MemoryLog, MemoryPartition


class FakeAdmin:
    """``calls`` names every request made, so that a test can hold a caller to its budget."""

    def __init__(self, log: MemoryLog, groups: FakeOffsets | None = None) -> None:
        self.log, self.group_offsets = log, groups or FakeOffsets()
        self.calls: list[str] = []
        self.down = False

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.down:
            raise BrokerUnavailable("no broker answers at 127.0.0.1:9092")

    async def topics(self) -> list[str]:
        self._call("topics")
        return sorted(self.log.topics)

    async def describe(self, names: list[str]) -> dict[str, TopicState]:
        self._call("describe")
        known = {name: self.log.topics[name] for name in names if name in self.log.topics}
        return {name: TopicState(name, topic.topic_id, len(topic.partitions)) for name, topic in known.items()}

    async def topic_config(self, name: str) -> dict[str, str]:
        self._call("topic_config")
        return {"cleanup.policy": "delete", "retention.ms": "604800000", **self.log.topics[name].config}

    async def create(
        self,
        name: str,
        partitions: int = 1,
        config: Mapping[str, str] | None = None,
        replication: int | None = None,
    ) -> bool:
        self._call("create")
        if name in self.log.topics:
            return False
        self.log.create(name, partitions, dict(config or {}))
        return True

    async def add_partitions(self, name: str, total: int) -> None:
        self._call("add_partitions")
        parts = self.log.topics[name].partitions
        parts.extend(MemoryPartition() for _ in range(total - len(parts)))

    async def offsets(
        self, partitions: list[tuple[str, int]], at: Literal["earliest", "latest"] | int
    ) -> dict[tuple[str, int], int]:
        self._call("offsets")
        for name, _ in partitions:
            if name not in self.log.topics:
                raise TopicNotFound(name)
        return {
            (name, number): self._offset(self.log.topics[name].partitions[number], at) for name, number in partitions
        }

    @staticmethod
    def _offset(part: MemoryPartition, at: str | int) -> int:
        if at == "earliest":
            return part.start
        if at == "latest":
            return part.end
        return next((record.offset for record in part.records if record.timestamp_ms >= int(at)), part.end)

    async def groups(self) -> list[str]:
        self._call("groups")
        return sorted(self.group_offsets.committed)

    async def group_state(self, name: str) -> str:
        self._call("group_state")
        if name in self.group_offsets.active:
            return "Stable"
        return "Empty" if name in self.group_offsets.committed else "Dead"

    async def delete_group(self, name: str) -> None:
        self._call("delete_group")
        self.group_offsets.committed.pop(name, None)


class FakeCatalog:
    def __init__(self, log: MemoryLog) -> None:
        self.log = log

    async def get(self, topic: str) -> TopicState:
        if topic not in self.log.topics:
            raise TopicNotFound(topic)
        found = self.log.topics[topic]
        return TopicState(topic, found.topic_id, len(found.partitions))

    def id_of(self, topic: str) -> str | None:
        found = self.log.topics.get(topic)
        return found.topic_id if found else None

    def forget(self, topic: str) -> None:
        """It remembers nothing."""


class FakeOffsets:
    """Consumer groups without members; ``active`` names those that a native client holds. ``fail`` is raised by all."""

    def __init__(self) -> None:
        self.committed: dict[str, dict[tuple[str, int], Committed]] = {}
        self.active: set[str] = set()
        self.commits: list[tuple[str, dict[tuple[str, int], int]]] = []
        self.fail: Exception | None = None

    async def read(self, group: str, partitions: list[tuple[str, int]]) -> dict[tuple[str, int], Committed]:
        if self.fail is not None:
            raise self.fail
        known = self.committed.get(group, {})
        return {place: known[place] for place in partitions if place in known}

    async def commit(self, group: str, offsets: Mapping[tuple[str, int], tuple[int, str | None]]) -> None:
        if self.fail is not None:
            raise self.fail
        if group in self.active:
            raise GroupActive(f"group {group} has active members")
        self.commits.append((group, {place: offset for place, (offset, _) in offsets.items()}))
        self.committed.setdefault(group, {}).update(
            {place: Committed(offset, metadata) for place, (offset, metadata) in offsets.items()}
        )
