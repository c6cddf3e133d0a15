"""Which lanes begin an attempt now, and when the next may."""

from __future__ import annotations

import pytest

from pipeline.delivery.breaker import Breaker, BreakerState, Failure
from pipeline.delivery.lanes import Lane, payload_bytes
from pipeline.delivery.limiter import Limiter
from pipeline.delivery.pace import Pace
from pipeline.delivery.queues import Queues
from pipeline.delivery.settings import BreakerSettings, LimiterSettings
from pipeline.delivery.states import PROVEN, SUSPECT, LaneState
from pipeline.delivery.waiting import NEVER
from tests.unit.delivery.making import lane, part, record


class Run:
    """A pace with its parts at hand and ``lanes`` ready lanes."""

    def __init__(self, lanes: int, in_flight_max: int = 2, rate_per_s: float | None = None, slow_max: int = 2) -> None:
        self.breaker = Breaker(BreakerSettings(failures_to_open=2, lanes_to_open=2))
        self.limiter: Limiter[Lane] = Limiter(
            LimiterSettings(in_flight_max=in_flight_max, slow_max=slow_max, rate_per_s=rate_per_s)
        )
        self.queues = Queues()
        self.pace = Pace(self.breaker, self.limiter, self.queues)
        self.part = part()
        self.lanes = [lane(self.part, number) for number in range(lanes)]
        for each in self.lanes:
            self.queues.make_ready(each)

    def open(self, now: float = 0.0) -> None:
        """The endpoint is down; the first probe is due at 1.0."""
        for number in (1, 2):
            self.breaker.failed(Failure(number), now, 0.9999999999)


def test_as_many_lanes_begin_as_there_are_slots() -> None:
    run = Run(lanes=5)
    assert run.pace.begin(0.0) == run.lanes[:2]
    assert run.pace.begin(0.0) == []


def test_an_attempt_that_ends_makes_room() -> None:
    run = Run(lanes=5)
    run.pace.begin(0.0)
    run.pace.end(run.lanes[0], 0.1, delivered=True)
    assert run.part.in_flight == 1
    assert run.pace.begin(0.1) == run.lanes[2:3]


def test_hanging_attempts_make_room() -> None:
    run = Run(lanes=5, slow_max=4)
    run.pace.begin(0.0)
    assert run.pace.begin(1.0) == run.lanes[2:4]
    assert {each.state for each in run.lanes[:2]} == {LaneState.SLOW}


def test_what_stands_behind_a_hanging_attempt_leaves_memory() -> None:
    run = Run(lanes=1)
    run.pace.begin(0.0)
    run.lanes[0].push(record(9))
    assert run.part.held_bytes == 2 * payload_bytes(record(0))
    run.pace.set_slow_aside(1.0)
    assert list(run.lanes[0].queue or ()) == [9]
    assert run.part.held_bytes == payload_bytes(record(0))


def test_with_slots_free_there_is_nothing_to_wait_for() -> None:
    run = Run(lanes=1)
    run.pace.begin(0.0)
    assert run.pace.next_at(0.0) == NEVER


def test_with_slots_full_the_next_begins_when_one_hangs() -> None:
    run = Run(lanes=3)
    run.pace.begin(0.0)
    assert run.pace.next_at(0.2) == 1.0


def test_with_a_rate_the_next_begins_with_the_next_token() -> None:
    run = Run(lanes=3, rate_per_s=4.0)
    assert len(run.pace.begin(10.0)) == 1
    assert run.pace.next_at(10.0) == pytest.approx(10.25)
    assert len(run.pace.begin(run.pace.next_at(10.0))) == 1


def test_while_the_breaker_is_open_one_lane_probes() -> None:
    run = Run(lanes=5)
    run.open()
    assert run.pace.begin(0.9) == []
    assert run.pace.next_at(0.9) == pytest.approx(1.0)
    assert run.pace.begin(1.0) == run.lanes[:1]
    assert run.breaker.state is BreakerState.PROBING
    assert run.pace.begin(50.0) == []
    assert run.pace.next_at(50.0) == NEVER


def test_the_next_probe_is_another_lanes() -> None:
    run = Run(lanes=3)
    run.open()
    (probe,) = run.pace.begin(1.0)
    run.pace.end(probe, 1.1, delivered=False)
    run.breaker.failed(Failure(id(probe)), 1.1, 0.0)
    run.queues.make_ready(probe)
    assert run.pace.begin(50.0) == [run.lanes[1]]


