"""The breaker opens when nothing succeeds, and lets single probes through."""

from __future__ import annotations

import pytest

from pipeline.delivery.breaker import Breaker, BreakerSettings, BreakerState

SETTINGS = BreakerSettings(failures_to_open=3, lanes_to_open=2, probe_wait_s=1.0, probe_wait_s_max=4.0)
NO_JITTER = 0.9999999999


def opened(now: float = 0.0, retry_after_s: float = 0.0) -> Breaker:
    """Open since ``now``, the first probe due a second later."""
    breaker = Breaker(SETTINGS)
    for lane in (1, 2, 1):
        breaker.failed(lane, now, NO_JITTER, retry_after_s)
    assert breaker.state is BreakerState.OPEN
    return breaker


def test_a_closed_breaker_lets_everything_through() -> None:
    assert Breaker(SETTINGS).may_send(0.0)


def test_failures_over_several_lanes_open_it() -> None:
    breaker = Breaker(SETTINGS)
    counted = [(breaker.failed(lane, 0.0, 0.0), breaker.state) for lane in (1, 2, 3)]
    assert counted == [
        (True, BreakerState.CLOSED),
        (True, BreakerState.CLOSED),
        (True, BreakerState.OPEN),  # the one that opens it still counts
    ]


def test_one_lane_alone_never_opens_it() -> None:
    breaker = Breaker(SETTINGS)
    for _ in range(100):
        breaker.failed(1, 0.0, 0.0)
    assert breaker.state is BreakerState.CLOSED


def test_a_success_between_keeps_it_closed() -> None:
    breaker = Breaker(SETTINGS)
    for lane in range(100):
        breaker.failed(lane, 0.0, 0.0)
        breaker.failed(lane + 1, 0.0, 0.0)
        breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED


@pytest.mark.parametrize(("draw", "probe_at"), [(0.0, 10.5), (0.5, 10.75), (NO_JITTER, 11.0)])
def test_the_first_probe_waits_with_jitter(draw: float, probe_at: float) -> None:
    breaker = Breaker(SETTINGS)
    for lane in (1, 2, 3):
        breaker.failed(lane, 10.0, draw)
    assert breaker.probe_at == pytest.approx(probe_at)


def test_while_open_nothing_is_sent_until_the_probe_is_due() -> None:
    breaker = opened()
    assert not breaker.may_send(0.9)
    assert breaker.may_send(1.0)


def test_there_is_one_probe_at_a_time() -> None:
    breaker = opened()
    breaker.sent(7)
    assert breaker.state is BreakerState.PROBING
    assert not breaker.may_send(100.0)


def test_an_attempt_sent_while_closed_is_no_probe() -> None:
    breaker = Breaker(SETTINGS)
    breaker.sent(7)
    assert breaker.state is BreakerState.CLOSED


def test_failures_while_open_do_not_count() -> None:
    breaker = opened()
    assert not breaker.failed(9, 0.5, 0.0)
    breaker.sent(7)
    assert not breaker.failed(7, 1.5, 0.0)


def test_failed_probes_double_the_wait_up_to_its_limit() -> None:
    breaker, now, waits = opened(), 0.0, []
    for _ in range(4):
        now = breaker.probe_at
        breaker.sent(7)
        breaker.failed(7, now, NO_JITTER)
        waits.append(round(breaker.probe_at - now))
    assert waits == [2, 4, 4, 4]


def test_a_late_failure_does_not_pass_for_the_probe() -> None:
    breaker = opened()
    breaker.sent(7)
    assert not breaker.failed(1, 1.1, 0.0)
    assert breaker.state is BreakerState.PROBING


def test_a_probe_that_succeeds_closes_it() -> None:
    breaker = opened()
    breaker.sent(7)
    breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED
    assert breaker.failed(7, 2.0, 0.0)


def test_any_late_success_closes_it() -> None:
    breaker = opened()
    breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED


def test_a_success_sets_the_wait_back() -> None:
    breaker = opened()
    breaker.sent(7)
    breaker.failed(7, 1.0, NO_JITTER)
    breaker.succeeded()
    for lane in (1, 2, 3):
        breaker.failed(lane, 50.0, NO_JITTER)
    assert breaker.probe_at == pytest.approx(51.0)


def test_a_success_starts_the_count_afresh() -> None:
    breaker = opened()
    breaker.succeeded()
    breaker.failed(1, 5.0, 0.0)
    breaker.failed(2, 5.0, 0.0)
    assert breaker.state is BreakerState.CLOSED


def test_no_probe_before_the_time_asked_for() -> None:
    assert opened(retry_after_s=30.0).probe_at == 30.0


def test_the_longest_time_asked_for_since_the_last_success_counts() -> None:
    breaker = Breaker(SETTINGS)
    breaker.failed(1, 0.0, 0.0, 60.0)
    breaker.failed(2, 1.0, 0.0)
    breaker.failed(3, 2.0, 0.0, 10.0)
    assert breaker.probe_at == 60.0


def test_a_late_failure_that_asks_for_time_puts_the_probe_off() -> None:
    breaker = opened()
    breaker.failed(9, 0.5, 0.0, 20.0)
    assert breaker.probe_at == 20.5


def test_a_success_ends_what_was_asked_for() -> None:
    breaker = opened(retry_after_s=600.0)
    breaker.succeeded()
    for lane in (1, 2, 3):
        breaker.failed(lane, 5.0, NO_JITTER)
    assert breaker.probe_at == pytest.approx(6.0)


def test_a_probe_called_off_makes_room_for_another() -> None:
    breaker = opened()
    breaker.sent(7)
    breaker.dropped(7)
    assert breaker.state is BreakerState.OPEN
    assert breaker.may_send(1.0)


def test_an_attempt_called_off_beside_the_probe_changes_nothing() -> None:
    breaker = opened()
    breaker.sent(7)
    breaker.dropped(8)
    assert breaker.state is BreakerState.PROBING


def test_after_a_probe_called_off_what_was_asked_for_still_counts() -> None:
    breaker = opened()
    breaker.sent(7)
    breaker.failed(1, 1.0, 0.0, 20.0)
    breaker.dropped(7)
    assert breaker.probe_at == 21.0


def test_calling_off_while_closed_changes_nothing() -> None:
    breaker = Breaker(SETTINGS)
    breaker.dropped(7)
    assert breaker.state is BreakerState.CLOSED
