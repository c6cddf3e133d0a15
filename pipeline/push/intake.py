"""Intake: what a run receives, from the shared readings or from feeds of its own, as much as its core has room for.

A live run that has caught up reads with the others (`push.dispatch`); one that is behind, or has no room, reads a feed
of its own, and so do bounded readings always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from pipeline.delivery.ackmap import AckMap
from pipeline.delivery.core import Core
from pipeline.errors import PipelineError
from pipeline.filters import Filter
from pipeline.kafka.view import Feed, Gap, LogView
from pipeline.push.dispatch import Dispatcher
from pipeline.push.reading import Place, Reading
from pipeline.record import Position, Record

# Looking for room costs as much as taking a record in: it is done after so many records, or so many bytes more.
LOOK_EVERY = 32
LOOK_BYTES = 262_144


class Intake:
    """The intake of one run. ``on_ready`` is called on the loop when `take` may have something new, or something new
    was given to the core.

    ``on_gap`` is told of offsets (first, and the one after the last) that were gone before they were delivered.
    ``on_broken`` is told of a partition that cannot be read on (position beyond the end, topic gone); it stops being
    read. Without a ``dispatcher`` every feed is its own.
    """

    def __init__(
        self,
        view: LogView,
        reading: Reading,
        core: Core,
        *,
        on_ready: Callable[[], None],
        on_gap: Callable[[Place, int, int], None],
        on_broken: Callable[[Place, PipelineError], None],
        dispatcher: Dispatcher | None = None,
    ) -> None:
        self._view, self._reading, self._core = view, reading, core
        self._on_ready, self._on_gap, self._on_broken = on_ready, on_gap, on_broken
        self._dispatcher = dispatcher if reading.run is None else None
        self._finished: dict[Place, AckMap] = {}
        # A place read alone has a position first, and a feed once there is room for what that gives.
        self._positions: dict[Place, int] = {}
        self._feeds: dict[Place, Feed] = {}
        self._ready: dict[Place, None] = {}
        self._shared: dict[Place, Dispatcher] = {}
        self._given = self._look_bytes = 0

    def open(self, place: Place, offset: int, finished: AckMap) -> None:
        """Read ``place`` from ``offset`` on, unless a bounded reading is through with it. ``finished``: what was
        delivered above ``offset`` before, so that no gap is told of it.
        """
        until = self._reading.until(place)
        if until is not None and offset >= until:
            return
        self._finished[place] = finished
        if self._dispatcher is not None and self._dispatcher.seat(place, self, offset):
            self._shared[place] = self._dispatcher
        else:
            self.alone(place, offset)

    def close(self, place: Place) -> None:
        self._ready.pop(place, None)
        self._positions.pop(place, None)
        shared = self._shared.pop(place, None)
        if shared is not None:
            shared.leave(place, self)
        feed = self._feeds.pop(place, None)
        if feed is not None:
            feed.close()

    def end_of(self, place: Place) -> int | None:
        """The last known end of ``place``, or None when it is not known or not read."""
        shared, feed = self._shared.get(place), self._feeds.get(place)
        if shared is not None:
            return shared.end_of(place)
        return None if feed is None else feed.end()

    @property
    def shared(self) -> int:
        """How many partitions are read with others."""
        return len(self._shared)

    def advance(self, place: Place) -> None:
        """Let the core know how far ``place`` was read where nothing there was for this run."""
        shared = self._shared.get(place)
        read_to = None if shared is None else shared.position(place, self)
        if read_to is not None:
            self._core.receive(place, (), read_to)

    @property
    def is_ready(self) -> bool:
        """Whether `take` may have something."""
        return bool(self._ready)

    def take(self, records_max: int) -> None:
        """Fill the core from the feeds that have something, in turn, while it has room; about ``records_max`` records,
        then ``on_ready`` asks for another turn.
        """
        left = records_max
        while left > 0 and self._ready and self._core.has_room:
            place = next((one for one in self._ready if self._core.has_room_for(one)), None)
            if place is None:
                return
            del self._ready[place]
            left -= self._take_one(place, records_max)
        if left <= 0 and self._ready:
            self._on_ready()

    def _take_one(self, place: Place, records_max: int) -> int:
        """Take one slice of ``place``; how much work that was, in records."""
        feed = self._feeds.get(place)
        if feed is None:
            feed = self._feeds[place] = self._view.feed(*place, self._positions.pop(place), self._readiness(place))
        try:
            piece = feed.take(records_max)
        except PipelineError as error:
            self.close(place)
            self._on_broken(place, error)
            return 1
        if piece is None:
            self._join(place, feed)
            return 0
        self._ready[place] = None
        records, next_offset, until = piece.records, piece.next_offset, self._reading.until(place)
        if piece.gap is not None:
            self.missed(place, piece.gap)
        if until is not None and next_offset >= until:
            records, next_offset = [record for record in records if record.offset < until], until
            self.close(place)
        self._core.receive(place, self._reading.select(records), next_offset)
        return 1 + len(piece.records)

    def _join(self, place: Place, feed: Feed) -> None:
        """Read on with the others, when this feed has come to where they are, or to the end of the log."""
        dispatcher, offset, end = self._dispatcher, feed.position, feed.end()
        if dispatcher is None:
            return
        at_end = end is not None and offset >= end
        if dispatcher.begin(place, self, offset) if at_end else dispatcher.join(place, self, offset):
            self.close(place)
            self._shared[place] = dispatcher

    def _readiness(self, place: Place) -> Callable[[], None]:
        def ready() -> None:
            self._ready[place] = None
            self._on_ready()

        return ready

    # As a member of shared readings.

    @property
    def wanted(self) -> Filter | None:
        return self._reading.filter

    def given(
        self, place: Place, records: Sequence[Record], next_offset: int, unjudged: Mapping[Position, str]
    ) -> None:
        """Who has no room left for more of ``place`` leaves: in all partitions, when it has none for any."""
        if unjudged:
            self._reading.unreadable.update(unjudged)
        core = self._core
        core.receive(place, records, next_offset)
        self._given += len(records)
        if self._given >= LOOK_EVERY or core.held_bytes >= self._look_bytes:
            self._given, self._look_bytes = 0, core.held_bytes + LOOK_BYTES
            if not core.has_room_for(place):
                for left in [place] if core.has_room else list(self._shared):
                    self._leave(left)
        self._on_ready()

    def alone(self, place: Place, offset: int) -> None:
        self._shared.pop(place, None)
        self._positions[place] = offset
        self._readiness(place)()

    def missed(self, place: Place, gap: Gap) -> None:
        for first, end in _undelivered(gap, self._reading.until(place), self._finished[place]):
            self._on_gap(place, first, end)

    def broken(self, place: Place, error: PipelineError) -> None:
        del self._shared[place]
        self._on_broken(place, error)

    def _leave(self, place: Place) -> None:
        # Nobody else tells the core of what was left out so far: the feed begins behind it.
        self.advance(place)
        self.alone(place, self._shared[place].leave(place, self))


def _undelivered(gap: Gap, until: int | None, finished: AckMap) -> Iterator[tuple[int, int]]:
    """The parts of ``gap`` below ``until`` that are not ``finished``."""
    first, end = gap.first, gap.until if until is None else min(gap.until, until)
    for begun, done in finished.above(first).ranges:
        if begun >= end:
            break
        if begun > first:
            yield first, begun
        first = done
    if first < end:
        yield first, end
