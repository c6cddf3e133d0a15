"""What a core is told of its run: policy and limits."""

from __future__ import annotations

import msgspec

from pipeline.subscription import RetryPolicy


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``patience`` times the usual latency must have passed since the first failure: half the keys may fail faster
    than the others succeed. ``probe_wait_s`` doubles with each failed probe up to ``probe_wait_s_max``.
    """

    failures_to_open: int = 10
    lanes_to_open: int = 3
    patience: float = 4.0
    few_failures: int = 4
    few_events: int = 2
    few_after_s: float = 10.0
    unreachable_to_open: int = 3
    probe_wait_s: float = 1.0
    probe_wait_s_max: float = 60.0


class LimiterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``in_flight_min``, ``in_flight_max``: floor and ceiling of the adaptive cap. ``slow_factor`` times the usual
    latency, at least ``slow_after_s``, makes an attempt slow; ``slow_max`` of them have a cap of their own.
    ``rate_per_s`` counts events; it is saved up for ``burst_s``, at least one event's worth.
    """

    in_flight_min: int = 1
    in_flight_max: int = 128
    slow_start: int = 2
    slow_max: int = 512
    slow_after_s: float = 1.0
    slow_factor: float = 8.0
    rate_per_s: float | None = None
    burst_s: float = 0.1


class CoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Policy and limits of one run.

    ``held_bytes_max``: payload bytes in memory, a quarter more with what is read again; ``positions_max``: events
    received and not settled. At either limit `Core.has_room` is False and the rim stops reading: the backlog waits in
    the log. ``buries_max``: dead-letter appends under way; the rest wait in line. ``bury_retry_s``: wait before one
    that failed is tried again. ``fetches_max``: payloads read again beside what is being sent (0: each within the slot
    of its attempt); ``fetch_retry_s``: wait before one that could not be read is tried again.
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
