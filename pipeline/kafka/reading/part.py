"""Part: the streams of one partition, and which of them reads for whom."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.kafka.reading.stream import Place, Stream


class Part:
    """``end`` is the last known log end; ``asked`` says that a look-up is under way."""

    __slots__ = ("asked", "backlog", "doubted_since_s", "end", "end_known_s", "place", "tail")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.tail: Stream | None = None
        self.backlog: list[Stream] = []
        self.end: int | None = None
        self.end_known_s = 0.0
        self.asked = False
        self.doubted_since_s: float | None = None

    def streams(self) -> Iterator[Stream]:
        if self.tail is not None:
            yield self.tail
        yield from self.backlog

    def knows(self, end: int) -> None:
        """The log reaches ``end`` at least (it never shrinks here: who reads beyond a truncated end is told so)."""
        if self.end is None or end > self.end:
            self.end = end

    def home(self, position: int) -> Stream | None:
        """The stream a feed at ``position`` reads on in without missing anything; the tail before any other."""
        if self.tail is not None and self.tail.segment.covers(position):
            return self.tail
        covering = [stream for stream in self.backlog if stream.segment.covers(position)]
        return max(covering, key=lambda stream: stream.next_offset, default=None)

    def cover(self, stream: Stream) -> Stream | None:
        """The stream in which the feeds of ``stream`` go on when they are through with it, or None: it reads on itself.

        Of two backlog streams that have come to the same offset the older one reads on: covering has no circles.
        """
        at, tail = stream.next_offset, self.tail
        if stream is tail:
            return None
        if tail is not None and (tail.segment.covers(at) or (stream.at_end and tail.segment.base <= at)):
            return tail
        rank = (at, -stream.number)
        best = None
        for other in self.backlog:
            if other.segment.base <= at and (other.next_offset, -other.number) > rank:
                best, rank = other, (other.next_offset, -other.number)
        return best
