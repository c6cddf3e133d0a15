"""The core: one example of each of its rules. The state machine in ``tests/property`` looks for the others."""

from __future__ import annotations

import msgspec
import pytest

from pipeline.delivery.ackmap import AckMap
from pipeline.delivery.actions import Commit
from pipeline.delivery.breaker import BreakerState
from pipeline.delivery.core import Core
from pipeline.delivery.lanes import Lane, payload_bytes
from pipeline.delivery.settings import BreakerSettings, CoreSettings, LimiterSettings
from pipeline.record import Record
from pipeline.subscription import RetryPolicy
from tests.unit.delivery.making import FAILED, GONE, REJECTED, asked, record

RETRY = RetryPolicy(schedule_s=(4.0,))


def core(
    *records: Record, ordering: str = "key", on_dead_letter: str = "continue", in_flight_max: int = 8, **rest: float
) -> Core:
    """A core that owns partition 0 and has received ``records``."""
    settings = CoreSettings(
        retry=RETRY,
        ordering=ordering,
        on_dead_letter=on_dead_letter,
        limiter=LimiterSettings(in_flight_max=in_flight_max),
        breaker=BreakerSettings(failures_to_open=2, lanes_to_open=2, patience=0.0),
    )
    made = Core(msgspec.structs.replace(settings, **rest))
    made.assign(0, 0)
    if records:
        made.receive(0, records, records[-1].offset + 1)
    return made


def sent(of: Core, now: float = 0.0) -> list[int]:
    return [lane.offset for lane in of.actions(now).sends]


def send_one(of: Core, now: float = 0.0) -> Lane:
    (lane,) = of.actions(now).sends
    return lane


def bury_one(of: Core, now: float = 0.0) -> Lane:
    (lane,) = of.actions(now).buries
    return lane


# -- order ---------------------------------------------------------------------------------------------------------


def test_of_a_key_one_event_is_attempted_at_a_time_in_order() -> None:
    run = core(record(0), record(1), record(2))
    for offset in range(3):
        lane = send_one(run)
        assert lane.offset == offset
        assert sent(run) == []
        run.succeeded(lane, 0.1)


def test_different_keys_do_not_wait_for_each_other() -> None:
    assert sent(core(record(0, b"a"), record(1, b"b"), record(2, b"a"))) == [0, 1]


def test_events_without_a_key_do_not_wait_for_each_other() -> None:
    assert sent(core(record(0, None), record(1, None))) == [0, 1]


def test_the_empty_key_is_a_key() -> None:
    assert sent(core(record(0, b""), record(1, b""))) == [0]


def test_a_key_of_another_partition_is_another_key() -> None:
    run = core(record(0))
    run.assign(1, 5)
    run.receive(1, [record(5)], 6)
    assert sent(run) == [0, 5]


@pytest.mark.parametrize(("ordering", "first"), [("key", [0, 2, 3]), ("partition", [0]), ("none", [0, 1, 2, 3])])
def test_ordering_says_what_waits_for_what(ordering: str, first: list[int]) -> None:
    records = [record(0, b"a"), record(1, b"a"), record(2, b"b"), record(3, None)]
    assert sent(core(*records, ordering=ordering)) == first


def test_the_next_event_waits_while_the_one_ahead_is_tried_again() -> None:
    run = core(record(0), record(1))
    run.failed(send_one(run), FAILED, 0.0, 0.0)
    assert sent(run, 3.9) == []
    assert sent(run, 4.0) == [0]


def test_the_next_event_waits_while_the_one_ahead_is_buried() -> None:
    run = core(record(0), record(1))
    run.failed(send_one(run), REJECTED, 0.0, 0.0)
    lane = bury_one(run)
    assert sent(run) == []
    run.buried(lane)
    assert sent(run) == [1]


# -- how far the cursor may go -------------------------------------------------------------------------------------


def test_the_position_passes_settled_events_only() -> None:
    run = core(record(3, b"a"), record(7, b"b"))
    first, second = run.actions(0.0).sends
    run.succeeded(second, 0.1)
    assert run.commit_of(0) == Commit(3, AckMap([(4, 8)]), {})
    run.succeeded(first, 0.2)
    assert run.commit_of(0) == Commit(8, AckMap(), {})


def test_the_position_passes_control_records() -> None:
    run = core()
    run.receive(0, [], 12)
    assert run.commit_of(0).offset == 12


