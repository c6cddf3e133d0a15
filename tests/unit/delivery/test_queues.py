"""Where lanes stand, and how they move."""

from __future__ import annotations

from pipeline.delivery.lanes import Lane, Part
from pipeline.delivery.queues import Queues
from pipeline.delivery.states import PROVEN, LaneState
from pipeline.delivery.waiting import NEVER
from tests.unit.delivery.making import lane, part, record


def ready(queues: Queues, *lanes: Lane) -> None:
    for each in lanes:
        queues.make_ready(each)


def test_ready_lanes_are_sent_first_in_first_out() -> None:
    queues, here = Queues(), part()
    lanes = [lane(here) for _ in range(3)]
    ready(queues, *lanes)
    assert queues.take_sends(2, 99) == lanes[:2]
    assert queues.take_sends(9, 99) == lanes[2:]
    assert queues.take_sends(9, 99) == []


def test_a_waiting_append_is_not_taken_for_a_waiting_attempt() -> None:
    queues, each = Queues(), lane(part())
    queues.wait_to_bury(each, 10.0)
    assert each.state is LaneState.BURY_WAITING
    assert not queues.ready
    assert not queues.retries


def test_lanes_sent_are_in_flight_and_counted() -> None:
    queues, here = Queues(), part()
    each = lane(here)
    ready(queues, each)
    queues.take_sends(1, 99)
    assert each.state is LaneState.IN_FLIGHT
    assert (here.in_flight, here.burying) == (1, 0)


def test_buries_are_taken_first_in_first_out_and_counted() -> None:
    queues, here = Queues(), part()
    lanes = [lane(here) for _ in range(3)]
    for each in lanes:
        queues.bury(each)
    assert queues.take_buries(2) == lanes[:2]
    assert {each.state for each in lanes} == {LaneState.BURYING}
    assert (here.in_flight, here.burying) == (2, 2)


def test_waiting_lanes_are_ready_when_due() -> None:
    queues, here = Queues(), part()
    ours, asked = lane(here), lane(here)
    queues.wait(ours, 10.0)
    queues.wait_as_asked(asked, 20.0)
    assert {ours.state, asked.state} == {LaneState.WAITING}
    queues.wake(9.0)
    assert not queues.ready
    queues.wake(10.0)
    queues.wake(20.0)
    assert queues.take_sends(9, 99) == [ours, asked]


def test_a_dead_letter_append_is_tried_again_when_due() -> None:
    queues, each = Queues(), lane(part())
    queues.wait_to_bury(each, 10.0)
    queues.wake(9.9)
    assert queues.take_buries(1) == []
    queues.wake(10.0)
    assert each.state is LaneState.BURYING
    assert queues.take_buries(1) == [each]


def test_the_next_due_is_the_soonest_of_all_rooms() -> None:
    queues, here = Queues(), part()
    assert queues.next_due == NEVER
    queues.wait_as_asked(lane(here), 30.0)
    queues.wait(lane(here), 20.0)
    queues.wait_to_bury(lane(here), 10.0)
    dues = []
    while queues.next_due != NEVER:
        dues.append(queues.next_due)
        queues.wake(queues.next_due)
    assert dues == [10.0, 20.0, 30.0]


def test_a_held_lane_waits_for_an_operator_only() -> None:
    queues, here = Queues(), part()
    each = lane(here)
    queues.hold(each)
    assert each.state is LaneState.HELD
    assert here.held == {each}
    assert (queues.next_due, list(queues.ready)) == (NEVER, [])


def test_a_hanging_lane_is_slow() -> None:
    queues, each = Queues(), lane(part())
    queues.set_aside(each)
    assert each.state is LaneState.SLOW


def test_a_draining_partition_begins_nothing_more() -> None:
    queues, here = Queues(), part()
    here.draining = True
    lanes = [lane(here) for _ in range(5)]
    queues.make_ready(lanes[0])
    queues.bury(lanes[1])
    queues.wait(lanes[2], 1.0)
    queues.wait_as_asked(lanes[3], 1.0)
    queues.wait_to_bury(lanes[4], 1.0)
    queues.wake(5.0)
    assert queues.take_sends(9, 99) == queues.take_buries(9) == []
    assert queues.next_due == NEVER


def test_the_lanes_of_a_partition_leave_every_queue() -> None:
    queues, here, there = Queues(), part(), part()
    for each in (here, there):
        queues.make_ready(lane(each))
        queues.bury(lane(each))
        queues.wait(lane(each), 1.0)
        queues.wait_as_asked(lane(each), 1.0)
        queues.wait_to_bury(lane(each), 1.0)
    queues.drop(there)
    queues.wake(1.0)
    left = [*queues.take_sends(99, 99), *queues.take_buries(99)]
    assert len(left) == 5
    assert {each.part for each in left} == {here}


def test_a_ready_lane_is_the_probe() -> None:
    queues, here = Queues(), part()
    first, second, waiting = (lane(here) for _ in range(3))
    ready(queues, first, second)
    queues.wait(waiting, 50.0)
    assert queues.take_probe(None) is first
    assert first.state is LaneState.IN_FLIGHT
    assert here.in_flight == 1


def test_the_next_probe_is_another_lane() -> None:
    queues, here = Queues(), part()
    last, other = lane(here), lane(here)
    ready(queues, last, other)
    assert queues.take_probe(last) is other


def test_with_no_other_ready_a_waiting_lane_is_called() -> None:
    queues, here = Queues(), part()
    last, soon, late = (lane(here) for _ in range(3))
    ready(queues, last)
    queues.wait(late, 60.0)
    queues.wait(soon, 50.0)
    assert queues.take_probe(last) is soon


