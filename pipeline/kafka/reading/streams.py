"""Streams: those of one partition, and which of them reads for whom."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.kafka.reading.stream import Stream


class Streams:
    """The tail (None until somebody has met the end of the log) and the backlog streams."""

    def __init__(self) -> None:
        self.tail: Stream | None = None
        self.backlog: list[Stream] = []

    def __iter__(self) -> Iterator[Stream]:
        if self.tail is not None:
            yield self.tail
        yield from self.backlog

    def __bool__(self) -> bool:
        return self.tail is not None or bool(self.backlog)

    def remove(self, stream: Stream) -> None:
        if stream is self.tail:
            self.tail = None
        elif stream in self.backlog:
            self.backlog.remove(stream)

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
        # The tail may be behind a stream that has met the end: it has not heard of the last records yet.
        if tail is not None and (tail.segment.covers(at) or (stream.at_end and tail.segment.base <= at)):
            return tail
        best, rank = None, (at, -stream.number)
        for other in self.backlog:
            if other.segment.base <= at and (other.next_offset, -other.number) > rank:
                best, rank = other, (other.next_offset, -other.number)
        return best
