"""Board: decides everything of the log view and does nothing itself.

Calls come in from who reads (`open`, `find`, and the feeds' own), from the readers (`appended`, `ended`, `refused`,
`doubted`, `broken`, `restart`), from look-ups (`bounds`, `no_bounds`) and from the clock (`tick`). What is to be done
goes out as ``orders``, the feeds that can take something as ``ready``; ``on_news`` is called when either is added to.

What concerns one partition is decided in `Part`, who gets which reader in `Slots`. No partition waits for another one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from pipeline.errors import PipelineError
from pipeline.kafka.reading.feed import Feed
from pipeline.kafka.reading.means import Means
from pipeline.kafka.reading.orders import Bounds, Order, ViewSettings
from pipeline.kafka.reading.part import Part
from pipeline.kafka.reading.stream import Place, Stream
from pipeline.record import Record


class Board:
    """Used on the loop only."""

    def __init__(self, settings: ViewSettings, on_news: Callable[[], None]) -> None:
        self.orders: list[Order] = []
        self.ready: list[Feed] = []
        self.numbers = count(1)
        self.parts: dict[Place, Part] = {}
        self._on_news = on_news
        self._means = Means(settings, self.order, self.numbers)

    def order(self, order: Order) -> None:
        self.orders.append(order)
        self._on_news()

    def _rouse(self, feeds: list[Feed]) -> None:
        self.ready += feeds
        self._on_news()

    def open(self, place: Place, offset: int, on_ready: Callable[[], None]) -> Feed:
        part = self.parts.get(place)
        if part is None:
            part = self.parts[place] = Part(place, self._means, self._rouse)
        feed = Feed(part, offset, on_ready)
        part.open(feed)
        return feed

    def find(self, place: Place, offset: int) -> Record | None:
        """The record at ``offset`` if it is in memory."""
        part = self.parts.get(place)
        if part is None:
            return None
        return next((found for stream in part.streams if (found := stream.segment.find(offset)) is not None), None)

    def forget(self, place: Place, error: PipelineError) -> None:
        """Drop all of a partition; its feeds raise ``error``."""
        part = self.parts.pop(place, None)
        if part is not None:
            part.fail_all(error)

    def bytes_held(self) -> tuple[int, int]:
        """By the tails, and by everything else."""
        tails = sum(part.streams.tail.segment.bytes for part in self.parts.values() if part.streams.tail is not None)
        return tails, self._means.held.bytes - tails

    # From the readers. What is delivered for an assignment that has ended is for nobody.

    def _holder(self, assignment: int) -> tuple[Part, Stream] | None:
        stream = self._means.slots.holder(assignment)
        return None if stream is None else (self.parts[stream.place], stream)

    def appended(self, assignment: int, records: Sequence[Record], size_bytes: int) -> None:
        if (found := self._holder(assignment)) is not None:
            found[0].appended(found[1], records, size_bytes)

    def ended(self, assignment: int, offset: int) -> None:
        if (found := self._holder(assignment)) is not None:
            found[0].ended(found[1], offset)

    def refused(self, assignment: int) -> None:
        if (found := self._holder(assignment)) is not None:
            found[0].refused(found[1])

    def doubted(self, assignment: int) -> None:
        if (found := self._holder(assignment)) is not None:
            found[0].doubted(found[1])

    def broken(self, assignment: int, error: PipelineError) -> None:
        if (found := self._holder(assignment)) is not None:
            found[0].fail(found[1], error)

    def restart(self, reader: int) -> None:
        """The reader has begun afresh and knows of nothing."""
        self._means.slots.restart(reader)

    # From look-ups and the clock.

    def bounds(self, place: Place, bounds: Bounds) -> None:
        if (part := self.parts.get(place)) is not None:
            part.bounds(bounds)

    def no_bounds(self, place: Place, error: PipelineError) -> None:
        if (part := self.parts.get(place)) is not None:
            part.no_bounds(error)

    def tick(self, now_s: float) -> None:
        """Call about once a second with the monotonic clock, first before anything else."""
        self._means.now_s = now_s
        for part in list(self.parts.values()):
            part.tick()
            if not part.streams:
                del self.parts[part.place]
