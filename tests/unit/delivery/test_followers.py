"""Followers: the events behind a lane's head that may be delivered in the same request."""

from __future__ import annotations

import pytest

from pipeline.delivery.lanes import payload_bytes
from tests.unit.delivery.making import FAILED, record
from tests.unit.delivery.test_core import RETRY, core, send_one, sent


def test_followers_are_the_next_events_of_the_key_in_order() -> None:
    run = core(record(0), record(1, b"other"), record(2), record(3), record(4))
    lane = run.actions(0.0).sends[0]
    assert [event.offset for event in lane.followers(2, 10_000)] == [2, 3]


def test_followers_keep_within_their_bytes() -> None:
    run = core(record(0), record(1), record(2))
    lane = send_one(run)
    assert [event.offset for event in lane.followers(9, payload_bytes(record(1)))] == [1]
    assert lane.followers(9, payload_bytes(record(1)) - 1) == []


def test_followers_end_where_the_payload_is_not_in_memory() -> None:
    run = core(record(0), record(1))
    lane = send_one(run)
    run.failed(lane, FAILED, 0.0, 0.0)
    lane = send_one(run, 100.0)
    run.receive(0, [record(2)], 3)
    assert lane.followers(9, 10_000) == []


def test_what_stands_behind_a_head_that_delivered_is_read_again_with_the_next() -> None:
    run = core(*map(record, range(5)), fetches_max=3)
    run.failed(send_one(run), FAILED, 0.0, 0.0)
    (lane,) = run.actions(100.0).fetches
    assert run.behind(lane) == [], "it may fail again"
    run.payload(lane, record(0))
    run.succeeded(send_one(run, 100.0), 100.1)
    (lane,) = run.actions(100.1).fetches
    assert run.behind(lane) == [2, 3]
    run.payload(lane, record(1), [record(2), record(3)])
    assert send_one(run, 100.1) is lane
    assert lane.followers(9, 10_000) == [record(2), record(3)]
    assert run.held_bytes == 3 * payload_bytes(record(0))


def test_of_a_partition_that_is_gone_nothing_is_read_again() -> None:
    run = core(*map(record, range(3)), fetches_max=3)
    run.failed(send_one(run), FAILED, 0.0, 0.0)
    (lane,) = run.actions(100.0).fetches
    run.revoke(0)
    run.payload(lane, record(0), [record(1)])
    assert (run.behind(lane), run.held_bytes) == ([], 0)


def test_an_event_that_failed_under_an_earlier_owner_is_nobodys_follower() -> None:
    run = core()
    run.revoke(0)
    run.assign(0, 0, attempts={1: (1, -1.0)})
    run.receive(0, [record(0), record(1), record(2)], 3)
    assert send_one(run).followers(9, 10_000) == []


def test_one_success_settles_the_head_and_its_followers() -> None:
    run = core(record(0), record(1), record(2), record(3))
    run.succeeded(send_one(run), 0.1, 3)
    assert (run.settled, run.commit_of(0).offset) == (3, 3)
    assert sent(run) == [3]


def test_a_batch_that_takes_the_whole_lane_ends_it() -> None:
    run = core(record(0), record(1))
    run.succeeded(send_one(run), 0.1, 2)
    assert (run.commit_of(0).offset, run.held_bytes, sent(run)) == (2, 0, [])


def test_a_failed_batch_counts_for_its_head_only() -> None:
    run = core(record(0), record(1))
    run.failed(send_one(run), FAILED, 0.0, 0.0)
    assert run.commit_of(0).attempts == {0: (1, 0.0)}
    assert sent(run, 100.0) == [0]


def test_more_than_the_lane_has_cannot_be_delivered() -> None:
    run = core(record(0), record(1))
    with pytest.raises(ValueError, match="3 events delivered of a lane that has fewer"):
        run.succeeded(send_one(run), 0.1, 3)


def test_who_was_not_tried_goes_again_at_once_and_no_attempt_counts() -> None:
    run = core(record(0), record(1))
    lane = send_one(run)
    run.untried(lane)
    assert (run.commit_of(0).attempts, len(run.limiter.in_flight), run.in_flight_of(0)) == ({}, 0, 0)
    assert send_one(run) is lane
    assert lane.followers(9, 10_000) == [record(1)]


def test_who_was_not_tried_of_a_partition_that_is_gone_counts_for_nothing() -> None:
    run = core(record(0))
    lane = send_one(run)
    run.revoke(0)
    run.untried(lane)
    assert not any(run.actions(0.0))


def test_the_last_chance_is_the_last_attempt_or_the_last_of_the_time() -> None:
    run = core(record(0))
    lane = send_one(run)
    assert not run.is_last_chance(lane, 1e9), "the first attempt of all"
    run.failed(lane, FAILED, 0.0, 0.5)
    lane = send_one(run, 100.0)
    assert run.is_last_chance(lane, 100.0), "the schedule has one retry"
    lane.attempts = 0
    give_up_after_s = RETRY.give_up_after_s
    assert [run.is_last_chance(lane, at) for at in (give_up_after_s - 1, give_up_after_s)] == [False, True]
