"""A subscription's policy as the delivery core takes it."""

from __future__ import annotations

from pipeline.delivery.settings import BreakerSettings, CoreSettings, LimiterSettings
from pipeline.push import no_waiting
from pipeline.push.no_waiting import without_waits
from pipeline.push.parts import BridgeSettings
from pipeline.push.reading import Reading


def core_settings(reading: Reading, settings: BridgeSettings) -> CoreSettings:
    """What ``reading`` is delivered by; never faster than its endpoint allowed (CloudEvents Webhook 1.0, §4.2.2,
    WebHook-Allowed-Rate).
    """
    spec, run = reading.spec, reading.run
    wanted = run.rate_per_s if run is not None and run.rate_per_s is not None else spec.rate_per_s
    allowed = reading.row.allowed_rate_per_min
    rates = [rate for rate in (wanted, None if allowed is None else allowed / 60) if rate is not None]
    return CoreSettings(
        retry=without_waits(spec.retry) if settings.no_waiting else spec.retry,
        breaker=no_waiting.BREAKER if settings.no_waiting else BreakerSettings(),
        ordering=spec.ordering,
        on_dead_letter=spec.on_dead_letter,
        limiter=LimiterSettings(
            in_flight_max=spec.in_flight_max,
            slow_max=spec.in_flight_max * 4,
            # Lingering is ours, and says nothing of the endpoint.
            slow_after_s=settings.slow_after_s + (spec.batch.linger_ms / 1000 if spec.format == "batch" else 0.0),
            rate_per_s=min(rates, default=None),
        ),
        held_bytes_max=settings.held_bytes_max,
        fetches_max=settings.fetches_max,
        positions_max=settings.positions_max,
    )
