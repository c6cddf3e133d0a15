"""`bridge.no_waiting`: the same decisions, no time between them."""

from __future__ import annotations

from pipeline.delivery.settings import BreakerSettings
from pipeline.push.core_settings import core_settings
from pipeline.push.no_waiting import BREAKER
from pipeline.push.parts import BridgeSettings
from pipeline.push.reading import Reading
from pipeline.subscription import Endpoint, RetryPolicy, StoredSubscription, Subscription

SPEC = Subscription(
    name="hook",
    topics=("orders",),
    endpoint=Endpoint(url="https://example.com/"),
    retry=RetryPolicy(schedule_s=(5, 30), reject_status=(422,)),
)
READING = Reading("app", StoredSubscription(spec=SPEC), None, lambda _: ("/s", "t"))


def test_without_waiting_the_schedule_has_as_many_attempts_and_no_waits() -> None:
    settings = core_settings(READING, BridgeSettings(no_waiting=True))
    assert settings.retry == RetryPolicy(schedule_s=(0, 0), reject_status=(422,))
    assert settings.breaker == BREAKER
    assert BREAKER.probe_wait_s_max < 0.1
    assert BREAKER.failures_to_open == BreakerSettings().failures_to_open


def test_otherwise_the_policy_is_as_declared() -> None:
    settings = core_settings(READING, BridgeSettings())
    assert (settings.retry, settings.breaker) == (SPEC.retry, BreakerSettings())
