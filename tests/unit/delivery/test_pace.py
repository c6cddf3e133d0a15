"""Which lanes begin an attempt now, and when the next may."""

from __future__ import annotations

import pytest

from pipeline.delivery.breaker import Breaker, BreakerSettings, BreakerState
from pipeline.delivery.lanes import Lane, LaneState, payload_bytes
from pipeline.delivery.limiter import Limiter, LimiterSettings
from pipeline.delivery.pace import Pace
from pipeline.delivery.queues import Queues
from pipeline.delivery.waiting import NEVER
from tests.unit.delivery.making import lane, part, record


class Run:
    """A pace with its parts at hand and ``lanes`` ready lanes."""

    def __init__(self, lanes: int, in_flight_max: int = 2, rate_per_s: float | None = None) -> None:
        self.breaker = Breaker(BreakerSettings(failures_to_open=2, lanes_to_open=2))
        self.limiter: Limiter[Lane] = Limiter(
            LimiterSettings(in_flight_max=in_flight_max, slow_max=2, rate_per_s=rate_per_s)
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
            self.breaker.failed(number, now, 0.9999999999)


def test_as_many_lanes_begin_as_there_are_slots() -> None:
    run = Run(lanes=5)
    assert run.pace.begin(0.0) == run.lanes[:2]
    assert run.pace.begin(0.0) == []


def test_an_attempt_that_ends_makes_room() -> None:
    run = Run(lanes=5)
    run.pace.begin(0.0)
    run.pace.end(run.lanes[0], 0.1)
    assert run.part.in_flight == 1
    assert run.pace.begin(0.1) == run.lanes[2:3]


def test_hanging_attempts_make_room() -> None:
    run = Run(lanes=5)
    run.pace.begin(0.0)
    assert run.pace.begin(1.0) == run.lanes[2:4]
    assert {each.state for each in run.lanes[:2]} == {LaneState.SLOW}


def test_what_stands_behind_a_hanging_attempt_leaves_memory() -> None:
    run = Run(lanes=1)
    run.pace.begin(0.0)
    run.lanes[0].push(record(9))
    run.part.hold(payload_bytes(record(9)))
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
    run.pace.end(probe, 1.1)
    run.breaker.failed(id(probe), 1.1, 0.0)
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
    run.pace.begin(0.0)
    run.pace.begin(1.0)
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
