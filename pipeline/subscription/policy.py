"""How a subscription's deliveries are tried, signed and packed; checked when made."""

from __future__ import annotations

import msgspec

from pipeline.errors import DeclarationInvalid


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a failed attempt is tried again.

    ``schedule_s``: waits before attempts 2, 3, …, each drawn from (0, wait] (full jitter); when spent
    the event is buried. ``give_up_after_s``: buried this long after its first failed attempt whatever the
    schedule says. ``reject_status``: statuses that bury at once.
    """

    schedule_s: tuple[float, ...] = (5.0, 30.0, 120.0, 600.0, 1800.0)
    give_up_after_s: float = 259_200.0
    reject_status: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.schedule_s) > 64 or any(not 0 <= wait <= 604_800 for wait in self.schedule_s):
            raise DeclarationInvalid(
                "/retry/schedule_s", list(self.schedule_s), "at most 64 waits of 0 to 604800 seconds"
            )
        if not 0 < self.give_up_after_s <= 2_592_000:
            raise DeclarationInvalid(
                "/retry/give_up_after_s", self.give_up_after_s, "more than 0 and at most 2592000 seconds"
            )
        if any(not 300 <= status <= 599 or status == 410 for status in self.reject_status):
            raise DeclarationInvalid(
                "/retry/reject_status", list(self.reject_status), "statuses 300 to 599 other than 410"
            )


class Signing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The signatures a delivery carries: Standard Webhooks ``v1`` and ``v1a``, GitHub's ``x-hub-signature-256``."""

    v1: bool = True
    v1a: bool = False
    github: bool = False


class Batch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``format: batch`` packs into one request: at most ``max_events`` events of ``max_bytes`` in all, sent when
    full or ``linger_ms`` after the first of them was ready. An event larger than ``max_bytes`` goes alone.
    """

    max_events: int = 100
    max_bytes: int = 1_000_000
    linger_ms: int = 20

    def __post_init__(self) -> None:
        if not 1 <= self.max_events <= 1000:
            raise DeclarationInvalid("/batch/max_events", self.max_events, "1 to 1000 events")
        if not 1024 <= self.max_bytes <= 16_777_216:
            raise DeclarationInvalid("/batch/max_bytes", self.max_bytes, "1024 to 16777216 bytes")
        if not 0 <= self.linger_ms <= 10_000:
            raise DeclarationInvalid("/batch/linger_ms", self.linger_ms, "0 to 10000 milliseconds")
