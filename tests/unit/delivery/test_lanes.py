"""A lane: the FIFO of one key, and what it holds in memory."""

from __future__ import annotations

import pytest

from pipeline.delivery.lanes import Held, Lane, payload_bytes, reason_of
from pipeline.delivery.states import LaneState
from pipeline.delivery.verdict import Verdict
from pipeline.record import Record
from tests.unit.delivery.making import FAILED, REJECTED, lane, part, record


@pytest.mark.parametrize(
    ("item", "held"),
    [
        (17, 0),
        (Record("t", 0, 1, 0, None, None), 0),
        (Record("t", 0, 1, 0, None, b""), 0),
        (Record("t", 0, 1, 0, b"key", b"value"), 8),
        (Record("t", 0, 1, 0, None, b"v", (("ce_id", b"1234"), ("none", None))), 14),
    ],
)
def test_a_record_holds_its_value_key_and_headers(item: Record | int, held: int) -> None:
    assert payload_bytes(item) == held


def test_a_partition_counts_for_its_run_too() -> None:
    run = Held()
    here, there = part(0, run), part(1, run)
    here.hold(10)
    there.hold(5)
    here.hold(-4)
    assert (here.held_bytes, there.held_bytes, run.total) == (6, 5, 11)


def test_the_head_is_known_by_its_offset_with_and_without_payload() -> None:
    each = lane(part(), 7)
    assert each.offset == 7
    each.forget_payloads()
    assert (each.head, each.offset) == (7, 7)


def test_events_of_a_key_come_first_in_first_out() -> None:
    each = lane(part(), 1, 2, 3)
    seen = [each.offset]
    while each.next_head():
        seen.append(each.offset)
    assert seen == [1, 2, 3]


def test_a_lane_without_followers_ends() -> None:
    assert not lane(part(), 1).next_head()


def tried(attempts: int, verdict: Verdict | None) -> Lane:
    """A lane with another event behind its failing head."""
    each = lane(part(), 1, 2)
    each.attempts, each.first_failed_at, each.last_failed_at = attempts, 10.0, 20.0
    each.verdict, each.expired = verdict, True
    return each


@pytest.mark.parametrize(
    ("attempts", "verdict"),
    [
        pytest.param(3, FAILED, id="failed"),
        pytest.param(0, FAILED, id="failed and not counted"),
        pytest.param(2, None, id="restored"),
    ],
)
def test_the_next_event_starts_afresh(attempts: int, verdict: Verdict | None) -> None:
    each = tried(attempts, verdict)
    assert each.next_head()
    assert (each.attempts, each.first_failed_at, each.last_failed_at) == (0, None, None)
    assert (each.verdict, each.expired) == (None, False)


def test_a_lane_that_waits_keeps_positions_only() -> None:
    here = part()
    each = lane(here, 1, 2, 3)
    each.forget_payloads()
    assert here.held_bytes == 0
    assert [each.head, *(each.queue or ())] == [1, 2, 3]
    assert each.head_bytes == 0


def test_a_lane_that_hangs_keeps_its_head() -> None:
    here = part()
    each = lane(here, 1, 2, 3)
    each.forget_followers()
    assert here.held_bytes == each.head_bytes == payload_bytes(record(1))
    assert [each.head, *(each.queue or ())] == [record(1), 2, 3]


def test_forgetting_twice_frees_once() -> None:
    here = part()
    each = lane(here, 1, 2)
    for _ in range(2):
        each.forget_payloads()
    assert here.held_bytes == 0


def test_the_next_head_holds_what_its_record_holds() -> None:
    each = lane(part(), 1)
    each.push(record(2, size=100))
    each.state = LaneState.WAITING
    each.push(record(3))
    each.next_head()
    assert each.head_bytes == payload_bytes(record(2, size=100))
    each.next_head()
    assert each.head_bytes == 0


def test_what_comes_behind_a_position_is_a_position() -> None:
    here = part()
    each = lane(here, 1, 2)
    each.forget_followers()
    each.push(record(3))
    assert (list(each.queue or ()), here.held_bytes) == ([2, 3], each.head_bytes)


def test_payloads_are_put_back_in_order_up_to_one_that_is_missing() -> None:
    here = part()
    each = lane(here, 1, 2, 3, 4)
    each.forget_payloads()
    each.put_back([record(2), record(4)], 10_000)
    assert list(each.queue or ()) == [record(2), 3, 4]
    assert here.held_bytes == payload_bytes(record(2))


def test_payloads_are_put_back_until_there_is_no_room() -> None:
    each = lane(part(), 1, 2, 3, 4)
    each.forget_payloads()
    each.put_back([record(2), record(3), record(4)], payload_bytes(record(2)) + 1)
    assert list(each.queue or ()) == [record(2), record(3), 4]


def test_what_failed_before_is_not_read_with_others() -> None:
    here = part()
    each = lane(here, 1, 2, 3, 4)
    each.forget_payloads()
    here.attempts[3] = (1, 0.0)
    assert (each.positions_behind(9), each.positions_behind(0)) == ([2], [])


def test_forgetting_again_does_not_look_through_all_that_waits() -> None:
    each = lane(part(), *range(5))
    each.forget_payloads()
    each.put_back([record(1)], 10_000)
    waiting = each.queue
    each.forget_followers()
    assert each.queue is waiting, "not made anew"
    assert list(waiting or ()) == [1, 2, 3, 4]


def test_the_reason_is_the_last_verdicts() -> None:
    each = lane(part(), 1)
    each.verdict = REJECTED
    assert reason_of(each) == "rejected_4xx"


def test_an_event_given_up_for_its_age_is_expired() -> None:
    each = lane(part(), 1)
    each.verdict, each.expired = FAILED, True
    assert reason_of(each) == "expired"


def test_an_event_behind_a_parked_one_has_its_reason() -> None:
    here = part()
    here.parked[b"k"] = "rejected_4xx"
    assert reason_of(lane(here, 1)) == "rejected_4xx"


@pytest.mark.parametrize("key", [b"k", None])
def test_without_anything_known_attempts_are_exhausted(key: bytes | None) -> None:
    assert reason_of(lane(part(), 1, key=key)) == "exhausted"