def test_with_nothing_ready_a_waiting_lane_probes_before_its_time() -> None:
    run = Run(lanes=0)
    waiting = lane(run.part)
    run.queues.wait(waiting, 1000.0)
    run.open()
    assert run.pace.next_at(0.0) == pytest.approx(1.0)
    assert run.pace.begin(1.0) == [waiting]


def test_a_waiting_lane_is_not_called_while_the_breaker_is_closed() -> None:
    run = Run(lanes=0)
    run.queues.wait(lane(run.part), 1000.0)
    assert run.pace.begin(1.0) == []
    assert run.pace.next_at(1.0) == NEVER


def test_with_every_slot_taken_the_probe_waits_for_one_and_nobody_is_woken_in_vain() -> None:
    run = Run(lanes=7)
    run.queues.drop(run.part)
    for each in run.lanes:
        each.standing = PROVEN
        run.queues.make_ready(each)
    run.pace.begin(0.0)
    run.pace.begin(1.0)
    assert (len(run.limiter.in_flight), len(run.limiter.slow)) == (2, 2)
    run.open(1.0)
    assert run.pace.begin(9.0) == []
    assert run.pace.next_at(9.0) == NEVER


def test_an_attempt_called_off_frees_its_slot_and_the_probe() -> None:
    run = Run(lanes=2)
    run.open()
    (probe,) = run.pace.begin(1.0)
    run.pace.call_off(probe)
    assert run.part.in_flight == 0
    assert run.pace.begin(1.0) == run.lanes[1:]


# -- lanes that hang -------------------------------------------------------------------------------------------------


def test_while_the_slow_cap_is_full_unknown_lanes_take_half_the_slots() -> None:
    run = Run(lanes=12, in_flight_max=4, slow_max=4)
    run.pace.begin(0.0)
    run.pace.begin(1.0)
    assert (len(run.limiter.slow), len(run.limiter.in_flight)) == (4, 2)
    assert run.pace.next_at(1.0) == NEVER


def test_a_lane_that_delivers_goes_on_while_others_hang() -> None:
    run = Run(lanes=12, in_flight_max=4, slow_max=4)
    run.pace.begin(0.0)
    good, other = run.pace.begin(1.0)
    run.pace.end(good, 1.01, delivered=True)
    run.queues.make_ready(good)
    assert good in run.pace.begin(1.01)
    assert other.state is LaneState.IN_FLIGHT


def test_a_lane_that_hung_begins_in_the_slow_cap_and_takes_no_slot() -> None:
    run = Run(lanes=1)
    (hung,) = run.pace.begin(0.0)
    run.pace.end(hung, 5.0, delivered=False)
    assert hung.standing is SUSPECT
    run.queues.make_ready(hung)
    assert run.pace.begin(5.0) == [hung]
    assert (hung.state, list(run.limiter.slow), run.limiter.free(5.0)) == (LaneState.SLOW, [hung], 2)


def test_a_lane_that_hung_and_answers_in_time_again_is_like_the_others() -> None:
    run = Run(lanes=1)
    (hung,) = run.pace.begin(0.0)
    run.pace.end(hung, 5.0, delivered=True)
    run.queues.make_ready(hung)
    run.pace.begin(5.0)
    run.pace.end(hung, 5.1, delivered=True)
    assert hung.standing is PROVEN


def test_however_many_hang_suspects_get_their_turn() -> None:
    run = Run(lanes=9, in_flight_max=2, slow_max=4)
    run.pace.begin(0.0)
    hung = run.lanes[0]
    run.pace.begin(1.0)
    run.pace.begin(2.0)
    run.pace.end(hung, 2.0, delivered=False)
    run.queues.make_ready(hung)
    assert hung in run.pace.begin(9.0)


def test_where_hanging_has_no_cap_of_its_own_nobody_is_suspect() -> None:
    run = Run(lanes=1, slow_max=0)
    (hung,) = run.pace.begin(0.0)
    run.pace.end(hung, 60.0, delivered=False)
    run.queues.make_ready(hung)
    assert run.pace.begin(60.0) == [hung]


def test_of_a_rates_tokens_suspects_and_others_get_half_each() -> None:
    run = Run(lanes=9, in_flight_max=9, slow_max=40, rate_per_s=1.0)
    run.queues.drop(run.part)
    for each in run.lanes[:4]:
        each.standing = SUSPECT
    for each in run.lanes:
        run.queues.make_ready(each)
    begun = [lane.standing for now in range(4) for lane in run.pace.begin(float(now))]
    assert (len(begun), begun.count(SUSPECT)) == (4, 2)
