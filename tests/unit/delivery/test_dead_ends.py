"""What ``on_dead_letter`` means."""

from __future__ import annotations

import pytest

from pipeline.delivery.dead_ends import DeadEnds
from pipeline.delivery.lanes import Lane
from pipeline.delivery.queues import Queues
from pipeline.delivery.states import LaneState
from pipeline.subscription import RetryPolicy
from tests.unit.delivery.making import REJECTED, lane, part

RETRY = RetryPolicy(schedule_s=(1.0, 2.0))


class Run:
    def __init__(self, policy: str) -> None:
        self.queues = Queues()
        self.dead_ends = DeadEnds(policy, RETRY, self.queues)
        self.part = part()

    def given_up(self, *offsets: int, key: bytes | None = b"k") -> Lane:
        each = lane(self.part, *offsets, key=key)
        each.verdict, each.attempts, each.first_failed_at = REJECTED, 1, 10.0
        self.dead_ends.give_up(each)
        return each


@pytest.mark.parametrize("policy", ["continue", "park", "block"])
def test_a_new_head_is_ready(policy: str) -> None:
    run = Run(policy)
    each = lane(run.part, 5)
    run.dead_ends.begin_head(each)
    assert list(run.queues.ready) == [each]


@pytest.mark.parametrize("policy", ["continue", "park"])
def test_what_is_given_up_is_buried(policy: str) -> None:
    run = Run(policy)
    each = run.given_up(5)
    assert list(run.queues.buries) == [each]


def test_continue_lets_the_key_go_on() -> None:
    run = Run("continue")
    each = run.given_up(5, 6)
    each.next_head()
    run.dead_ends.begin_head(each)
    assert each.state is LaneState.READY


def test_park_buries_what_comes_behind() -> None:
    run = Run("park")
    each = run.given_up(5, 6)
    assert run.part.parked == {b"k": "rejected_4xx"}
    each.next_head()
    run.dead_ends.begin_head(each)
    assert each.state is LaneState.BURYING


def test_park_knows_nothing_behind_an_event_without_a_key() -> None:
    run = Run("park")
    run.given_up(5, key=None)
    assert run.part.parked == {}
    other = lane(run.part, 6, key=None)
    run.dead_ends.begin_head(other)
    assert other.state is LaneState.READY


def test_park_leaves_other_keys_alone() -> None:
    run = Run("park")
    run.given_up(5)
    other = lane(run.part, 6, key=b"other")
    run.dead_ends.begin_head(other)
    assert other.state is LaneState.READY


def test_a_parked_key_goes_on_when_released() -> None:
    run = Run("park")
    run.given_up(5)
    assert run.dead_ends.release(run.part, b"k")
    other = lane(run.part, 6)
    run.dead_ends.begin_head(other)
    assert other.state is LaneState.READY


def test_block_holds_the_event_and_buries_nothing() -> None:
    run = Run("block")
    each = run.given_up(5, 6)
    assert each.state is LaneState.HELD
    assert not run.queues.buries
    assert run.part.held_bytes == 0, "it keeps positions only"


def test_block_is_remembered_as_spent() -> None:
    run = Run("block")
    run.given_up(5)
    assert run.part.attempts == {5: (3, 10.0)}


def test_a_held_head_is_held_by_the_next_owner_too() -> None:
    run = Run("block")
    run.part.attempts[5] = (3, 10.0)
    each = lane(run.part, 5)
    run.dead_ends.begin_head(each)
    assert each.state is LaneState.HELD
    assert run.part.held_bytes == 0


@pytest.mark.parametrize(("policy", "attempts"), [("block", 2), ("continue", 3), ("park", 3)])
def test_restored_attempts_go_on_counting(policy: str, attempts: int) -> None:
    run = Run(policy)
    run.part.attempts[5] = (attempts, 10.0)
    each = lane(run.part, 5)
    run.dead_ends.begin_head(each)
    assert each.state is LaneState.READY
    assert (each.attempts, each.first_failed_at) == (attempts, 10.0)


def test_a_released_head_is_tried_afresh() -> None:
    run = Run("block")
    each = run.given_up(5)
    each.expired = True
    assert run.dead_ends.release(run.part, b"k")
    assert list(run.queues.ready) == [each]
    assert (each.attempts, each.first_failed_at, each.verdict, each.expired) == (0, None, None, False)
    assert run.part.attempts == {}
    assert run.part.held == set()


def test_held_events_without_a_key_are_released_together_lowest_first() -> None:
    run = Run("block")
    lanes = [run.given_up(offset, key=None) for offset in (7, 5, 6)]
    keyed = run.given_up(4)
    assert run.dead_ends.release(run.part, None)
    assert list(run.queues.ready) == [lanes[1], lanes[2], lanes[0]]
    assert run.part.held == {keyed}


@pytest.mark.parametrize("key", [b"k", None])
def test_where_nothing_stands_nothing_is_released(key: bytes | None) -> None:
    run = Run("block")
    assert not run.dead_ends.release(run.part, key)


def test_releasing_while_the_partition_drains_begins_nothing() -> None:
    run = Run("block")
    run.given_up(5)
    run.part.draining = True
    assert run.dead_ends.release(run.part, b"k")
    assert not run.queues.ready
