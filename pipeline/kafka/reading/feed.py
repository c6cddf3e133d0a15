"""Feed: one reader's place in one partition; what it takes comes from whichever segment holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pipeline.record import Record

if TYPE_CHECKING:
    from pipeline.errors import PipelineError
    from pipeline.kafka.reading.segment import Chunk, Segment
    from pipeline.kafka.reading.stream import Stream


class Gap(NamedTuple):
    """Offsets ``first`` to ``until`` (exclusive) were gone before they were read."""

    first: int
    until: int


class Slice(NamedTuple):
    """Records in order, and the offset to go on from.

    ``next_offset`` also passes control records and what compaction took: it may lie beyond the last record, or move
    with no record at all. A slice that reports a gap carries no records.
    """

    records: list[Record]
    next_offset: int
    gap: Gap | None


class Keeper(Protocol):
    """Who finds a feed its segment; every call is made on the loop."""

    def moved(self, feed: Feed) -> bool:
        """Whether ``feed``, which has nothing to read where it is, now has something elsewhere."""

    def took(self, feed: Feed, end_bytes: int) -> None: ...
    def waits(self, feed: Feed) -> None: ...
    def left(self, feed: Feed) -> None: ...
    def end(self) -> int | None: ...


class Feed:
    """Every record from ``position`` on, once and in order. Not for sharing; used on the loop only. Close it.

    ``on_ready`` is called on the loop, once, when `take` has something to say after it returned None. ``position`` is
    the next offset and never goes back.
    """

    __slots__ = ("_chunk", "_index", "_keeper", "error", "on_ready", "position", "stream")

    def __init__(self, keeper: Keeper, offset: int, on_ready: Callable[[], None]) -> None:
        self._keeper = keeper
        self.position, self.on_ready = offset, on_ready
        self.error: PipelineError | None = None
        # ``stream`` is the keeper's: where this feed reads; None when closed or failed.
        self.stream: Stream | None = None
        self._chunk: Chunk | None = None
        self._index = 0

    def take(self, records_max: int) -> Slice | None:
        """Up to ``records_max`` records that are in memory, or None: nothing now. Never waits.

        Raises what stopped the feed for good: `PositionBeyondEnd`, `TopicNotFound`, `CursorEpochChanged`, `LogError`.
        """
        while True:
            if self.error is not None:
                raise self.error
            if self.stream is None:
                return None  # closed
            taken = self._read(self.stream.segment, records_max)
            if taken is not None:
                return taken
            if not self._keeper.moved(self):
                break
        if self.error is not None:
            raise self.error
        self._keeper.waits(self)
        return None

    def _read(self, segment: Segment, records_max: int) -> Slice | None:
        chunk, index = self._chunk, self._index
        if chunk is None or chunk.dead:
            place = segment.locate(self.position)
            if place is None:
                return None
            chunk, index = place
        records: list[Record] = []
        position = self.position
        gap = None
        while True:
            if chunk.gap:
                if position < chunk.next_offset:
                    if records:
                        break
                    gap = Gap(position, chunk.next_offset)
                    position = chunk.next_offset
            else:
                part = chunk.records[index : index + records_max - len(records)]
                index += len(part)
                records = records + part if records else part
                if index < len(chunk.records):
                    position = records[-1].offset + 1 if records else position
                    break
                position = max(position, chunk.next_offset)
            if gap is not None or chunk.following is None or len(records) >= records_max:
                break
            chunk, index = chunk.following, 0
        self._chunk, self._index = chunk, index
        if position == self.position:
            return None
        self.position = position
        self._keeper.took(self, chunk.end_bytes)
        return Slice(records, position, gap)

    def placed(self, stream: Stream | None) -> None:
        """For the keeper: read on in ``stream``, at the same position."""
        self.stream, self._chunk = stream, None

    def end(self) -> int | None:
        """The last known log end (what a read-committed reader can reach), or None when it is not known yet."""
        return self._keeper.end()

    def close(self) -> None:
        """Give the place up; closing twice does no harm."""
        if self.stream is not None:
            self._keeper.left(self)
