"""The breaker opens when nothing succeeds, and lets single probes through."""

from __future__ import annotations

import pytest

from pipeline.delivery.breaker import Breaker, BreakerState, Failure
from pipeline.delivery.settings import BreakerSettings

SETTINGS = BreakerSettings(failures_to_open=3, lanes_to_open=2, probe_wait_s=1.0, probe_wait_s_max=4.0)
NO_JITTER = 0.9999999999


def opened(now: float = 0.0, retry_after_s: float = 0.0) -> Breaker:
    """Open since ``now``, the first probe due a second later."""
    breaker = Breaker(SETTINGS)
    for lane in (1, 2, 1):
        breaker.failed(Failure(lane, retry_after_s=retry_after_s), now, NO_JITTER)
    assert breaker.state is BreakerState.OPEN
    return breaker


def test_a_closed_breaker_lets_everything_through() -> None:
    assert Breaker(SETTINGS).may_send(0.0)


def test_failures_over_several_lanes_open_it() -> None:
    breaker = Breaker(SETTINGS)
    counted = [(breaker.failed(Failure(lane), 0.0, 0.0), breaker.state) for lane in (1, 2, 3)]
    assert counted == [
        (True, BreakerState.CLOSED),
        (True, BreakerState.CLOSED),
        (True, BreakerState.OPEN),  # the one that opens it still counts
    ]


def test_one_lane_alone_never_opens_it() -> None:
    breaker = Breaker(SETTINGS)
    for _ in range(100):
        breaker.failed(Failure(1), 0.0, 0.0)
    assert breaker.state is BreakerState.CLOSED


def test_a_success_between_keeps_it_closed() -> None:
    breaker = Breaker(SETTINGS)
    for lane in range(100):
        breaker.failed(Failure(lane), 0.0, 0.0)
        breaker.failed(Failure(lane + 1), 0.0, 0.0)
        breaker.succeeded(0.0)
    assert breaker.state is BreakerState.CLOSED


@pytest.mark.parametrize(("draw", "probe_at"), [(0.0, 10.5), (0.5, 10.75), (NO_JITTER, 11.0)])
def test_the_first_probe_waits_with_jitter(draw: float, probe_at: float) -> None:
    breaker = Breaker(SETTINGS)
    for lane in (1, 2, 3):
        breaker.failed(Failure(lane), 10.0, draw)
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
    assert not breaker.failed(Failure(9), 0.5, 0.0)
    breaker.sent(7)
    assert not breaker.failed(Failure(7), 1.5, 0.0)


def test_failed_probes_double_the_wait_up_to_its_limit() -> None:
    breaker, now, waits = opened(), 0.0, []
    for _ in range(4):
        now = breaker.probe_at
        breaker.sent(7)
        breaker.failed(Failure(7), now, NO_JITTER)
        waits.append(round(breaker.probe_at - now))
    assert waits == [2, 4, 4, 4]


def test_a_late_failure_does_not_pass_for_the_probe() -> None:
    breaker = opened()
    breaker.sent(7)
    assert not breaker.failed(Failure(1), 1.1, 0.0)
    assert breaker.state is BreakerState.PROBING


def test_a_probe_that_succeeds_closes_it() -> None:
    breaker = opened()
    breaker.sent(7)
    breaker.succeeded(0.0)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.failed(Failure(7), 2.0, 0.0)


def test_any_late_success_closes_it() -> None:
    breaker = opened()
    breaker.succeeded(0.0)
    assert breaker.state is BreakerState.CLOSED


def test_a_success_sets_the_wait_back() -> None:
    breaker = opened()
    breaker.sent(7)
    breaker.failed(Failure(7), 1.0, NO_JITTER)
    breaker.succeeded(0.0)
    for lane in (1, 2, 3):
        breaker.failed(Failure(lane), 50.0, NO_JITTER)
    assert breaker.probe_at == pytest.approx(51.0)


def test_a_success_starts_the_count_afresh() -> None:
    breaker = opened()
    breaker.succeeded(0.0)
    breaker.failed(Failure(1), 5.0, 0.0)
    breaker.failed(Failure(2), 5.0, 0.0)
    assert breaker.state is BreakerState.CLOSED


def test_no_probe_before_the_time_asked_for() -> None:
    assert opened(retry_after_s=30.0).probe_at == 30.0


