"""How much may be under way: in-flight caps with a cap of their own for hanging attempts, and a rate.

Attempts that hang far beyond the usual latency move from the in-flight cap to the slow cap, so stuck keys do not
use up the good keys' slots. A reply that asks for patience halves the cap, each success gives back a fraction of one
slot (additive increase, multiplicative decrease, RFC 5681 §3.1 in spirit).
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import islice
from math import inf
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T", bound=Hashable)
# A running median, not a mean: hanging attempts that find no room in the slow cap must not pass for usual.
_LATENCY_STEP = 1.02
# Tokens that lack less than this are whole: a wake-up computed for a token must find it.
_TOKEN_ROUNDING = 1e-6


class LimiterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``slow_factor`` times the usual latency, at least ``slow_after_s``, makes an attempt slow."""

    in_flight_max: int = 128
    slow_max: int = 512
    slow_after_s: float = 1.0
    slow_factor: float = 8.0
    rate_per_s: float | None = None


class Limiter(Generic[T]):
    """Slots and tokens of one run. ``T`` is whatever stands for an attempt; ``latency_s`` is the usual latency."""

    __slots__ = ("_cut_at", "_settings", "_tokens", "_tokens_at", "cap", "in_flight", "latency_s", "slow")

    def __init__(self, settings: LimiterSettings) -> None:
        self._settings = settings
        self.cap = float(settings.in_flight_max)
        self.in_flight: dict[T, float] = {}
        self.slow: set[T] = set()
        self.latency_s = 0.05
        self._tokens = 1.0
        self._tokens_at: float | None = None
        self._cut_at = float("-inf")

    def free(self, now: float) -> int:
        """How many attempts may begin now."""
        slots = int(self.cap) - len(self.in_flight)
        if self._settings.rate_per_s is None or slots <= 0:
            return max(slots, 0)
        self._refill(now, self._settings.rate_per_s)
        return max(min(slots, int(self._tokens + _TOKEN_ROUNDING)), 0)

    def may_begin_at(self, now: float) -> float:
        """The earliest time at which `free` may give a slot, `set_slow_aside` called before; infinite: not before an
        attempt ends.
        """
        at = now
        to_set_aside = len(self.in_flight) - int(self.cap) + 1
        if to_set_aside > 0:
            if len(self.slow) + to_set_aside > self._settings.slow_max:
                return inf
            last_began_at = next(islice(self.in_flight.values(), to_set_aside - 1, None))
            at = max(at, last_began_at + self.slow_after_s)
        rate = self._settings.rate_per_s
        if rate is not None:
            self._refill(now, rate)
            at = max(at, now + (1.0 - self._tokens) / rate)
        return at

    def begin(self, attempt: T, now: float) -> None:
        self.in_flight[attempt] = now
        if self._settings.rate_per_s is not None:
            self._tokens -= 1.0

    def end(self, attempt: T, now: float) -> None:
        """The attempt is over, however it went."""
        began_at = self.in_flight.pop(attempt, None)
        if began_at is None:
            self.slow.discard(attempt)
        elif now - began_at > self.latency_s:
            self.latency_s *= _LATENCY_STEP
        else:
            self.latency_s /= _LATENCY_STEP

    def drop(self, attempt: T) -> None:
        """The attempt was broken off: its slot is free, its latency says nothing."""
        self.in_flight.pop(attempt, None)
        self.slow.discard(attempt)

    def succeeded(self) -> None:
        if self.cap < self._settings.in_flight_max:
            self.cap = min(self.cap + 1.0 / self.cap, float(self._settings.in_flight_max))

    def asked_for_patience(self, now: float) -> None:
        """The endpoint sent Retry-After: halve the cap, at most once a second."""
        if now - self._cut_at >= 1.0:
            self._cut_at = now
            self.cap = max(1.0, self.cap / 2)

    def set_slow_aside(self, now: float) -> list[T]:
        """Move attempts that hang to the slow cap while that has room; those moved."""
        moved: list[T] = []
        oldest = next(iter(self.in_flight.values()), now)
        if oldest + self._settings.slow_after_s > now:
            return moved
        slow_after_s = self.slow_after_s
        for attempt, began_at in self.in_flight.items():
            if began_at + slow_after_s > now or len(self.slow) + len(moved) >= self._settings.slow_max:
                break
            moved.append(attempt)
        for attempt in moved:
            del self.in_flight[attempt]
        self.slow.update(moved)
        return moved

    @property
    def slow_after_s(self) -> float:
        return max(self._settings.slow_after_s, self.latency_s * self._settings.slow_factor)

    def _refill(self, now: float, rate_per_s: float) -> None:
        if self._tokens_at is not None:
            self._tokens = min(self._tokens + (now - self._tokens_at) * rate_per_s, max(1.0, rate_per_s * 0.1))
        self._tokens_at = now