def test_a_dead_letter_counts_when_its_append_is_acknowledged() -> None:
    run = core(record(0))
    run.failed(send_one(run), REJECTED, 0.0, 0.0)
    lane = bury_one(run)
    assert run.commit_of(0).offset == 0
    run.bury_failed(lane, 0.0)
    assert run.commit_of(0).offset == 0
    assert bury_one(run, 1.0) is lane
    run.buried(lane)
    assert run.commit_of(0) == Commit(1, AckMap(), {})


def test_an_event_that_vanished_from_the_log_is_settled() -> None:
    run = core(record(0))
    run.failed(send_one(run), FAILED, 0.0, 0.0)
    lane = send_one(run, 4.0)
    run.vanished(lane, 4.0)
    assert run.commit_of(0).offset == 1
    assert (run.settled, run.in_flight_of(0), len(run.limiter.in_flight)) == (1, 0, 0)


def test_an_event_that_vanished_before_its_dead_letter_was_written_is_settled() -> None:
    run = core(record(0))
    run.failed(send_one(run), REJECTED, 0.0, 0.0)
    run.bury_failed(bury_one(run), 0.0)
    run.vanished(bury_one(run, 1.0), 1.0)
    assert (run.commit_of(0).offset, run.in_flight_of(0)) == (1, 0)


def test_failing_heads_are_committed_with_their_attempts() -> None:
    run = core(record(0))
    run.failed(send_one(run), FAILED, 7.0, 0.0)
    assert run.commit_of(0).attempts == {0: (1, 7.0)}


def test_restored_events_are_not_delivered_again_and_restored_attempts_go_on() -> None:
    run = core()
    run.assign(1, 10, finished=AckMap([(11, 12)]), attempts={12: (1, 5.0)})
    run.receive(1, [record(n, b"%d" % n) for n in (10, 11, 12)], 13)
    heads = run.actions(6.0).sends
    assert [(lane.offset, lane.attempts) for lane in heads] == [(10, 0), (12, 1)]
    run.failed(heads[1], FAILED, 6.0, 0.0)
    assert bury_one(run, 6.0) is heads[1]


def test_restored_attempts_of_a_record_that_is_gone_are_forgotten() -> None:
    run = core()
    run.assign(1, 10, attempts={11: (1, 5.0), 15: (1, 5.0)})
    assert run.commit_of(1).attempts == {11: (1, 5.0), 15: (1, 5.0)}
    run.receive(1, [record(10)], 13)
    assert run.commit_of(1).attempts == {15: (1, 5.0)}


def test_a_partition_is_assigned_once() -> None:
    with pytest.raises(ValueError, match="partition 0 is assigned already"):
        core().assign(0, 5)


# -- failures ------------------------------------------------------------------------------------------------------


def test_when_the_schedule_is_spent_the_event_is_buried() -> None:
    run = core(record(0))
    run.failed(send_one(run, 0.0), FAILED, 0.0, 0.0)
    run.failed(send_one(run, 4.0), FAILED, 4.0, 0.0)
    assert bury_one(run, 4.0).attempts == 2


def test_while_the_breaker_is_open_attempts_do_not_count() -> None:
    run = core(record(0, b"a"), record(1, b"b"), record(2, b"c"))
    first, second, third = run.actions(0.0).sends
    for lane in (first, second, third):
        run.failed(lane, FAILED, 0.0, 0.999)
    assert run.breaker.state is BreakerState.OPEN
    assert [lane.attempts for lane in (first, second, third)] == [1, 1, 0]
    assert run.commit_of(0).attempts.keys() == {0, 1}


def test_while_the_breaker_is_open_new_events_wait_for_the_probe() -> None:
    run = core(record(0, b"a"), record(1, b"b"))
    for lane in run.actions(0.0).sends:
        run.failed(lane, FAILED, 0.0, 0.0)
    run.receive(0, [record(2, b"c"), record(3, b"d")], 4)
    assert sent(run, 0.4) == []
    assert run.next_wakeup(0.4) == 0.5
    probe = send_one(run, 0.5)
    assert sent(run, 0.9) == []
    run.succeeded(probe, 0.9)
    assert sent(run, 0.9) == [3]


def test_nothing_is_woken_to_bury_because_the_breaker_is_open() -> None:
    run = core(record(0, b"a"), record(1, b"b"), record(2, b"c"), bury_retry_s=100.0)
    lanes = run.actions(0.0).sends
    run.failed(lanes[0], REJECTED, 0.0, 0.0)
    run.bury_failed(bury_one(run), 0.0)
    for lane in lanes[1:]:
        run.failed(lane, asked(500.0), 0.0, 0.0)
    assert run.next_wakeup(50.0) == 100.0
    assert bury_one(run, 100.0) is lanes[0]
    assert run.next_wakeup(100.0) == 500.0