def test_the_longest_time_asked_for_since_the_last_success_counts() -> None:
    breaker = Breaker(SETTINGS)
    breaker.failed(Failure(1, retry_after_s=60.0), 0.0, 0.0)
    breaker.failed(Failure(2), 1.0, 0.0)
    breaker.failed(Failure(3, retry_after_s=10.0), 2.0, 0.0)
    assert breaker.probe_at == 60.0


def test_a_late_failure_that_asks_for_time_puts_the_probe_off() -> None:
    breaker = opened()
    breaker.failed(Failure(9, retry_after_s=20.0), 0.5, 0.0)
    assert breaker.probe_at == 20.5


def test_a_success_ends_what_was_asked_for() -> None:
    breaker = opened(retry_after_s=600.0)
    breaker.succeeded(0.0)
    for lane in (1, 2, 3):
        breaker.failed(Failure(lane), 5.0, NO_JITTER)
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
    breaker.failed(Failure(1, retry_after_s=20.0), 1.0, 0.0)
    breaker.dropped(7)
    assert breaker.probe_at == 21.0


def test_calling_off_while_closed_changes_nothing() -> None:
    breaker = Breaker(SETTINGS)
    breaker.dropped(7)
    assert breaker.state is BreakerState.CLOSED


# -- when it opens beyond the plain case -------------------------------------------------------------------------------


def fails(breaker: Breaker, *failures: Failure, now: float = 0.0, usual_s: float = 0.0) -> BreakerState:
    for failure in failures:
        breaker.failed(failure, now, NO_JITTER, usual_s)
    return breaker.state


def test_few_failures_of_several_events_open_it_in_the_end() -> None:
    breaker = Breaker(BreakerSettings())
    assert fails(breaker, Failure(1, 5), Failure(2, 6), Failure(1, 5)) is BreakerState.CLOSED
    assert fails(breaker, Failure(2, 6), now=9.9) is BreakerState.CLOSED
    assert fails(breaker, Failure(1, 5), now=10.0) is BreakerState.OPEN


def test_a_single_lane_whose_events_fail_one_after_the_other_opens_it() -> None:
    breaker = Breaker(BreakerSettings())
    assert fails(breaker, *[Failure(1, 5)] * 9) is BreakerState.CLOSED
    assert fails(breaker, Failure(1, 6), now=60.0) is BreakerState.OPEN


def test_one_poison_event_alone_never_opens_it() -> None:
    breaker = Breaker(BreakerSettings())
    for now in range(1000):
        assert fails(breaker, Failure(1, 5), now=float(now)) is BreakerState.CLOSED


def test_without_a_connection_even_one_event_opens_it() -> None:
    breaker = Breaker(BreakerSettings())
    refused = Failure(1, 5, unreachable=True)
    assert fails(breaker, refused, refused) is BreakerState.CLOSED
    assert fails(breaker, refused) is BreakerState.OPEN


def test_where_some_answer_a_missing_connection_is_a_failure_like_others() -> None:
    breaker = Breaker(BreakerSettings())
    refused = Failure(1, 5, unreachable=True)
    assert fails(breaker, Failure(1, 5), refused, refused, refused, refused) is BreakerState.CLOSED


def test_failures_quicker_than_a_success_could_be_do_not_open_it_yet() -> None:
    breaker, failures = Breaker(BreakerSettings(patience=4.0)), [Failure(lane) for lane in range(50)]
    assert fails(breaker, *failures, now=0.0, usual_s=1.0) is BreakerState.CLOSED
    assert fails(breaker, Failure(1), now=3.9, usual_s=1.0) is BreakerState.CLOSED
    assert fails(breaker, Failure(1), now=4.0, usual_s=1.0) is BreakerState.OPEN


def test_attempts_that_hung_while_others_succeeded_do_not_open_it() -> None:
    breaker = Breaker(SETTINGS)
    breaker.succeeded(5.0)
    assert fails(breaker, *[Failure(lane, began_at=4.9) for lane in range(50)], now=9.0) is BreakerState.CLOSED
    assert fails(breaker, *[Failure(lane, began_at=5.0) for lane in range(3)], now=9.0) is BreakerState.OPEN


def test_a_probe_that_succeeds_ends_an_outage() -> None:
    breaker = opened()
    breaker.sent(7)
    assert breaker.succeeded(1.1)
    assert not breaker.succeeded(1.2)


def test_a_success_that_was_under_way_when_it_opened_ends_no_outage() -> None:
    assert not opened().succeeded(0.1)


def test_one_after_failed_probes_does() -> None:
    breaker = opened()
    breaker.sent(7)
    breaker.failed(Failure(7), 1.0, NO_JITTER)
    assert breaker.succeeded(1.5)
