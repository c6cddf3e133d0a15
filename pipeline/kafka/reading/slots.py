"""Slots: which stream reads at which reader, and whether a reader fetches at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pipeline.kafka.reading.orders import TAIL, Flow, Order, Pause, Resume, Start, Stop, ViewSettings
from pipeline.kafka.reading.stream import Stream

# So much lies unread before all backlog streams together while they are few: as with batches, what is read should still
# be in the processor's cache when it is taken. Before one of many it is `NEAR_BYTES_MIN`, a hand-over.
NEAR_BYTES_MAX = 1024 * 1024
NEAR_BYTES_MIN = 65_536


class Slots:
    """Every backlog reader has one slot per partition; the tail reader takes every tail."""

    def __init__(self, settings: ViewSettings, order: Callable[[Order], None], numbers: Iterator[int]) -> None:
        self._settings, self._order, self._numbers = settings, order, numbers
        self._assigned: dict[int, Stream] = {}
        self._hungry: list[dict[Stream, None]] = [{} for _ in range(settings.backlog_readers)]

    def holder(self, assignment: int) -> Stream | None:
        """The stream an assignment was made for, unless it has ended: what is delivered late is for nobody."""
        return self._assigned.get(assignment)

    def start(self, stream: Stream, reader: int) -> None:
        stream.reader, stream.assignment, stream.turn_bytes, stream.paused = reader, next(self._numbers), 0, False
        stream.at_end = False
        self._assigned[stream.assignment] = stream
        self._order(Start(reader, stream.assignment, stream.place, stream.next_offset))
        self.weigh(stream)

    def stop(self, stream: Stream) -> None:
        if stream.reader is None or stream.assignment is None:
            return
        reader = stream.reader
        del self._assigned[stream.assignment]
        self._order(Stop(reader, stream.place))
        stream.reader = stream.assignment = None
        if reader != TAIL and stream in self._hungry[reader]:
            del self._hungry[reader][stream]
            if not self._hungry[reader]:
                self._order(Flow(reader, False))

    def restart(self, reader: int) -> None:
        """The reader has begun afresh and knows of nothing."""
        if reader != TAIL:
            self._hungry[reader].clear()
        for number, stream in list(self._assigned.items()):
            if stream.reader == reader:
                del self._assigned[number]
                self.start(stream, reader)

    @property
    def _share_bytes(self) -> int:
        """So much may lie unread ahead of each stream that all of them fit in half of the view."""
        share = self._settings.view_bytes_max // (4 * max(1, len(self._assigned)))
        return min(self._settings.segment_bytes_max // 4, share)

    @property
    def _enough_bytes(self) -> int:
        """So much unread ahead of a stream is enough for now."""
        return min(self._share_bytes, max(NEAR_BYTES_MAX // max(1, len(self._assigned)), NEAR_BYTES_MIN))

    def weigh(self, stream: Stream) -> bool:
        """Judge anew whether ``stream`` is hungry, and tell its reader what follows from it."""
        ahead, enough = stream.ahead_bytes, self._enough_bytes
        # It falls quiet at ``enough`` and wakes at half of it, so that it does not flap.
        stream.sated = not stream.feeds or ahead >= max(1, enough) or (stream.sated and ahead > enough // 2)
        reader = stream.reader
        if reader is None or reader == TAIL:
            return not stream.sated
        hungry = self._hungry[reader]
        if not stream.sated:
            if stream.paused:
                stream.paused = False
                self._order(Resume(reader, stream.place))
            if not hungry:
                self._order(Flow(reader, True))
            hungry[stream] = None
            return True
        if stream in hungry:
            del hungry[stream]
            if not hungry:
                self._order(Flow(reader, False))
        # A pause throws away what the client has fetched: only for who would fill the memory while others are fed.
        if hungry and not stream.paused and (not stream.feeds or ahead >= 2 * self._share_bytes):
            stream.paused = True
            self._order(Pause(reader, stream.place))
        return False

    def seat(self, streams: Sequence[Stream], wanting: Sequence[Stream]) -> None:
        """Give readers to those of a partition's ``streams`` that are ``wanting`` one, first come first served."""
        holders = {stream.reader: stream for stream in streams if stream.reader is not None}
        for stream in sorted(wanting, key=lambda one: one.queued):
            reader = next((one for one in range(self._settings.backlog_readers) if one not in holders), None)
            if reader is None:
                victim = self._giving_way(list(holders.values()))
                if victim is None or victim.reader is None:
                    return
                reader = victim.reader
                self.stop(victim)
                victim.queued = next(self._numbers)
            self.start(stream, reader)
            holders[reader] = stream

    def _giving_way(self, holders: Sequence[Stream]) -> Stream | None:
        """Who loses its slot to a competitor: one that nobody waits for, else one that has had its turn."""
        for holder in holders:
            if holder.sated:
                return holder
        had_turn = [holder for holder in holders if holder.turn_bytes >= self._settings.turn_bytes_max]
        return max(had_turn, key=lambda one: one.turn_bytes, default=None)
