"""Intake: from the log view's feeds into the core, as much as the core has room for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline.delivery.ackmap import AckMap
from pipeline.delivery.core import Core
from pipeline.errors import PipelineError
from pipeline.kafka.view import Feed, Gap, LogView
from pipeline.push.reading import Place, Reading


class Intake:
    """The feeds of one run. ``on_ready`` is called on the loop when `take` may have something new.

    ``on_gap`` is told of offsets (first, and the one after the last) that were gone before they were delivered.
    ``on_broken`` is told of a partition that cannot be read on (position beyond the end, topic gone); it stops being
    read.
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
    ) -> None:
        self._view, self._reading, self._core = view, reading, core
        self._on_ready, self._on_gap, self._on_broken = on_ready, on_gap, on_broken
        self._feeds: dict[Place, Feed] = {}
        self._finished: dict[Place, AckMap] = {}
        self._ready: dict[Place, None] = {}

    def open(self, place: Place, offset: int, finished: AckMap) -> None:
        """Read ``place`` from ``offset`` on, unless a bounded reading is through with it. ``finished``: what was
        delivered above ``offset`` before, so that no gap is told of it.
        """
        until = self._reading.until(place)
        if until is not None and offset >= until:
            return

        def ready() -> None:
            self._ready[place] = None
            self._on_ready()

        self._finished[place] = finished
        self._feeds[place] = self._view.feed(*place, offset, ready)
        ready()

    def close(self, place: Place) -> None:
        self._ready.pop(place, None)
        feed = self._feeds.pop(place, None)
        if feed is not None:
            feed.close()

    def end_of(self, place: Place) -> int | None:
        """The last known end of ``place``, or None when it is not known or not read."""
        feed = self._feeds.get(place)
        return None if feed is None else feed.end()

    def take(self, records_max: int) -> None:
        """Fill the core from the feeds that have something, in turn, while it has room."""
        while self._ready and self._core.has_room:
            place = next(iter(self._ready))
            del self._ready[place]
            if self._take_one(place, records_max):
                self._ready[place] = None

    def _take_one(self, place: Place, records_max: int) -> bool:
        """Take one slice of ``place``; False when the feed has nothing more now."""
        try:
            piece = self._feeds[place].take(records_max)
        except PipelineError as error:
            self.close(place)
            self._on_broken(place, error)
            return False
        if piece is None:
            return False
        records, next_offset, until = piece.records, piece.next_offset, self._reading.until(place)
        if piece.gap is not None:
            for first, end in _undelivered(piece.gap, until, self._finished[place]):
                self._on_gap(place, first, end)
        if until is not None and next_offset >= until:
            records, next_offset = [record for record in records if record.offset < until], until
            self.close(place)
        self._core.receive(place, self._reading.select(records), next_offset)
        return place in self._feeds


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