def test_retry_after_is_honoured() -> None:
    run = core(record(0))
    run.failed(send_one(run), asked(60.0), 0.0, 0.0)
    assert run.next_wakeup(0.0) == 60.0
    assert sent(run, 59.9) == []
    assert sent(run, 60.0) == [0]


def test_retry_after_makes_the_endpoint_less_busy() -> None:
    run = core(*[record(n, None) for n in range(20)], in_flight_max=8)
    run.failed(run.actions(0.0).sends[0], asked(60.0), 0.0, 0.0)
    assert sent(run) == []
    assert run.limiter.cap == 4.0


def test_an_endpoint_that_is_gone_is_told_once_and_sent_nothing() -> None:
    run = core(record(0, b"a"), record(1, b"b"), in_flight_max=1)
    run.failed(send_one(run), GONE, 0.0, 0.0)
    assert run.gone
    actions = run.actions(0.0)
    assert (actions.sends, actions.buries, actions.gone) == ([], [], True)
    assert not run.actions(1.0).gone
    assert run.next_wakeup(1.0) is None
    assert run.commit_of(0) == Commit(0, AckMap(), {})


# -- dead letters --------------------------------------------------------------------------------------------------


def test_park_buries_those_behind_in_order_until_released() -> None:
    run = core(record(0), record(1), record(2), on_dead_letter="park")
    run.failed(send_one(run), REJECTED, 0.0, 0.0)
    for offset in (0, 1):
        lane = bury_one(run)
        assert lane.offset == offset
        if offset == 1:
            assert run.release(0, b"k")
        run.buried(lane)
    assert sent(run) == [2]


def test_a_parked_key_is_parked_for_the_next_owner() -> None:
    run = core()
    run.assign(1, 0, parked={b"k": "exhausted"})
    run.receive(1, [record(0), record(1, b"other")], 2)
    actions = run.actions(0.0)
    assert [lane.offset for lane in actions.buries] == [0]
    assert [lane.offset for lane in actions.sends] == [1]


def test_under_partition_order_park_parks_the_partition() -> None:
    run = core(record(0, b"a"), record(1, b"b"), ordering="partition", on_dead_letter="park")
    run.failed(send_one(run), REJECTED, 0.0, 0.0)
    run.buried(bury_one(run))
    assert bury_one(run).offset == 1


def test_block_waits_for_an_operator() -> None:
    run = core(record(0), record(1), on_dead_letter="block")
    run.failed(send_one(run), REJECTED, 0.0, 0.0)
    actions = run.actions(1e6)
    assert (actions.sends, actions.buries) == ([], [])
    assert run.next_wakeup(1e6) is None
    assert run.commit_of(0).offset == 0
    assert run.release(0, b"k")
    assert sent(run) == [0]


@pytest.mark.parametrize("ordering", ["key", "none"])
def test_a_blocked_event_without_a_key_can_be_released(ordering: str) -> None:
    run = core(record(0, None), on_dead_letter="block", ordering=ordering)
    run.failed(send_one(run), REJECTED, 0.0, 0.0)
    assert run.release(0, None)
    run.payload(lane := send_one(run), record(0, None))
    run.succeeded(lane, 0.0)
    assert run.commit_of(0).offset == 1


def test_what_is_held_after_a_restart_takes_no_room() -> None:
    run = core(on_dead_letter="block", held_bytes_max=5)
    run.assign(1, 0, attempts={0: (2, 0.0)})
    run.receive(1, [record(0, size=100)], 1)
    assert sent(run) == []
    assert (run.held_bytes, run.has_room) == (0, True)


def test_dead_letter_appends_under_way_have_a_limit() -> None:
    run = core(*[record(n, None) for n in range(5)], buries_max=2)
    for lane in run.actions(0.0).sends:
        run.failed(lane, REJECTED, 0.0, 0.0)
    first = run.actions(0.0).buries
    assert [lane.offset for lane in first] == [0, 1]
    assert run.actions(0.0).buries == []
    run.buried(first[0])
    assert bury_one(run).offset == 2
    run.bury_failed(first[1], 0.0)
    assert bury_one(run).offset == 3


# -- owners --------------------------------------------------------------------------------------------------------


def test_a_draining_partition_begins_nothing_and_its_results_count() -> None:
    run = core(record(0, b"a"), record(1, b"b"), record(2, b"c"), in_flight_max=2)
    delivered, failed = run.actions(0.0).sends
    run.drain(0)
    run.succeeded(delivered, 0.1)
    run.failed(failed, FAILED, 0.1, 0.0)
    assert run.in_flight_of(0) == 0
    assert sent(run, 1e6) == []
    assert run.next_wakeup(1e6) is None, "a draining partition wakes nobody"
    assert run.commit_of(0) == Commit(1, AckMap(), {1: (1, 0.1)})


