"""When a failed attempt is tried again."""

from __future__ import annotations

import pytest

from pipeline.delivery.schedule import RETRY_WAIT_S_MIN, given_up, retry_wait_s, spent
from pipeline.subscription import RetryPolicy

POLICY = RetryPolicy(schedule_s=(4.0, 30.0), give_up_after_s=100.0)


@pytest.mark.parametrize(("attempts", "wait_s"), [(1, 4.0), (2, 30.0), (3, None)])
def test_each_failed_attempt_has_its_wait_until_the_schedule_is_spent(attempts: int, wait_s: float | None) -> None:
    assert retry_wait_s(POLICY, attempts, 0.0) == wait_s


@pytest.mark.parametrize(("draw", "wait_s"), [(0.0, 30.0), (0.5, 15.0), (0.75, 7.5)])
def test_jitter_spreads_a_wait_over_all_of_it(draw: float, wait_s: float) -> None:
    assert retry_wait_s(POLICY, 2, draw) == wait_s


@pytest.mark.parametrize("schedule_s", [0.0, 1.0])
def test_a_wait_is_never_nothing(schedule_s: float) -> None:
    assert retry_wait_s(RetryPolicy(schedule_s=(schedule_s,)), 1, 0.9999999) == RETRY_WAIT_S_MIN


def test_an_empty_schedule_is_spent_by_the_first_failure() -> None:
    policy = RetryPolicy(schedule_s=())
    assert spent(policy, 1) and retry_wait_s(policy, 1, 0.0) is None
    assert not spent(policy, 0)


@pytest.mark.parametrize(("attempts", "expected"), [(0, False), (2, False), (3, True), (9, True)])
def test_a_schedule_of_two_waits_is_spent_after_three_attempts(attempts: int, expected: bool) -> None:
    assert spent(POLICY, attempts) is expected


@pytest.mark.parametrize(("now", "expected"), [(50.0, False), (149.9, False), (150.0, True), (900.0, True)])
def test_an_event_is_given_up_so_long_after_its_first_failure(now: float, expected: bool) -> None:
    assert given_up(POLICY, 50.0, now) is expected
