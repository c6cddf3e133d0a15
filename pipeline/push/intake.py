"""Intake: from the log view's feeds into the core, as much as the core has room for."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.delivery.core import Core
from pipeline.errors import PipelineError
from pipeline.hooks import Hooks
from pipeline.kafka.view import Feed, LogView
from pipeline.push.reading import Place, Reading


class Intake:
    """The feeds of one run. ``on_ready`` is called on the loop when `take` may have something new.

    ``on_broken`` is told of a partition that cannot be read on (position beyond the end, topic gone); it stops being
    read.
    """

    def __init__(
        self,
        view: LogView,
        reading: Reading,
        core: Core,
        hooks: Hooks,
        *,
        on_ready: Callable[[], None],
        on_broken: Callable[[Place, PipelineError], None],
    ) -> None:
        self._view, self._reading, self._core, self._hooks = view, reading, core, hooks
        self._on_ready, self._on_broken = on_ready, on_broken
        self._feeds: dict[Place, Feed] = {}
        self._ready: dict[Place, None] = {}

    def open(self, place: Place, offset: int) -> None:
        """Read ``place`` from ``offset`` on, unless a bounded reading is through with it."""
        until = self._reading.until(place)
        if until is not None and offset >= until:
            return

        def ready() -> None:
            self._ready[place] = None
            self._on_ready()

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
        if piece.gap is not None:
            self._hooks.on_gap(*place, *piece.gap)
        records, next_offset, until = piece.records, piece.next_offset, self._reading.until(place)
        if until is not None and next_offset >= until:
            records, next_offset = [record for record in records if record.offset < until], until
            self.close(place)
        self._core.receive(place, self._reading.select(records), next_offset)
        return place in self._feeds
