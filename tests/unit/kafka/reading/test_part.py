"""Who reads where, who feeds whom: the rules of one partition, on fake readers."""

from __future__ import annotations

import pytest

from pipeline.errors import BrokerUnavailable, LogError, PositionBeyondEnd, TopicNotFound
from pipeline.kafka.reading.feed import Feed, Gap
from pipeline.kafka.reading.orders import TAIL, Start, ViewSettings
from tests.fakes.readers import RECORD_BYTES, FakeLog, FakeReaders

PLACE = ("orders", 0)
LIMITS = ViewSettings(
    segment_bytes_max=100 * RECORD_BYTES,
    view_bytes_max=1000 * RECORD_BYTES,
    passed_bytes_max=10 * RECORD_BYTES,
    backlog_readers=2,
    turn_bytes_max=20 * RECORD_BYTES,
)


class Eager:
    """Takes whatever comes, at once."""

    def __init__(self, readers: FakeReaders, offset: int) -> None:
        self.offsets: list[int] = []
        self.gaps: list[Gap] = []
        self.roused = 0
        self.feed: Feed = readers.open(PLACE, offset, self._ready)
        self.take_all()
        readers.flush()

    def _ready(self) -> None:
        self.roused += 1
        self.take_all()

    def take_all(self) -> None:
        while (taken := self.feed.take(1000)) is not None:
            self.offsets += [record.offset for record in taken.records]
            self.gaps += [taken.gap] if taken.gap else []


@pytest.fixture
def readers() -> FakeReaders:
    made = FakeReaders(LIMITS)
    made.logs[PLACE] = FakeLog()
    return made


@pytest.fixture
def log(readers: FakeReaders) -> FakeLog:
    return readers.logs[PLACE]


def streams(readers: FakeReaders) -> int:
    return len(readers.board.parts[PLACE].streams.backlog)


def test_a_backlog_is_read_and_followed_into_the_tail(readers: FakeReaders, log: FakeLog) -> None:
    log.append(PLACE, 50, markers=0)
    eager = Eager(readers, 0)
    readers.settle()
    log.append(PLACE, 10, markers=0)
    while readers.fetch(TAIL, 5):
        readers.hand_over()
    assert eager.offsets == list(range(60))


def test_the_end_of_the_log_frees_the_backlog_reader(readers: FakeReaders, log: FakeLog) -> None:
    Eager(readers, 0)
    readers.settle()
    assert [len(readers.readers[number].stays) for number in (TAIL, 0)] == [1, 0]


def test_a_thousand_feeds_at_one_offset_are_read_for_once(readers: FakeReaders, log: FakeLog) -> None:
    log.append(PLACE, 50, markers=0)
    eager = [Eager(readers, 0) for _ in range(1000)]
    assert streams(readers) == 1
    readers.settle()
    assert all(each.offsets == list(range(50)) for each in eager)
    assert readers.fetched_records == 50


def test_feeds_a_little_apart_come_together(readers: FakeReaders, log: FakeLog) -> None:
    log.append(PLACE, 60, markers=0)
    eager = [Eager(readers, offset) for offset in (20, 10, 15, 0)]
    readers.settle()
    assert [each.offsets[0] for each in eager] == [20, 10, 15, 0]
    assert all(each.offsets[-1] == 59 for each in eager)
    log.append(PLACE, 1, markers=0)
    readers.settle()
    assert readers.fetched_records < 60 + 40


def test_more_positions_than_readers_take_turns(readers: FakeReaders, log: FakeLog) -> None:
    log.append(PLACE, 3000, markers=0)
    eager = [Eager(readers, number * 500) for number in range(6)]
    for step in range(300):
        for number in (0, 1):
            readers.fetch(number, 5, step)
        while readers.hand_over():
            pass
    assert min(len(each.offsets) for each in eager) > 100
    readers.settle()
    assert [each.offsets for each in eager] == [list(range(number * 500, 3000)) for number in range(6)]


def test_a_stream_nobody_takes_from_is_read_no_further(readers: FakeReaders, log: FakeLog) -> None:
    log.append(PLACE, 5000, markers=0)
    readers.open(PLACE, 0, lambda: None)
    readers.flush()
    readers.settle()
    assert readers.fetched_records < 100


def test_reading_goes_on_before_everything_is_taken(readers: FakeReaders, log: FakeLog) -> None:
    log.append(PLACE, 5000, markers=0)
    feed = readers.open(PLACE, 0, lambda: None)
    readers.flush()
    readers.settle()
    before = readers.fetched_records
    feed.take(before - 5)
    readers.flush()
    readers.run_dry()
    assert readers.fetched_records > before


def test_a_reader_that_takes_nothing_does_not_hold_up_the_next(readers: FakeReaders, log: FakeLog) -> None:
    log.append(PLACE, 300, markers=0)
    for offset in (0, 100):
        readers.open(PLACE, offset, lambda: None)
    readers.flush()
    readers.settle()
    eager = Eager(readers, 50)
    readers.settle()
    assert eager.offsets == list(range(50, 300))


def test_a_closed_feed_leaves_its_stream_warm_for_a_while(readers: FakeReaders, log: FakeLog) -> None:
    log.append(PLACE, 200, markers=0)
    feed = readers.open(PLACE, 0, lambda: None)
    readers.flush()
    readers.fetch(0, 20)
    readers.hand_over()
    feed.take(5)
    feed.close()
    readers.flush()
    readers.tick(1.0)
    again = readers.open(PLACE, 5, lambda: None)
    taken = again.take(100)
    assert taken is not None
    assert taken.records[0].offset == 5
    again.close()
    readers.flush()
    readers.tick(6.0)
    assert PLACE not in readers.board.parts


