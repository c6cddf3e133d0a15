"""FakeView: the log view over a `MemoryLog`."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable

from pipeline.errors import PositionBeyondEnd
from pipeline.kafka.reading.feed import Gap, Slice
from pipeline.record import Record
from tests.fakes.log import MemoryLog


class FakeFeed:
    def __init__(self, view: FakeView, place: tuple[str, int], offset: int, on_ready: Callable[[], None]) -> None:
        self.view, self.place, self.position, self.on_ready = view, place, offset, on_ready
        self.closed = self.fetched = False

    def take(self, records_max: int) -> Slice | None:
        assert not self.closed, "a closed feed was read"
        if self.view.slow and not self.fetched:
            self.fetched = True
            asyncio.get_running_loop().call_later(0.001, self._ready)
            return None
        topic, partition = self.place
        part = self.view.log.topics[topic].partitions[partition]
        if self.position > part.end:
            raise PositionBeyondEnd(f"{topic}/{partition}: {self.position} is beyond the end {part.end}")
        if self.position < part.start:
            gap = Gap(self.position, part.start)
            self.position = part.start
            return Slice([], part.start, gap)
        if self.position == part.end:
            part.watchers.append(self._ready)
            return None
        first = bisect_left(part.records, self.position, key=lambda record: record.offset)
        records = part.records[first : first + records_max]
        more = len(part.records) > first + records_max
        self.position = records[-1].offset + 1 if more else part.end
        return Slice(records, self.position, None)

    def _ready(self) -> None:
        if not self.closed:
            self.on_ready()

    def end(self) -> int | None:
        if not self.view.knows_ends:
            return None
        topic, partition = self.place
        return self.view.log.topics[topic].partitions[partition].end

    def close(self) -> None:
        """Stricter than the real one: whoever closes twice has lost track."""
        assert not self.closed, "a feed was closed twice"
        self.closed = True
        self.view.feeds_open -= 1


class FakeView:
    """``feeds_open`` tells of feeds that nobody closed.

    ``knows_ends=False`` is a view that has just begun, ``slow=True`` one whose feeds must fetch before they have
    anything.
    """

    def __init__(self, log: MemoryLog, *, knows_ends: bool = True, slow: bool = False) -> None:
        self.log, self.knows_ends, self.slow = log, knows_ends, slow
        self.feeds_open = 0

    def feed(self, topic: str, partition: int, offset: int, on_ready: Callable[[], None]) -> FakeFeed:
        self.feeds_open += 1
        return FakeFeed(self, (topic, partition), offset, on_ready)

    async def fetch(self, topic: str, partition: int, offset: int) -> Record | None:
        records = self.log.topics[topic].partitions[partition].records
        return next((record for record in records if record.offset == offset), None)
