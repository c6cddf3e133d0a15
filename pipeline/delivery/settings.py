"""What a core is told of its run: policy and limits."""

from __future__ import annotations

import msgspec

from pipeline.delivery.breaker import BreakerSettings
from pipeline.delivery.limiter import LimiterSettings
from pipeline.subscription import RetryPolicy


class CoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Policy and limits of one run.

    ``held_bytes_max``: payload bytes in memory; ``positions_max``: events received and not settled. At either limit
    `Core.has_room` is False and the rim stops reading: the backlog waits in the log. ``buries_max``: dead-letter
    appends under way; the rest wait in line. ``bury_retry_s``: wait before one that failed is tried again.
    ``fetches_max``: payloads read again beside what is being sent (0: each within the slot of its attempt);
    ``fetch_retry_s``: wait before one that could not be read is tried again.
    """

    retry: RetryPolicy = msgspec.field(default_factory=RetryPolicy)
    ordering: str = "key"
    on_dead_letter: str = "continue"
    limiter: LimiterSettings = msgspec.field(default_factory=LimiterSettings)
    breaker: BreakerSettings = msgspec.field(default_factory=BreakerSettings)
    held_bytes_max: int = 8 * 1024 * 1024
    positions_max: int = 100_000
    fetches_max: int = 0
    fetch_retry_s: float = 0.5
    buries_max: int = 256
    bury_retry_s: float = 1.0