def test_an_idle_feed_passes_transaction_markers(readers: FakeReaders, log: FakeLog) -> None:
    log.append(PLACE, 3, markers=1)
    eager = Eager(readers, 0)
    readers.settle()
    log.append(PLACE, 0, markers=2)
    readers.settle()
    assert (eager.feed.position, eager.feed.end(), eager.offsets) == (6, 6, [0, 1, 2])


def test_a_feed_is_roused_once_for_a_hand_over(readers: FakeReaders, log: FakeLog) -> None:
    log.append(PLACE, 5, markers=0)
    eager = Eager(readers, 0)
    readers.fetch(0, 5)
    readers.hand_over()
    assert eager.roused == 1


def test_each_feed_is_told_of_its_own_gap_once(readers: FakeReaders, log: FakeLog) -> None:
    log.append(PLACE, 50, markers=0)
    log.low = 30
    eager = [Eager(readers, offset) for offset in (10, 20)]
    readers.settle()
    assert [each.gaps for each in eager] == [[Gap(10, 30)], [Gap(20, 30)]]
    assert all(each.offsets == list(range(30, 50)) for each in eager)


def test_a_gap_at_the_tail_is_told_too(readers: FakeReaders, log: FakeLog) -> None:
    eager = Eager(readers, 0)
    readers.settle()
    log.append(PLACE, 50, markers=0)
    log.low = 30
    readers.settle()
    assert (eager.gaps, eager.offsets) == ([Gap(0, 30)], list(range(30, 50)))


def test_a_position_beyond_the_end_is_told(readers: FakeReaders, log: FakeLog) -> None:
    log.append(PLACE, 5, markers=0)
    feed = readers.open(PLACE, 6, lambda: None)
    assert feed.take(1) is None
    readers.flush()
    readers.settle()
    with pytest.raises(PositionBeyondEnd, match="orders/0: 6 lies beyond the end 5"):
        feed.take(1)


def test_a_log_that_became_shorter_is_told_at_the_tail(readers: FakeReaders, log: FakeLog) -> None:
    log.append(PLACE, 5, markers=0)
    eager = Eager(readers, 0)
    readers.settle()
    log.end = log.high = 3
    with pytest.raises(PositionBeyondEnd):
        readers.settle()
        eager.take_all()


def test_a_topic_is_given_up_after_it_has_been_doubted_for_long(readers: FakeReaders, log: FakeLog) -> None:
    feed = readers.open(PLACE, 0, lambda: None)
    assert feed.take(1) is None
    readers.flush()
    for _ in range(3):
        readers.board.no_bounds(PLACE, TopicNotFound("orders"))
        readers.tick(1.0)
    assert feed.take(1) is None
    readers.tick(1.0)
    readers.board.no_bounds(PLACE, TopicNotFound("orders"))
    with pytest.raises(TopicNotFound):
        feed.take(1)


def test_a_broker_that_is_away_is_waited_for(readers: FakeReaders, log: FakeLog) -> None:
    feed = readers.open(PLACE, 0, lambda: None)
    for _ in range(100):
        readers.board.no_bounds(PLACE, BrokerUnavailable("no answer"))
        readers.tick(1.0)
    assert feed.take(1) is None


def test_what_cannot_be_read_fails_only_the_feeds_that_stand_there(readers: FakeReaders, log: FakeLog) -> None:
    log.append(PLACE, 50, markers=0)
    stuck, other = readers.open(PLACE, 0, lambda: None), Eager(readers, 40)
    readers.flush()
    (start,) = (order for order in readers.readers[0].orders if isinstance(order, Start))
    readers.board.broken(start.assignment, LogError("unreadable batch"))
    readers.flush()
    with pytest.raises(LogError, match="unreadable"):
        stuck.take(1)
    readers.settle()
    assert other.offsets == list(range(40, 50))


def test_closing_a_feed_twice_and_taking_from_a_closed_one_do_no_harm(readers: FakeReaders, log: FakeLog) -> None:
    feed = readers.open(PLACE, 0, lambda: None)
    feed.close()
    feed.close()
    assert feed.take(1) is None


def test_a_late_delivery_is_for_nobody(readers: FakeReaders, log: FakeLog) -> None:
    log.append(PLACE, 50, markers=0)
    eager = Eager(readers, 0)
    readers.fetch(0, 5)
    readers.crash(0)
    readers.hand_over()
    assert eager.offsets == []
    readers.settle()
    assert eager.offsets == list(range(50))


def test_what_comes_twice_is_taken_once(readers: FakeReaders, log: FakeLog) -> None:
    log.append(PLACE, 10, markers=0)
    eager = Eager(readers, 0)
    readers.fetch(0, 5)
    readers.hand_over()
    (assignment,) = (stay.assignment for stay in readers.readers[0].stays.values())
    readers.board.appended(assignment, log.alive(2, 8), 6 * RECORD_BYTES)
    readers.board.appended(assignment, log.alive(2, 8), 6 * RECORD_BYTES)
    readers.flush()
    assert eager.offsets == list(range(8))


def test_a_position_in_an_open_transaction_is_not_beyond_the_end(readers: FakeReaders, log: FakeLog) -> None:
    log.append(PLACE, 10, markers=0)
    log.end = 4
    eager = Eager(readers, 7)
    readers.doubt(0, refuse=True)
    readers.settle()
    log.end = 10
    readers.settle()
    assert eager.offsets == [7, 8, 9]


def test_limits_may_be_smaller_than_any_record() -> None:
    tiny = FakeReaders(LIMITS._replace(segment_bytes_max=1, view_bytes_max=1, passed_bytes_max=0))
    tiny.logs[PLACE] = FakeLog()
    tiny.logs[PLACE].append(PLACE, 50, markers=0)
    eager = Eager(tiny, 0)
    tiny.settle()
    assert eager.offsets == list(range(50))
