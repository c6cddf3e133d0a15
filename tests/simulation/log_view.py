"""The log view of a simulated worker: feeds that fetch, wait and are refused."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from pipeline.errors import PipelineError, PositionBeyondEnd, TopicNotFound
from pipeline.kafka.reading.feed import Gap, Slice
from pipeline.record import Record
from tests.fakes.log import MemoryPartition
from tests.simulation.broker import Broker, Place
from tests.simulation.world import Process

FETCH_RECORDS_MAX = 20
DOUBT_S = 3.0


class SimFeed:
    """Fetches a few records at a time; what was fetched stays readable whatever becomes of the log meanwhile."""

    def __init__(self, view: SimView, place: Place, offset: int, on_ready: Callable[[], None]) -> None:
        self._view, self._place, self.position, self._on_ready = view, place, offset, on_ready
        self._fetched: Slice | PipelineError | None = None
        self._fetching = self.closed = False
        self._end: int | None = None
        self._doubted_at: float | None = None

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
        try:
            part = self._view.broker.part(self._place)
        except TopicNotFound as error:
            self._doubt(error)
            return
        self._doubted_at = None
        found = self._read(part)
        if found is None:
            self._end = part.end
            part.watchers.append(self._arrive)
        else:
            world.at(world.latency(), process.tell, self._came_back, found, part.end)

    def _doubt(self, error: TopicNotFound) -> None:
        """A topic is gone when it has been for a while."""
        process, world = self._view.process, self._view.process.world
        if self._doubted_at is None:
            self._doubted_at = world.now
        if world.now - self._doubted_at < DOUBT_S:
            world.at(0.5, self._arrive)
        else:
            world.at(world.latency(), process.tell, self._came_back, error, self.position)

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
