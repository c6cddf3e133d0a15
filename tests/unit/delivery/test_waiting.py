"""Lanes that wait for their time."""

from __future__ import annotations

import pytest

from pipeline.delivery.waiting import NEVER, WaitingRoom
from tests.unit.delivery.making import lane, part


def test_an_empty_room_is_false_and_never_due() -> None:
    room = WaitingRoom()
    assert not room
    assert room.next_due == NEVER
    assert room.pop_due(1e9, 99) == []
    with pytest.raises(IndexError):
        room.pop_first()


def test_lanes_come_out_when_due_and_not_before() -> None:
    room, here = WaitingRoom(), part()
    late, soon = lane(here), lane(here)
    room.push(late, 20.0)
    room.push(soon, 10.0)
    assert room.next_due == 10.0
    assert room.pop_due(9.9, 99) == []
    assert room.pop_due(10.0, 99) == [soon]
    assert room.pop_due(99.0, 99) == [late]


def test_the_soonest_comes_first() -> None:
    room, here = WaitingRoom(), part()
    lanes = [lane(here) for _ in range(3)]
    for each, due in zip(lanes, (30.0, 10.0, 20.0), strict=True):
        room.push(each, due)
    assert room.pop_due(99.0, 99) == [lanes[1], lanes[2], lanes[0]]


def test_equal_times_keep_their_order() -> None:
    room, here = WaitingRoom(), part()
    lanes = [lane(here) for _ in range(5)]
    for each in lanes:
        room.push(each, 10.0)
    assert room.pop_due(10.0, 99) == lanes


def test_the_first_can_be_called_before_its_time() -> None:
    room, here = WaitingRoom(), part()
    late, soon = lane(here), lane(here)
    room.push(late, 20.0)
    room.push(soon, 10.0)
    assert room.pop_first() is soon
    assert room.next_due == 20.0


def test_the_lanes_of_a_partition_can_be_forgotten() -> None:
    room, here, there = WaitingRoom(), part(), part()
    ours = [lane(here) for _ in range(3)]
    for number, each in enumerate(ours):
        room.push(lane(there), 10.0 - number)
        room.push(each, 5.0 - number)
    room.drop(there)
    assert room.pop_due(99.0, 99) == ours[::-1]


def test_no_more_come_out_at_a_time_than_asked_for() -> None:
    room, here = WaitingRoom(), part()
    lanes = [lane(here) for _ in range(3)]
    for each in lanes:
        room.push(each, 1.0)
    assert room.pop_due(1.0, 2) == lanes[:2]
    assert room.pop_due(1.0, 2) == lanes[2:]