def test_draining_one_partition_leaves_the_others_alone() -> None:
    run = core(record(0))
    run.assign(1, 0)
    run.receive(1, [record(0)], 1)
    run.drain(0)
    assert [lane.part.name for lane in run.actions(0.0).sends] == [1]


def test_after_revoke_nothing_counts() -> None:
    run = core(record(0, b"a"), record(1, b"b"), record(2, b"c"))
    lanes = run.actions(0.0).sends
    assert run.revoke(0) == lanes
    run.succeeded(lanes[0], 1.0)
    run.failed(lanes[1], GONE, 1.0, 0.0)
    run.vanished(lanes[2], 1.0)
    run.payload(lanes[2], record(2, b"c"))
    run.buried(lanes[2])
    run.bury_failed(lanes[2], 1.0)
    assert (run.settled, run.held_bytes, run.gone, run.partitions) == (0, 0, False, ())
    assert run.actions(1e6) == ([], [], False, [], [])


def test_after_revoke_the_slots_are_free_for_others() -> None:
    run = core(record(0, None), record(1, None), in_flight_max=2)
    run.actions(0.0)
    run.revoke(0)
    run.assign(1, 0)
    run.receive(1, [record(0, None), record(1, None)], 2)
    assert sent(run) == [0, 1]


def test_after_revoke_dead_letter_appends_have_room_again() -> None:
    run = core(record(0), buries_max=1)
    run.failed(send_one(run), REJECTED, 0.0, 0.0)
    bury_one(run)
    assert run.revoke(0) == []
    run.assign(1, 0)
    run.receive(1, [record(0)], 1)
    run.failed(send_one(run), REJECTED, 0.0, 0.0)
    assert bury_one(run).offset == 0


def test_a_probe_that_was_revoked_makes_room_for_another() -> None:
    run = core(record(0, b"a"), record(1, b"b"))
    for lane in run.actions(0.0).sends:
        run.failed(lane, FAILED, 0.0, 0.0)
    send_one(run, 2.0)
    run.revoke(0)
    run.assign(1, 0)
    run.receive(1, [record(0)], 1)
    assert sent(run, 2.0) == [0]


def test_an_owner_begins_again_at_the_committed_offset() -> None:
    run = core(record(0), record(1))
    run.succeeded(send_one(run), 0.0)
    offset = run.commit_of(0).offset
    late = send_one(run)
    run.revoke(0)
    run.assign(0, offset)
    run.receive(0, [record(1)], 2)
    run.succeeded(late, 1.0)
    assert run.commit_of(0).offset == 1
    assert sent(run) == [1]


# -- memory --------------------------------------------------------------------------------------------------------


def test_held_bytes_are_those_of_what_is_ready_or_under_way() -> None:
    run = core(record(0, size=100), record(1, size=10))
    assert run.held_bytes == payload_bytes(record(0, size=100)) + payload_bytes(record(1, size=10))
    run.succeeded(send_one(run), 0.0)
    assert run.held_bytes == payload_bytes(record(1, size=10))
    run.succeeded(send_one(run), 0.0)
    assert run.held_bytes == 0


def test_a_waiting_key_holds_no_payload_and_reads_it_again() -> None:
    run = core(record(0), record(1))
    run.failed(send_one(run), FAILED, 0.0, 0.0)
    run.receive(0, [record(2)], 3)
    assert run.held_bytes == 0
    lane = send_one(run, 4.0)
    assert (lane.head, lane.head_bytes) == (0, 0)
    run.payload(lane, record(0))
    assert (lane.head, lane.head_bytes) == (record(0), payload_bytes(record(0)))
    assert run.held_bytes == payload_bytes(record(0))


def test_a_payload_that_is_not_the_heads_is_ignored() -> None:
    run = core(record(0), record(1))
    run.failed(send_one(run), FAILED, 0.0, 0.0)
    lane = send_one(run, 4.0)
    run.payload(lane, record(1))
    assert (lane.head, run.held_bytes) == (0, 0)


def test_a_payload_that_comes_twice_is_held_once() -> None:
    run = core(record(0))
    run.failed(send_one(run), FAILED, 0.0, 0.0)
    lane = send_one(run, 4.0)
    for _ in range(2):
        run.payload(lane, record(0))
    assert run.held_bytes == payload_bytes(record(0))


