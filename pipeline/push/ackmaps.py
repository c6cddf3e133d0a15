"""Spills of pointers: one record per group and partition of a compacted topic, the last one kept."""

from __future__ import annotations

from typing import Protocol

from pipeline.errors import TopicNotFound
from pipeline.record import Position, Record

TABLE = "ackmaps"
ACKMAPS_CONFIG = {
    "cleanup.policy": "compact",
    # The record that a commit names may not go before the next commit names another.
    "min.compaction.lag.ms": "3600000",
}
Place = tuple[str, int]


class Appends(Protocol):
    async def append(
        self, topic: str, *, key: bytes | None, value: bytes | None, partition: int | None
    ) -> Position: ...

    def append_soon(self, topic: str, *, key: bytes | None, value: bytes | None, partition: int | None) -> bool: ...


class Fetches(Protocol):
    async def fetch(self, topic: str, partition: int, offset: int, /) -> Record | None: ...


class AckMaps:
    """Spills in ``topic``, which has one partition."""

    def __init__(self, producer: Appends, log: Fetches, topic: str) -> None:
        self._producer, self._log, self._topic = producer, log, topic

    async def write(self, group: str, place: Place, spill: bytes) -> int:
        """Append it, acknowledged by all in-sync replicas; its offset. Raises `LogError`."""
        position = await self._producer.append(self._topic, key=_key(group, place), value=spill, partition=0)
        return position.offset

    async def read(self, group: str, place: Place, offset: int) -> bytes | None:
        """The spill at ``offset``; None when it is gone, or another's. Raises `LogError`."""
        try:
            record = await self._log.fetch(self._topic, 0, offset)
        except TopicNotFound:
            return None
        return record.value if record is not None and record.key == _key(group, place) else None

    def drop(self, group: str, place: Place) -> None:
        """No commit names one any more."""
        self._producer.append_soon(self._topic, key=_key(group, place), value=None, partition=0)


def _key(group: str, place: Place) -> bytes:
    return f"{group}/{place[0]}/{place[1]}".encode()
