"""Board: who reads where, who feeds whom. Decides everything of the log view and does nothing itself.

Calls come in from feeds (`moved`, `took`, `waits`, `left`), from the readers (`appended`, `ended`, `refused`,
`doubted`, `broken`, `restart`), from look-ups (`bounds`, `no_bounds`) and from the clock (`tick`). What is to be done
goes out as ``orders``, the feeds that can take something as ``ready``; ``on_news`` is called when either is added to.

The rules:

1. A partition has one tail stream, made where a backlog stream met the end of the log, and any number of backlog
   streams. A position the tail does not hold is read by a backlog stream.
2. A stream whose ``next_offset`` lies in the tail, or in another backlog stream that is further on, is **covered**: it
   gives up its reader, and its feeds go on over there once they are through with it.
3. A reader has at most one stream per partition. Streams beyond that queue; one that is held back, idle or has had its
   turn gives way.
4. A stream is **hungry** while little lies ahead of its foremost feed. A reader with nobody hungry fetches nothing; one
   with somebody hungry pauses those that have far too much.
5. No partition waits for another one's stream, segment, feed or turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from pipeline.errors import PipelineError, PositionBeyondEnd, TopicNotFound
from pipeline.kafka.reading.feed import Feed
from pipeline.kafka.reading.orders import TAIL, Bounds, LookUp, Order, ViewSettings
from pipeline.kafka.reading.part import Part
from pipeline.kafka.reading.segment import Held
from pipeline.kafka.reading.slots import Slots
from pipeline.kafka.reading.stream import Place, Stream
from pipeline.record import Record

END_AGE_S_MAX = 5.0


class Board:
    """Used on the loop only. ``held.bytes`` is what all segments hold now."""

    def __init__(self, settings: ViewSettings, on_news: Callable[[], None]) -> None:
        self.held = Held(settings.view_bytes_max)
        self.orders: list[Order] = []
        self.ready: list[Feed] = []
        self._settings, self._on_news = settings, on_news
        self._numbers = count(1)
        self._slots = Slots(settings, self._order, self._numbers)
        self._parts: dict[Place, Part] = {}
        self._now_s = 0.0

    def _order(self, order: Order) -> None:
        self.orders.append(order)
        self._on_news()

    def _rouse(self, stream: Stream) -> None:
        roused = stream.roused()
        if roused:
            self.ready += roused
            self._on_news()

    # From those who read.

    def open(self, place: Place, offset: int, on_ready: Callable[[], None]) -> Feed:
        part = self._parts.get(place)
        if part is None:
            part = self._parts[place] = Part(place)
        feed = Feed(self, *place, offset, on_ready)
        self._place(part, feed)
        return feed

    def find(self, place: Place, offset: int) -> Record | None:
        """The record at ``offset`` if it is in memory."""
        part = self._parts.get(place)
        if part is None:
            return None
        return next((found for stream in part.streams() if (found := stream.segment.find(offset)) is not None), None)

    def left(self, feed: Feed) -> None:
        assert feed.stream is not None
        part = self._parts[feed.stream.place]
        feed.stream.detach(feed, self._now_s)
        self._settle(part)

    def waits(self, feed: Feed) -> None:
        stream = feed.stream
        if stream is None:
            return
        stream.waiting[feed] = None
        stream.lead_bytes = stream.segment.appended_bytes
        part = self._parts[stream.place]
        if stream is not part.tail:
            self._settle(part)

    def took(self, feed: Feed, end_bytes: int) -> None:
        stream = feed.stream
        assert stream is not None
        if end_bytes <= stream.lead_bytes:
            return
        stream.lead_bytes = end_bytes
        if stream.reader == TAIL:
            return
        if stream.sated and self._slots.weigh(stream) and stream.reader is None:
            self._settle(self._parts[stream.place])

    def moved(self, feed: Feed) -> bool:
        stream = feed.stream
        assert stream is not None
        part, position = self._parts[stream.place], feed.position
        if position < stream.segment.base:  # evicted before it was taken
            stream.detach(feed, self._now_s)
            self._place(part, feed)
        elif (cover := part.cover(stream)) is not None:
            stream.detach(feed, self._now_s)
            cover.attach(feed)
        else:
            return False
        self._settle(part)
        return feed.stream is not None and feed.stream.next_offset > position >= feed.stream.segment.base

    def end(self, feed: Feed) -> int | None:
        part = self._parts.get((feed.topic, feed.partition))
        return None if part is None else part.end

    # From the readers.

    def appended(self, assignment: int, records: Sequence[Record], size_bytes: int) -> None:
        """Records of one partition, ascending; late ones are dropped."""
        stream = self._slots.holder(assignment)
        if stream is None:
            return
        segment = stream.segment
        if records[0].offset < segment.next_offset:
            records = [record for record in records if record.offset >= segment.next_offset]
            if not records:
                return
        segment.append(records, records[-1].offset + 1, size_bytes)
        stream.at_end = False
        stream.turn_bytes += size_bytes
        self._grown(stream)

    def ended(self, assignment: int, offset: int) -> None:
        """Nothing lies between the last record and ``offset``, where the log ends now."""
        stream = self._slots.holder(assignment)
        if stream is None:
            return
        part = self._parts[stream.place]
        stream.segment.advance(offset)
        stream.at_end = True
        part.knows(offset)
        part.end_known_s = self._now_s
        if part.tail is None:
            part.tail = self._stream(part.place, stream.next_offset)
            self._slots.start(part.tail, TAIL)
        self._grown(stream)

    def _grown(self, stream: Stream) -> None:
        part = self._parts[stream.place]
        is_tail = stream is part.tail
        stream.segment.trim(self._settings.segment_bytes_max, None if is_tail else stream.lead_bytes)
        self.held.trim()
        self._rouse(stream)
        if is_tail or part.end is not None:
            part.knows(stream.next_offset)
        if part.backlog:
            self._settle(part)

    def refused(self, assignment: int) -> None:
        """The log does not hold the stream's next offset: the bounds will tell what follows."""
        stream = self._slots.holder(assignment)
        if stream is not None:
            self._halt(stream)

    def doubted(self, assignment: int) -> None:
        """The broker does not know the topic or partition (any more, or not yet)."""
        stream = self._slots.holder(assignment)
        if stream is not None:
            part = self._parts[stream.place]
            part.doubted_since_s = self._now_s if part.doubted_since_s is None else part.doubted_since_s
            self._halt(stream)

    def broken(self, assignment: int, error: PipelineError) -> None:
        """The stream cannot be read on, and going past what it could not read would lose it."""
        stream = self._slots.holder(assignment)
        if stream is not None:
            self._fail(self._parts[stream.place], stream, error)

    def restart(self, reader: int) -> None:
        """The reader has begun afresh and knows of nothing."""
        self._slots.restart(reader)

    # From look-ups and the clock.

    def bounds(self, place: Place, bounds: Bounds) -> None:
        part = self._parts.get(place)
        if part is None:
            return
        part.asked, part.doubted_since_s, part.end_known_s = False, None, self._now_s
        part.knows(bounds.end)
        for stream in [stream for stream in part.streams() if stream.stopped]:
            if stream.next_offset < bounds.low:
                stream.segment.append_gap(bounds.low)
                stream.stopped = False
                self._rouse(stream)
            elif stream.next_offset > bounds.high:
                where = f"{place[0]}/{place[1]}: offset {stream.next_offset} lies beyond the end {bounds.high}"
                self._fail(part, stream, PositionBeyondEnd(where))
            else:
                stream.retry = True
        self._settle(part)

    def no_bounds(self, place: Place, error: PipelineError) -> None:
        """The look-up failed; it is repeated at the next tick while somebody needs it."""
        part = self._parts.get(place)
        if part is None:
            return
        part.asked = False
        if not isinstance(error, TopicNotFound):
            return
        if part.doubted_since_s is None:
            part.doubted_since_s = self._now_s
        if self._now_s - part.doubted_since_s >= self._settings.doubt_s:
            self.forget(place, error)

    def forget(self, place: Place, error: PipelineError) -> None:
        """Drop all of a partition; its feeds raise ``error``."""
        part = self._parts.get(place)
        if part is not None:
            for stream in list(part.streams()):
                self._fail(part, stream, error)
            del self._parts[place]

    def places(self) -> list[Place]:
        return list(self._parts)

    def tick(self, now_s: float) -> None:
        """Call about once a second with the monotonic clock."""
        self._now_s = now_s
        for part in list(self._parts.values()):
            for stream in list(part.streams()):
                self._look_after(part, stream)
            if part.backlog:
                self._settle(part)
            if part.doubted_since_s is not None or (
                part.tail is None and part.backlog and now_s - part.end_known_s >= END_AGE_S_MAX
            ):
                self._ask(part)
            if part.tail is None and not part.backlog:
                del self._parts[part.place]

    def _look_after(self, part: Part, stream: Stream) -> None:
        idle_s_max = self._settings.tail_idle_s if stream is part.tail else self._settings.stream_idle_s
        if not stream.feeds and stream.idle_since_s is None:
            stream.idle_since_s = self._now_s
        if stream.idle_since_s is not None and self._now_s - stream.idle_since_s >= idle_s_max:
            self._close(part, stream)
        elif stream.retry:
            stream.retry = stream.stopped = False
            if stream is part.tail:
                self._slots.start(stream, TAIL)
        elif stream.stopped:
            self._ask(part)

    # Decisions.

    def _place(self, part: Part, feed: Feed) -> None:
        """Let the feed read where its position is in memory, else in a stream of its own."""
        home = part.home(feed.position)
        if home is None:
            home = self._stream(part.place, feed.position)
            part.backlog.append(home)
            if part.end is None:
                self._ask(part)
        home.attach(feed)
        self._settle(part)

    def _settle(self, part: Part) -> None:
        """Hand waiting feeds over to who covers them, and readers to who needs them."""
        wanting = []
        for stream in part.backlog:
            cover = part.cover(stream)
            if cover is not None:
                self._slots.stop(stream)
                for feed in list(stream.waiting):
                    stream.detach(feed, self._now_s)
                    cover.attach(feed)
                    cover.waiting[feed] = None
                self._rouse(cover)
            elif self._slots.weigh(stream) and stream.reader is None and not stream.stopped:
                wanting.append(stream)
        if wanting:
            self._slots.seat(part.backlog, wanting)
        tail = part.tail
        if tail is not None and tail.reader is None and not tail.stopped:
            self._slots.start(tail, TAIL)

    def _stream(self, place: Place, offset: int) -> Stream:
        return Stream(next(self._numbers), place, offset, self.held)

    def _halt(self, stream: Stream) -> None:
        self._slots.stop(stream)
        stream.stopped = True
        self._ask(self._parts[stream.place])

    def _ask(self, part: Part) -> None:
        if not part.asked:
            part.asked = True
            self._order(LookUp(part.place))

    def _fail(self, part: Part, stream: Stream, error: PipelineError) -> None:
        waiting = list(stream.waiting)
        for feed in list(stream.feeds):
            stream.detach(feed, self._now_s)
            feed.error = error
        self.ready += waiting
        self._close(part, stream)
        self._on_news()

    def _close(self, part: Part, stream: Stream) -> None:
        self._slots.stop(stream)
        stream.segment.drop()
        if stream is part.tail:
            part.tail = None
        else:
            part.backlog.remove(stream)