def test_the_only_lane_probes_again() -> None:
    queues, last = Queues(), lane(part())
    ready(queues, last)
    assert queues.take_probe(last) is last


def test_a_lane_that_was_asked_to_wait_is_never_called_early() -> None:
    queues, here = Queues(), part()
    queues.wait_as_asked(lane(here), 50.0)
    ready(queues, last := lane(here))
    assert queues.take_probe(last) is last


def waiting(here: Part, offset: int) -> Lane:
    """A lane that kept its position only."""
    made = lane(here, offset)
    made.forget_payloads()
    return made


def test_a_lane_without_its_payload_stands_in_no_line_before_it_is_read() -> None:
    queues, here = Queues(fetches_max=2), part()
    each = waiting(here, 0)
    queues.make_ready(each)
    assert (queues.take_sends(9, 99), each.state) == ([], LaneState.FETCHING)
    assert queues.take_fetches() == [each]
    each.head = record(0)
    queues.has_payload(each)
    assert queues.take_sends(9, 99) == [each]


def test_no_more_are_read_again_than_may_be_held_until_they_are_sent() -> None:
    queues, here = Queues(fetches_max=2), part()
    lanes = [waiting(here, offset) for offset in range(4)]
    ready(queues, *lanes)
    assert queues.take_fetches() == lanes[:2]
    lanes[0].head = record(0)
    queues.has_payload(lanes[0])
    assert queues.take_fetches() == []
    assert queues.take_sends(9, 99) == lanes[:1]
    assert queues.take_fetches() == lanes[2:3]


def test_lanes_nobody_knows_wait_as_positions_but_for_those_that_may_be_read_again() -> None:
    queues, here = Queues(fetches_max=1), part()
    lanes = [lane(here, offset) for offset in range(3)]
    ready(queues, *lanes)
    queues.forget_payloads_of_new()
    assert [each.head_bytes > 0 for each in lanes] == [True, False, False]
    assert here.held_bytes == lanes[0].head_bytes
    assert list(queues.ready) == lanes[:1]
    assert list(queues.other_rereads.line) == lanes[1:]


def test_what_was_read_again_is_not_forgotten_again() -> None:
    queues, here = Queues(fetches_max=1), part()
    again = waiting(here, 0)
    queues.make_ready(again)
    queues.take_fetches()
    again.head = record(0)
    queues.has_payload(again)
    ready(queues, *(lane(here, offset) for offset in range(1, 5)))
    queues.forget_payloads_of_new()
    assert again.head == record(0)
    assert queues.take_fetches() == []


def test_a_partition_that_is_dropped_is_read_again_no_more() -> None:
    queues, here, there = Queues(fetches_max=4), part(0), part(1)
    ready(queues, waiting(here, 0), waiting(there, 0))
    taken = queues.take_fetches()
    ready(queues, waiting(here, 1))
    queues.drop(here)
    assert (queues.other_rereads.fetching, list(queues.other_rereads.line)) == ({taken[1]: 1}, [])


def test_lanes_that_just_delivered_are_read_again_beside_all_others() -> None:
    queues, here = Queues(fetches_max=1), part()
    others, proven = [waiting(here, 0), waiting(here, 1)], waiting(here, 2)
    proven.standing = PROVEN
    ready(queues, *others, proven)
    assert queues.take_fetches() == [proven, others[0]]


def test_the_room_that_heads_leave_is_shared_out_among_what_stands_behind_lanes_that_deliver() -> None:
    queues, here = Queues(fetches_max=8), part()
    lanes = [lane(here, *range(first, first + 9)) for first in (0, 10)]
    for each in lanes:
        each.standing = PROVEN
        each.forget_payloads()
    ready(queues, *lanes)
    assert queues.take_fetches() == lanes
    assert [queues.read_with(each) for each in lanes] == [[1, 2, 3], [11, 12, 13]]
    queues.has_no_payload(lanes[0])
    assert queues.read_with(lanes[0]) == []


def test_behind_lanes_nobody_knows_to_be_better_nothing_is_read() -> None:
    queues, here = Queues(fetches_max=8), part()
    each = lane(here, 0, 1, 2)
    each.forget_payloads()
    ready(queues, each)
    assert (queues.take_fetches(), queues.read_with(each)) == ([each], [])


def test_heads_are_read_before_what_stands_behind_any() -> None:
    queues, here = Queues(fetches_max=2), part()
    lanes = [lane(here, first, first + 1) for first in (0, 2, 4)]
    for each in lanes:
        each.standing = PROVEN
        each.forget_payloads()
    ready(queues, *lanes)
    assert queues.take_fetches() == lanes[:2]
    assert [queues.read_with(each) for each in lanes] == [[], [], []]


def test_partitions_take_turns_in_being_read_again_and_in_burying() -> None:
    queues, hot, other = Queues(fetches_max=2), part(0), part(1)
    lanes = [waiting(hot, offset) for offset in range(5)]
    late = waiting(other, 0)
    ready(queues, *lanes, late)
    assert queues.take_fetches() == [lanes[0], late]
    for each in (*lanes, late):
        queues.bury(each)
    assert queues.take_buries(2) == [lanes[0], late]


def test_a_probe_is_a_lane_never_tried_where_there_is_one() -> None:
    queues, here = Queues(), part()
    failed, fresh = lane(here, 0), lane(here, 1)
    failed.first_failed_at = 1.0
    ready(queues, failed, fresh)
    assert queues.take_probe(None) is fresh
    assert queues.take_probe(fresh) is failed
