"""Single records are read again in sweeps, and every question is answered exactly once."""

from __future__ import annotations

from itertools import count

import pytest

from pipeline.errors import LogError, PipelineError, TopicNotFound
from pipeline.kafka.reading.orders import REREAD, Bounds, LookUp, Order, Start, Stop
from pipeline.kafka.reading.rereads import NEAR, Rereads
from pipeline.record import Record

PLACE = ("orders", 0)


def record(offset: int) -> Record:
    return Record(*PLACE, offset, 0, None, b"x")


class Asking:
    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.answers: list[tuple[int, object]] = []
        self.rereads = Rereads(self.orders.append, count(1))

    def want(self, *offsets: int) -> None:
        for offset in offsets:
            self.rereads.want(PLACE, offset, lambda outcome, offset=offset: self.note(offset, outcome))  # type: ignore[misc]  # bound per turn
        self.rereads.begin()

    def note(self, offset: int, outcome: Record | PipelineError | None) -> None:
        self.answers.append((offset, outcome.offset if isinstance(outcome, Record) else outcome))

    def read(self, *offsets: int) -> None:
        self.rereads.appended(self.assignment, [record(offset) for offset in offsets], 0)

    @property
    def assignment(self) -> int:
        return next(order.assignment for order in reversed(self.orders) if isinstance(order, Start))


@pytest.fixture
def asking() -> Asking:
    return Asking()


def test_neighbours_are_read_in_one_go_from_the_lowest(asking: Asking) -> None:
    asking.want(7, 5, 9)
    assert asking.orders == [Start(REREAD, 1, PLACE, 5)]
    asking.read(5, 6, 7)
    asking.read(8, 9)
    assert asking.answers == [(5, 5), (7, 7), (9, 9)]
    assert asking.orders[1:] == [Stop(REREAD, PLACE)]


def test_what_lies_far_ahead_is_jumped_to(asking: Asking) -> None:
    asking.want(5, 5 + 2 * NEAR)
    asking.read(5)
    assert asking.orders[1:] == [Stop(REREAD, PLACE), Start(REREAD, 2, PLACE, 5 + 2 * NEAR)]


def test_a_record_that_is_gone_is_answered_when_a_later_one_comes(asking: Asking) -> None:
    asking.want(5, 6)
    asking.read(7)
    assert asking.answers == [(5, None), (6, None)]


def test_what_is_wanted_behind_the_reading_is_read_afterwards(asking: Asking) -> None:
    asking.want(5, 9)
    asking.read(5, 6)
    asking.want(2)
    asking.read(7, 8, 9)
    assert asking.orders[-1] == Start(REREAD, 2, PLACE, 2)
    asking.read(2)
    assert asking.answers == [(5, 5), (9, 9), (2, 2)]


def test_two_who_want_the_same_are_both_answered(asking: Asking) -> None:
    asking.want(5, 5)
    asking.read(5)
    assert asking.answers == [(5, 5), (5, 5)]


def test_at_the_end_of_the_log_nothing_more_comes(asking: Asking) -> None:
    asking.want(5, 6)
    asking.rereads.ended(asking.assignment, 5)
    assert asking.answers == [(5, None), (6, None)]


def test_a_refused_position_is_looked_up_and_the_rest_read(asking: Asking) -> None:
    asking.want(5, 20, 500)
    asking.rereads.refused(asking.assignment)
    assert asking.orders[-1] == LookUp(PLACE)
    asking.rereads.bounds(PLACE, Bounds(10, 100, 100))
    assert asking.answers == [(5, None), (500, None)]
    asking.read(20)
    assert asking.answers[-1] == (20, 20)


def test_a_topic_that_does_not_exist_is_asked_about_and_told(asking: Asking) -> None:
    asking.want(5)
    for _ in range(3):
        asking.rereads.tick()
    assert asking.orders[-1] == LookUp(PLACE)
    gone = TopicNotFound("orders")
    asking.rereads.no_bounds(PLACE, gone)
    assert asking.answers == [(5, gone)]


def test_what_cannot_be_read_is_told(asking: Asking) -> None:
    asking.want(5, 6)
    error = LogError("unreadable")
    asking.rereads.broken(asking.assignment, error)
    assert asking.answers == [(5, error), (6, error)]


def test_a_fresh_reader_reads_everything_anew(asking: Asking) -> None:
    asking.want(5)
    asking.rereads.restart(REREAD)
    asking.rereads.appended(1, [record(5)], 0)
    assert asking.answers == []
    asking.read(5)
    assert asking.answers == [(5, 5)]


def test_who_waits_no_more_is_not_answered_and_not_read_for(asking: Asking) -> None:
    answers: list[object] = []
    asking.rereads.want(PLACE, 5, answers.append)
    asking.rereads.begin()
    asking.rereads.forgo(PLACE, 5, answers.append)
    assert asking.orders[-1] == Stop(REREAD, PLACE)
    asking.rereads.forgo(PLACE, 5, answers.append)
    assert answers == []
