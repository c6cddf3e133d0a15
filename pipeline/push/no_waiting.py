"""No waiting: policies with the same decisions and no time between them, for tests."""

from __future__ import annotations

import msgspec

from pipeline.delivery.schedule import RETRY_WAIT_S_MIN
from pipeline.delivery.settings import BreakerSettings
from pipeline.subscription import RetryPolicy

BREAKER = BreakerSettings(probe_wait_s=RETRY_WAIT_S_MIN, probe_wait_s_max=RETRY_WAIT_S_MIN)


def without_waits(policy: RetryPolicy) -> RetryPolicy:
    """As many attempts, one right after the other."""
    return msgspec.structs.replace(policy, schedule_s=(0.0,) * len(policy.schedule_s))
