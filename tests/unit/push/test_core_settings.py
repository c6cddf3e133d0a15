"""A subscription's policy as the delivery core takes it."""

from __future__ import annotations

import msgspec
import pytest

from pipeline.push.core_settings import core_settings
from pipeline.push.parts import BridgeSettings
from pipeline.subscription import StoredRun
from tests.fakes.bridge import reading_of, row_of


def test_policy_becomes_the_cores_settings_and_a_runs_rate_wins() -> None:
    row = row_of(rate_per_s=100.0, in_flight_max=7, ordering="none", on_dead_letter="block")
    live = core_settings(reading_of(row), BridgeSettings())
    assert (live.ordering, live.on_dead_letter, live.limiter.in_flight_max) == ("none", "block", 7)
    assert live.limiter.rate_per_s == 100.0
    slow = StoredRun(id="r", subscription="hook", kind="replay", window={"t": {0: (0, 1)}}, rate_per_s=2.0)
    assert core_settings(reading_of(row, slow), BridgeSettings()).limiter.rate_per_s == 2.0


@pytest.mark.parametrize(
    ("wanted", "per_min", "rate"), [(None, None, None), (None, 120, 2.0), (5.0, 120, 2.0), (1.0, 120, 1.0)]
)
def test_nothing_is_sent_faster_than_the_endpoint_allowed(
    wanted: float | None, per_min: int | None, rate: float | None
) -> None:
    row = msgspec.structs.replace(row_of(rate_per_s=wanted), allowed_rate_per_min=per_min)
    assert core_settings(reading_of(row), BridgeSettings()).limiter.rate_per_s == rate
