"""The board against a model: whatever happens, every feed gets what is on the log, once and in order."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from pipeline.errors import PositionBeyondEnd
from pipeline.kafka.reading.feed import Feed, Slice
from pipeline.kafka.reading.orders import TAIL, ViewSettings
from pipeline.kafka.reading.stream import Place
from tests.fakes.readers import RECORD_BYTES, FakeLog, FakeReaders

PLACES: list[Place] = [("orders", 0), ("orders", 1)]
LIMITS = ViewSettings(
    segment_bytes_max=10 * RECORD_BYTES,
    view_bytes_max=30 * RECORD_BYTES,
    backlog_readers=2,
    passed_bytes_max=2 * RECORD_BYTES,
    turn_bytes_max=6 * RECORD_BYTES,
    stream_idle_s=2.0,
    tail_idle_s=5.0,
)


class Watched:
    """A feed and what may be said of it."""

    def __init__(self, readers: FakeReaders, place: Place, offset: int) -> None:
        self.place, self.log = place, readers.logs[place]
        self.high_at_opening = self.log.high
        self.waiting = self.eager = False
        self.feed: Feed = readers.open(place, offset, self._ready)
        self.lost = False

    @property
    def through(self) -> bool:
        """Whether it has come to the end of the log, or was told that it is beyond."""
        return self.lost or self.log.end <= self.feed.position <= self.log.high

    def _ready(self) -> None:
        assert self.waiting, "on_ready only after take returned None, and once"
        self.waiting = False
        if self.eager:
            while self.take(3):
                pass

    def take(self, records_max: int) -> bool:
        """Take once and check it; False when there was nothing (or never will be)."""
        if self.lost:
            return False
        before = self.feed.position
        try:
            taken = self.feed.take(records_max)
        except PositionBeyondEnd:
            assert before > self.high_at_opening
            self.lost = True
            return False
        self.waiting = taken is None
        if taken is not None:
            self._check(before, records_max, taken)
        return taken is not None

    def _check(self, before: int, records_max: int, taken: Slice) -> None:
        log = self.log
        assert before < taken.next_offset == self.feed.position <= log.end
        offsets = [record.offset for record in taken.records]
        assert len(offsets) <= records_max
        assert offsets == sorted(set(offsets))
        everything = {at for at in log.ever if before <= at < taken.next_offset}
        assert everything - log.compacted <= set(offsets) | self._gone(before, taken)
        assert set(offsets) <= everything
        assert all(record is log.ever[record.offset] for record in taken.records)

    def _gone(self, before: int, taken: Slice) -> set[int]:
        if taken.gap is None:
            return set()
        assert not taken.records
        assert before <= taken.gap.first < taken.gap.until == taken.next_offset
        assert taken.gap.until <= self.log.low
        return set(range(*taken.gap))


class LogViewMachine(RuleBasedStateMachine):
    feeds = Bundle("feeds")

    def __init__(self) -> None:
        super().__init__()
        self.readers = FakeReaders(LIMITS)
        self.readers.logs = {place: FakeLog() for place in PLACES}
        self.watched: list[Watched] = []

    @rule(place=st.sampled_from(PLACES), count=st.integers(0, 30), markers=st.integers(0, 3))
    def append(self, place: Place, count: int, markers: int) -> None:
        self.readers.logs[place].append(place, count, markers=markers)

    @rule(place=st.sampled_from(PLACES), count=st.integers(1, 5))
    def append_open_transaction(self, place: Place, count: int) -> None:
        log = self.readers.logs[place]
        if log.high - log.end < 10:
            end = log.end
            log.append(place, count, markers=0)
            log.end = end

    @rule(place=st.sampled_from(PLACES), share=st.floats(0, 1))
    def delete_records(self, place: Place, share: float) -> None:
        log = self.readers.logs[place]
        log.low += int((log.end - log.low) * share)

    @rule(place=st.sampled_from(PLACES), step=st.integers(2, 5))
    def compact(self, place: Place, step: int) -> None:
        log = self.readers.logs[place]
        log.compacted |= {at for at in log.ever if at < log.end and at % step}

    @rule(target=feeds, place=st.sampled_from(PLACES), share=st.floats(0, 1), beyond=st.sampled_from([0, 0, 0, 0, 3]))
    def open(self, place: Place, share: float, beyond: int) -> Watched:
        log = self.readers.logs[place]
        watched = Watched(self.readers, place, round(log.high * share) + beyond)
        self.watched.append(watched)
        self.readers.flush()
        return watched

    @rule(watched=feeds, records_max=st.integers(1, 8))
    def take(self, watched: Watched, records_max: int) -> None:
        watched.take(records_max)
        self.readers.flush()

    @rule(watched=consumes(feeds))
    def close(self, watched: Watched) -> None:
        watched.feed.close()
        self.watched.remove(watched)
        self.readers.flush()

    @rule(
        number=st.sampled_from([TAIL, TAIL, 0, 0, 1]),
        records_max=st.sampled_from([1, 2, 3, 4, 5, 6, 40]),
        nth=st.integers(0, 1),
    )
    def fetch(self, number: int, records_max: int, nth: int) -> None:
        if len(self.readers.hand_overs) < 6:
            self.readers.fetch(number, records_max, nth)

    @rule()
    def hand_over(self) -> None:
        self.readers.hand_over()

    @rule(fail=st.sampled_from([False, False, True]))
    def answer(self, fail: bool) -> None:
        self.readers.answer(fail=fail)

    @rule(number=st.sampled_from([TAIL, 0, 1]))
    def crash(self, number: int) -> None:
        self.readers.crash(number)

    @rule(number=st.sampled_from([TAIL, 0, 1]), refuse=st.booleans())
    def doubt(self, number: int, refuse: bool) -> None:
        self.readers.doubt(number, refuse=refuse)

    @rule(elapsed_s=st.sampled_from([0.1, 1.0, 3.0, 6.0]))
    def tick(self, elapsed_s: float) -> None:
        self.readers.tick(elapsed_s)

    @invariant()
    def memory_is_bounded_and_counted(self) -> None:
        board = self.readers.board
        segments = [stream.segment for part in board.parts.values() for stream in part.streams]
        assert sum(board.bytes_held()) == sum(segment.bytes for segment in segments)
        assert sum(board.bytes_held()) <= max(LIMITS.view_bytes_max, self.readers.appended_bytes_most)
        # One batch over, and as many more as can be under way when a reader is told to stop.
        slack = 4 * self.readers.appended_bytes_most
        assert all(segment.bytes <= LIMITS.segment_bytes_max + slack for segment in segments)

    @invariant()
    def a_feed_that_was_not_called_has_nothing_to_take(self) -> None:
        for watched in self.watched:
            stream = watched.feed.stream
            if watched.waiting and stream is not None:
                assert watched.feed in stream.waiting
                assert stream.next_offset <= watched.feed.position

    def teardown(self) -> None:
        """In the end everybody reaches the end of the log."""
        for watched in self.watched:
            watched.eager = True
            while watched.take(3):
                pass
            self.readers.flush()
        self.readers.run_dry()
        for watched in self.watched:
            part = self.readers.board.parts.get(watched.place)
            held_up = part is not None and any(stream.stopped for stream in part.streams)
            assert held_up or watched.through, "no clock is needed to get on"
        self.readers.settle()
        for watched in self.watched:
            assert watched.through, (watched.feed.position, watched.log)
        for watched in self.watched:
            watched.feed.close()
        self.readers.flush()
        for _ in range(8):
            self.readers.tick(1.0)
        assert not self.readers.board.parts
        assert self.readers.board.bytes_held() == (0, 0)


TestLogView = LogViewMachine.TestCase
