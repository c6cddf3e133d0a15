"""What becomes of a lane whose attempt failed."""

from __future__ import annotations

import pytest

from pipeline.delivery.breaker import Breaker, BreakerState, Failure
from pipeline.delivery.lanes import Lane
from pipeline.delivery.outcome import Fate, Times, fate_of
from pipeline.delivery.settings import BreakerSettings
from pipeline.delivery.verdict import Verdict
from pipeline.subscription import RetryPolicy
from tests.unit.delivery.making import FAILED, GONE, REJECTED, asked, lane, part

POLICY = RetryPolicy(schedule_s=(4.0, 30.0), give_up_after_s=1000.0)


def closed() -> Breaker:
    return Breaker(BreakerSettings())


def opened() -> Breaker:
    breaker = Breaker(BreakerSettings(failures_to_open=1, lanes_to_open=1))
    breaker.failed(Failure(0), 0.0, 0.0)
    return breaker


def fate(of: Lane, verdict: Verdict, breaker: Breaker, now: float = 100.0, draw: float = 0.0) -> tuple[Fate, float]:
    return fate_of(of, verdict, POLICY, breaker, times=Times(now, now, 0.05), draw=draw)


def test_a_failure_waits_by_the_schedule() -> None:
    each = lane(part())
    assert fate(each, FAILED, closed(), draw=0.5) == (Fate.WAIT, 102.0)
    assert (each.attempts, each.first_failed_at, each.last_failed_at) == (1, 100.0, 100.0)
    assert each.verdict is FAILED


def test_the_next_failure_waits_longer_and_the_first_is_remembered() -> None:
    each, breaker = lane(part()), closed()
    fate(each, FAILED, breaker, now=100.0)
    assert fate(each, FAILED, breaker, now=104.0) == (Fate.WAIT, 134.0)
    assert (each.attempts, each.first_failed_at, each.last_failed_at) == (2, 100.0, 104.0)


def test_a_spent_schedule_is_the_end() -> None:
    each, breaker = lane(part()), closed()
    fates = [fate(each, FAILED, breaker)[0] for _ in range(3)]
    assert fates == [Fate.WAIT, Fate.WAIT, Fate.DEAD]
    assert (each.attempts, each.expired) == (3, False)


def test_a_rejected_event_is_at_its_end_at_once() -> None:
    each, breaker = lane(part()), closed()
    assert fate(each, REJECTED, breaker)[0] is Fate.DEAD
    assert each.attempts == 1
    assert each.first_failed_at == 100.0


def test_rejections_never_open_the_breaker() -> None:
    breaker = Breaker(BreakerSettings(failures_to_open=1, lanes_to_open=1))
    fate(lane(part()), REJECTED, breaker)
    assert breaker.state is BreakerState.CLOSED


def test_while_the_breaker_is_open_failures_do_not_count() -> None:
    each = lane(part())
    assert fate(each, FAILED, opened()) == (Fate.AGAIN, 100.0)
    assert (each.attempts, each.first_failed_at) == (0, 100.0)


@pytest.mark.parametrize(("breaker", "attempts"), [(closed(), 1), (opened(), 0)])
def test_an_event_too_old_is_at_its_end_open_or_closed(breaker: Breaker, attempts: int) -> None:
    each = lane(part())
    each.first_failed_at = 100.0
    assert fate(each, FAILED, breaker, now=1100.0)[0] is Fate.DEAD
    assert (each.attempts, each.expired) == (attempts, True)


def test_a_failure_that_asks_for_time_gets_it() -> None:
    assert fate(lane(part()), asked(60.0), closed()) == (Fate.WAIT_AS_ASKED, 160.0)


def test_the_schedules_wait_stands_when_it_is_longer() -> None:
    assert fate(lane(part()), asked(1.0), closed()) == (Fate.WAIT_AS_ASKED, 104.0)


def test_what_was_asked_for_counts_while_the_breaker_is_open_too() -> None:
    assert fate(lane(part()), asked(60.0), opened()) == (Fate.WAIT_AS_ASKED, 160.0)


def test_to_ask_for_no_time_is_not_to_ask() -> None:
    assert fate(lane(part()), asked(0.0), closed()) == (Fate.WAIT, 104.0)


def test_asking_for_time_does_not_prolong_a_spent_schedule() -> None:
    each = lane(part())
    each.attempts = 2
    assert fate(each, asked(60.0), closed())[0] is Fate.DEAD


def test_gone_counts_for_nothing_and_buries_nothing() -> None:
    each = lane(part())
    assert fate(each, GONE, closed())[0] is Fate.GONE
    assert (each.attempts, each.first_failed_at) == (0, None)


@pytest.mark.parametrize("verdict", [REJECTED, GONE])
def test_a_probe_that_says_nothing_of_the_endpoint_makes_room_for_another(verdict: Verdict) -> None:
    breaker, each = opened(), lane(part())
    breaker.sent(id(each))
    fate(each, verdict, breaker)
    assert breaker.state is BreakerState.OPEN
