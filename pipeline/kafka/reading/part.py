"""Part: one partition of the log view; finds every feed its stream and every stream its work.

The rules:

1. There is one tail stream, made where a backlog stream met the end of the log, and any number of backlog streams. A
   position the tail does not hold is read by a backlog stream.
2. A stream whose ``next_offset`` lies in the tail, or in another backlog stream that is further on, is **covered**: it
   gives up its reader, and its feeds go on over there once they are through with it.
3. A position the log refuses is not guessed at: the log's bounds say whether there is a gap, or nothing, before it.
4. A topic is gone when look-ups have said so for `doubt_s`. They are made when a reader doubts, and now and then while
   nothing is heard (librdkafka says nothing of a topic that was deleted).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.errors import PipelineError, PositionBeyondEnd, TopicNotFound
from pipeline.kafka.reading.feed import Feed
from pipeline.kafka.reading.means import Means
from pipeline.kafka.reading.orders import TAIL, Bounds, LookUp
from pipeline.kafka.reading.stream import Place, Stream
from pipeline.kafka.reading.streams import Streams
from pipeline.record import Record

SILENCE_S_MAX = 5.0


class Part:
    """``end`` is the last known log end; ``rouse`` is called with the feeds that now have something to take."""

    def __init__(self, place: Place, means: Means, rouse: Callable[[list[Feed]], None]) -> None:
        self.place, self._means, self._rouse_feeds = place, means, rouse
        self.streams = Streams()
        self.log_end: int | None = None
        self._heard_s = means.now_s
        self._asked = False
        self._asked_at: dict[Stream, int] = {}
        self._doubted_since_s: float | None = None

    # From feeds (`Keeper`).

    def open(self, feed: Feed) -> None:
        """Let the feed read where its position is in memory, else in a stream of its own."""
        home = self.streams.home(feed.position)
        if home is None:
            home = self._stream(feed.position)
            self.streams.backlog.append(home)
            if self.log_end is None:
                self._ask()
        home.attach(feed)
        self._settle()

    def left(self, feed: Feed) -> None:
        assert feed.stream is not None
        feed.stream.detach(feed, self._means.now_s)
        self._settle()

    def waits(self, feed: Feed) -> None:
        stream = feed.stream
        assert stream is not None
        stream.waiting[feed] = None
        stream.lead_bytes = stream.segment.appended_bytes
        if stream is not self.streams.tail:
            self._settle()

    def took(self, feed: Feed, end_bytes: int) -> None:
        stream = feed.stream
        assert stream is not None
        if end_bytes > stream.lead_bytes:
            stream.lead_bytes = end_bytes
            if stream.sated and stream is not self.streams.tail:
                self._settle()

    def moved(self, feed: Feed) -> bool:
        stream, position = feed.stream, feed.position
        assert stream is not None
        if position < stream.segment.base:  # evicted before it was taken
            stream.detach(feed, self._means.now_s)
            if not stream.feeds and not stream.segment.bytes and stream is not self.streams.tail:
                self._close(stream)  # nothing in it that would be worth keeping it warm
            self.open(feed)
        elif (cover := self.streams.cover(stream)) is not None:
            stream.detach(feed, self._means.now_s)
            cover.attach(feed)
            self._settle()
        else:
            return False
        home = feed.stream
        return home is not None and home.segment.base <= position < home.next_offset

    def end(self) -> int | None:
        return self.log_end

    # From the readers.

    def appended(self, stream: Stream, records: Sequence[Record], size_bytes: int) -> None:
        """Records of one partition, ascending."""
        if records[0].offset < stream.next_offset:
            records = [record for record in records if record.offset >= stream.next_offset]
            if not records:
                return
        stream.segment.append(records, records[-1].offset + 1, size_bytes)
        stream.turn_bytes += size_bytes
        self._grown(stream)

    def ended(self, stream: Stream, offset: int) -> None:
        """Nothing lies between the last record and ``offset``, where the log ends now."""
        stream.segment.advance(offset)
        stream.at_end = True
        self._knows(offset)
        tail = self.streams.tail
        if tail is None or tail.segment.base > stream.next_offset:
            # The second happens beside an open transaction: positions beyond what is committed meet "the end" at once.
            self.streams.tail = heir = self._stream(stream.next_offset)
            if tail is not None:
                self._pass_on(tail, heir)
                self._close(tail)
            self._means.slots.start(heir, TAIL)
        self._grown(stream)

    def refused(self, stream: Stream) -> None:
        """The log does not hold the stream's next offset: the bounds will tell what follows."""
        self._means.slots.stop(stream)
        stream.stopped = True
        self._ask()

    def doubted(self, stream: Stream) -> None:
        """The broker does not know the topic or partition (any more, or not yet)."""
        self._doubt()
        self.refused(stream)

    def fail(self, stream: Stream, error: PipelineError) -> None:
        """The stream cannot be read on, and going past it would lose something: its feeds raise ``error``."""
        waiting = list(stream.waiting)
        for feed in list(stream.feeds):
            stream.detach(feed, self._means.now_s)
            feed.error = error
        self._close(stream)
        self._rouse_feeds(waiting)

    def fail_all(self, error: PipelineError) -> None:
        for stream in list(self.streams):
            self.fail(stream, error)

    # From look-ups and the clock.

    def bounds(self, bounds: Bounds) -> None:
        self._asked, asked_at, self._doubted_since_s = False, self._asked_at, None
        self._knows(bounds.end)
        for stream in list(self.streams):
            if not stream.stopped:
                if asked_at.get(stream, 0) > bounds.high:
                    self.refused(stream)  # no reader has said so yet: make sure
            elif stream.next_offset < bounds.low:
                stream.segment.append_gap(bounds.low)
                stream.stopped = False
                self._rouse(stream)
            elif stream.next_offset > bounds.high:
                where = f"{self.place[0]}/{self.place[1]}"
                self.fail(stream, PositionBeyondEnd(f"{where}: {stream.next_offset} lies beyond the end {bounds.high}"))
            else:
                stream.retry = True
        self._settle()

    def no_bounds(self, error: PipelineError) -> None:
        """The look-up failed; it is repeated at the next tick while somebody needs it."""
        self._asked = False
        if isinstance(error, TopicNotFound) and self._doubt() >= self._means.settings.doubt_s:
            self.fail_all(error)

    def tick(self) -> None:
        for stream in list(self.streams):
            self._look_after(stream)
        self._settle()
        if self._doubted_since_s is not None or self._means.now_s - self._heard_s >= SILENCE_S_MAX:
            self._ask()

    def _look_after(self, stream: Stream) -> None:
        settings, now_s = self._means.settings, self._means.now_s
        idle_s_max = settings.tail_idle_s if stream is self.streams.tail else settings.stream_idle_s
        if stream.idle_since_s is not None and now_s - stream.idle_since_s >= idle_s_max:
            self._close(stream)
        elif stream.retry:
            stream.retry = stream.stopped = False
        elif stream.stopped:
            self._ask()

    # Decisions.

    def _settle(self) -> None:
        """Hand waiting feeds over to who covers them, and readers to who needs them."""
        slots, tail, wanting = self._means.slots, self.streams.tail, []
        for stream in self.streams.backlog:
            cover = self.streams.cover(stream)
            if cover is not None:
                slots.stop(stream)
                self._pass_on(stream, cover, only_waiting=True)
                self._rouse(cover)
            elif slots.weigh(stream) and stream.reader is None and not stream.stopped:
                wanting.append(stream)
        if wanting:
            slots.seat(self.streams.backlog, wanting)
        if tail is not None and tail.reader is None and not tail.stopped:
            slots.start(tail, TAIL)

    def _pass_on(self, stream: Stream, heir: Stream, *, only_waiting: bool = False) -> None:
        waiting = dict(stream.waiting)
        for feed in list(waiting if only_waiting else stream.feeds):
            stream.detach(feed, self._means.now_s)
            heir.attach(feed)
        heir.waiting.update(waiting)

    def _grown(self, stream: Stream) -> None:
        settings, is_tail = self._means.settings, stream is self.streams.tail
        if is_tail:
            stream.segment.trim(settings.segment_bytes_max)
        else:
            kept_bytes = settings.segment_bytes_max if len(stream.feeds) > 1 else settings.passed_bytes_max
            stream.segment.trim(kept_bytes, stream.lead_bytes)
        self._means.held.trim()
        self._rouse(stream)
        if is_tail:
            self._knows(stream.next_offset)
        elif self.log_end is not None:
            self.log_end = max(self.log_end, stream.next_offset)
        if self.streams.backlog:
            self._settle()

    def _rouse(self, stream: Stream) -> None:
        roused = stream.roused()
        if roused:
            self._rouse_feeds(roused)

    def _knows(self, end: int) -> None:
        """The log reaches ``end`` at least (it never shrinks here: who reads beyond a truncated end is told so)."""
        self._heard_s = self._means.now_s
        if self.log_end is None or end > self.log_end:
            self.log_end = end

    def _doubt(self) -> float:
        """How long the topic has been doubtful, in seconds."""
        if self._doubted_since_s is None:
            self._doubted_since_s = self._means.now_s
        return self._means.now_s - self._doubted_since_s

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._asked_at = {stream: stream.next_offset for stream in self.streams}
            self._means.order(LookUp(self.place))

    def _stream(self, offset: int) -> Stream:
        return Stream(next(self._means.numbers), self.place, offset, self._means.held, self._means.now_s)

    def _close(self, stream: Stream) -> None:
        self._means.slots.stop(stream)
        stream.segment.drop()
        self.streams.remove(stream)
