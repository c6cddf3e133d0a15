"""Position and Record: bytes on the log and where they lie."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

Headers = tuple[tuple[str, bytes | None], ...]


class Position(NamedTuple):
    """One place on the log; ``offset`` is the record's own, not the next one."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as it lies on the log; every byte is kept as it came.

    ``value is None`` is a tombstone, ``b""`` an empty value. ``timestamp_ms`` is Kafka's
    (create or append time, as the topic is configured) and says nothing about order.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def position(self) -> Position:
        return Position(self.topic, self.partition, self.offset)

    @property
    def size_bytes(self) -> int:
        """Payload bytes held in memory for it: key and value (headers are not counted)."""
        return len(self.key or b"") + len(self.value or b"")

    def header(self, name: str) -> bytes | None:
        """The last header called ``name`` (Kafka allows several; the last one counts), or None."""
        for key, value in reversed(self.headers):
            if key == name:
                return value
        return None
