"""Segment: a stretch of one partition in memory, complete from ``base`` to ``next_offset``.

Rules that hold for every segment:

1. Every record that exists between ``base`` and ``next_offset`` is in it, once and in order; offsets in between that
   carry no record (control records, compaction) are passed silently, those that retention took lie in a gap chunk.
2. ``base`` and ``next_offset`` only grow. It grows at the end, and is evicted from the front in whole chunks.
3. An evicted chunk is emptied and unlinked at once, so that a feed still pointing at it keeps no memory alive.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from pipeline.record import Record

# Records that trickle in are packed into chunks up to this size: few chunks make a segment quick to search.
PACKED_BYTES = 65_536
PACKED_RECORDS = 256


class Chunk:
    """Records from ``base`` to ``next_offset``; with ``gap`` set, the news that there are none any more.

    ``end_bytes`` counts all bytes the segment ever got up to the end of this chunk.
    """

    __slots__ = ("base", "dead", "end_bytes", "following", "gap", "next_offset", "records", "size_bytes")

    def __init__(self, base: int, next_offset: int, end_bytes: int, *, gap: bool = False) -> None:
        self.base, self.next_offset, self.end_bytes, self.gap = base, next_offset, end_bytes, gap
        self.records: list[Record] = []
        self.size_bytes = 0
        self.following: Chunk | None = None
        self.dead = False


class Held:
    """The bytes of all segments together, and their chunks by age: the oldest goes first, wherever it lies."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.packed_bytes_max = min(PACKED_BYTES, bytes_max // 8)
        self.bytes = 0
        self._by_age: OrderedDict[Chunk, Segment] = OrderedDict()

    def add(self, chunk: Chunk, segment: Segment) -> None:
        self._by_age[chunk] = segment

    def remove(self, chunk: Chunk) -> None:
        self._by_age.pop(chunk, None)
        self.bytes -= chunk.size_bytes

    def trim(self) -> None:
        """Evict the oldest chunks until ``bytes_max`` holds; the newest stays, or nobody could ever take it."""
        while self.bytes > self.bytes_max and len(self._by_age) > 1:
            chunk, segment = next(iter(self._by_age.items()))
            segment.evict_until(chunk)


class Segment:
    def __init__(self, base: int, held: Held) -> None:
        self._held = held
        self._front = self._last = Chunk(base, base, 0)
        self.bytes = 0
        self.appended_bytes = 0

    @property
    def base(self) -> int:
        return self._front.base

    @property
    def next_offset(self) -> int:
        return self._last.next_offset

    def covers(self, position: int) -> bool:
        """Whether a feed at ``position`` misses nothing by reading on here."""
        return self._front.base <= position <= self._last.next_offset

    def append(self, records: Sequence[Record], next_offset: int, size_bytes: int) -> None:
        """Take over records (ascending, none before ``next_offset``) and what lies before the new ``next_offset``."""
        assert records[0].offset >= self.next_offset, "records come in order and once"
        assert next_offset > records[-1].offset
        self.appended_bytes += size_bytes
        last = self._last
        if (
            last.gap
            or last.size_bytes + size_bytes > self._held.packed_bytes_max
            or len(last.records) + len(records) > PACKED_RECORDS
            or not last.records
        ):
            last = self._link(next_offset)
            self._held.add(last, self)
        last.records.extend(records)
        last.next_offset, last.end_bytes = next_offset, self.appended_bytes
        last.size_bytes += size_bytes
        self.bytes += size_bytes
        self._held.bytes += size_bytes

    def advance(self, next_offset: int) -> None:
        """Nothing lies between here and ``next_offset`` that a reader would get; never goes back."""
        if next_offset > self.next_offset:
            last = self._link(next_offset) if self._last.gap else self._last
            last.next_offset = next_offset

    def append_gap(self, until: int) -> None:
        """The log now starts at ``until``: what lay between is gone."""
        if until > self.next_offset:
            self._link(until).gap = True

    def _link(self, next_offset: int) -> Chunk:
        chunk = Chunk(self.next_offset, next_offset, self.appended_bytes)
        self._last.following = chunk
        if not self._front.size_bytes and self._front is self._last and self._front.base == self._front.next_offset:
            self._drop_front(chunk)  # the empty chunk a segment is born with
        self._last = chunk
        return chunk

    def locate(self, position: int) -> tuple[Chunk, int] | None:
        """Chunk and index where the first record at or after ``position`` is or will be; None when not covered."""
        if not self.covers(position):
            return None
        chunk = self._front
        while chunk.next_offset <= position and chunk.following is not None:
            chunk = chunk.following
        return chunk, _first_from(chunk.records, position)

    def evict_until(self, chunk: Chunk) -> None:
        """Evict from the front up to and including ``chunk``."""
        while not chunk.dead:
            self.evict_front()

    def evict_front(self) -> None:
        front = self._front
        if front is self._last:
            self._last = Chunk(front.next_offset, front.next_offset, self.appended_bytes)
        self._drop_front(front.following or self._last)

    def _drop_front(self, following: Chunk) -> None:
        front, self._front = self._front, following
        self.bytes -= front.size_bytes
        self._held.remove(front)
        front.dead, front.following, front.records = True, None, []

    def trim(self, bytes_max: int, passed_bytes: int | None = None) -> None:
        """Evict from the front until ``bytes_max`` holds; the last chunk stays, and what lies past ``passed_bytes``."""
        while self.bytes > bytes_max and self._front is not self._last:
            if passed_bytes is not None and self._front.end_bytes > passed_bytes:
                return
            self.evict_front()

    def drop(self) -> None:
        """Give all memory back; the segment is not used afterwards."""
        self.evict_until(self._last)

    def find(self, offset: int) -> Record | None:
        """The record at ``offset`` if it is in memory."""
        place = self.locate(offset)
        if place is None:
            return None
        chunk, index = place
        if index < len(chunk.records) and chunk.records[index].offset == offset:
            return chunk.records[index]
        return None


def _first_from(records: list[Record], position: int) -> int:
    low, high = 0, len(records)
    while low < high:
        middle = (low + high) // 2
        if records[middle].offset < position:
            low = middle + 1
        else:
            high = middle
    return low