def test_what_comes_behind_a_hanging_attempt_holds_no_payload() -> None:
    run = core(record(0), record(1))
    lane = send_one(run)
    run.tick(1.0)
    run.receive(0, [record(2)], 3)
    assert run.held_bytes == payload_bytes(record(0))
    assert list(lane.queue or ()) == [1, 2]


def test_there_is_room_until_the_bytes_are_held() -> None:
    run = core(held_bytes_max=22)
    assert run.has_room
    run.receive(0, [record(0, b"a")], 1)
    assert run.has_room
    run.receive(0, [record(1, b"b")], 2)
    assert not run.has_room


def test_there_is_room_until_the_positions_are_taken() -> None:
    run = core(record(0), positions_max=2)
    run.assign(1, 0)
    assert run.has_room
    run.receive(1, [record(0)], 1)
    assert not run.has_room


# -- when to come back ---------------------------------------------------------------------------------------------


def test_with_nothing_to_do_nobody_is_woken() -> None:
    run = core(record(0))
    assert run.next_wakeup(5.0) == 5.0, "before the first actions there is something to do now"
    send_one(run)
    assert run.next_wakeup(5.0) is None


def test_a_wake_up_is_never_in_the_past() -> None:
    run = core(record(0))
    run.failed(send_one(run), FAILED, 0.0, 0.0)
    assert run.next_wakeup(100.0) == 100.0


def test_with_all_slots_taken_one_is_woken_to_set_the_slow_aside() -> None:
    run = core(record(0, None), record(1, None), in_flight_max=1)
    send_one(run)
    assert run.next_wakeup(0.5) == 1.0
    assert sent(run, 1.0) == [1]


# -- what the next owner is told ---------------------------------------------------------------------------------------


def test_a_key_that_is_held_is_told_once_so_that_it_can_be_remembered() -> None:
    run = core(record(0), on_dead_letter="block")
    lane = send_one(run)
    run.failed(lane, REJECTED, 0.0, 0.0)
    assert run.actions(0.0).holds == [lane]
    assert run.actions(0.0).holds == []


def test_a_held_key_is_held_for_the_next_owner_until_released() -> None:
    run = core(on_dead_letter="block")
    run.revoke(0)
    run.assign(0, 0, held=[b"k"])
    run.receive(0, [record(0), record(1, b"other"), record(2)], 3)
    assert sent(run) == [1]
    assert run.release(0, b"k")
    assert sent(run) == [0]


def test_a_held_key_can_be_released_before_its_event_was_read_again() -> None:
    run = core(on_dead_letter="block")
    run.revoke(0)
    run.assign(0, 0, held=[b"k"])
    assert run.release(0, b"k")
    assert not run.release(0, b"k")
    run.receive(0, [record(0)], 1)
    assert sent(run) == [0]


def test_a_spent_head_whose_key_was_released_meanwhile_is_tried_afresh() -> None:
    run = core(on_dead_letter="block")
    run.revoke(0)
    run.assign(0, 0, attempts={0: (9, 0.0), 1: (9, 0.0)}, held=[])
    run.receive(0, [record(0), record(1, None)], 2)
    (lane,) = run.actions(0.0).sends
    assert (lane.offset, lane.attempts) == (0, 0)
    assert run.commit_of(0).attempts == {1: (9, 0.0)}


def test_events_without_a_key_can_be_released_before_they_are_read_again() -> None:
    run = core(on_dead_letter="block")
    run.revoke(0)
    run.assign(0, 0, attempts={0: (9, 0.0)}, held=[])
    run.release(0, None)
    run.receive(0, [record(0, None)], 1)
    assert sent(run) == [0]


def test_a_parked_key_that_is_released_goes_on_behind_what_is_being_buried() -> None:
    run = core(record(0), record(1), record(2), on_dead_letter="park")
    run.failed(send_one(run), REJECTED, 0.0, 0.0)
    lane = bury_one(run)
    assert run.release(0, b"k")
    assert sent(run) == []
    run.buried(lane)
    assert sent(run) == [1]


# -- room -------------------------------------------------------------------------------------------------------------


def test_one_of_several_partitions_may_take_what_is_left_beside_it() -> None:
    run = core(positions_max=10)
    run.assign(1, 0)
    run.receive(0, [record(at) for at in range(5)], 5)
    assert run.has_room_for(0)
    run.receive(0, [record(5)], 6)
    assert not run.has_room_for(0)
    assert run.has_room_for(1)


def test_the_only_partition_may_take_all() -> None:
    run = core(positions_max=10)
    run.receive(0, [record(at) for at in range(9)], 9)
    assert run.has_room_for(0)
    run.receive(0, [record(9)], 10)
    assert not run.has_room_for(0)
