"""How much may be under way: in-flight caps with a cap of their own for hanging attempts, and a rate.

Attempts that hang far beyond the usual latency move from the in-flight cap to the slow cap, so stuck keys do not
use up the good keys' slots. An endpoint that asks for less, or strains, halves the cap down to ``in_flight_min``; each
success gives back a fraction of one slot (additive increase, multiplicative decrease). After an outage the cap begins
at ``slow_start`` and doubles with each round of successes. RFC 5681 §3.1 in spirit.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import islice
from math import inf
from typing import Generic, TypeVar

from pipeline.delivery.settings import LimiterSettings

T = TypeVar("T", bound=Hashable)
# A running median, not a mean: hanging attempts must not pass for usual.
_LATENCY_STEP = 1.02
# Lower means nothing, and from nothing steps lead nowhere.
_LATENCY_S_MIN = 1e-4
# Tokens that lack less than this are whole: a wake-up computed for a token must find it.
_TOKEN_ROUNDING = 1e-6
# A request of several events takes their tokens together, so it may take these ahead of their time.
BORROWED_S = 1.0
# One slot in so many of the slow cap is for lanes that hung before, while others are still to be tried.
_SUSPECTS_SHARE = 8
# The cap is cut at most this often: what is under way answers to what it was before.
_CUT_EVERY_S = 1.0
# Signs of strain within `_CUT_EVERY_S` that mean it, if there are twice as many as successes: half the keys of an
# endpoint may fail for reasons of their own. Where half of them do, chance alone shows twice as many failures as
# successes after eight failures in a quarter of all seconds; after so many, in one of fifty.
_STRAINS_MIN = 32
_STRAINS_PER_SUCCESS = 2


class Limiter(Generic[T]):
    """Slots and tokens of one run. ``T`` is whatever stands for an attempt; ``latency_s`` is the usual latency of a
    success. ``reserved`` slots of the slow cap are kept for those that begin there.
    """

    __slots__ = (
        "_cut_at",
        "_delivered",
        "_quick_until",
        "_settings",
        "_strains",
        "_strains_since",
        "_tokens",
        "_tokens_at",
        "cap",
        "in_flight",
        "latency_s",
        "reserved",
        "slow",
    )

    def __init__(self, settings: LimiterSettings) -> None:
        self._settings = settings
        self.cap = self._quick_until = float(settings.in_flight_max)
        self.in_flight: dict[T, float] = {}
        self.slow: dict[T, float] = {}
        self.reserved = 0
        self.latency_s = 0.05
        self._tokens = 1.0
        self._tokens_at: float | None = None
        self._cut_at = float("-inf")
        self._strains = self._delivered = 0
        self._strains_since = float("-inf")

    # -- slots -------------------------------------------------------------------------------------------------------

    def free(self, now: float) -> int:
        """How many attempts may begin now."""
        return self._granted(int(self.cap) - len(self.in_flight), now)

    def free_slow(self, now: float) -> int:
        """How many attempts may begin in the slow cap now."""
        return self._granted(self._settings.slow_max - len(self.slow), now)

    @property
    def has_slow_cap(self) -> bool:
        """Whether hanging attempts have a cap of their own."""
        return self._settings.slow_max > 0

    @property
    def is_rated(self) -> bool:
        return self._settings.rate_per_s is not None

    @property
    def suspects_max(self) -> int:
        """How much of the slow cap attempts that begin there get, beside those that are moved there."""
        return max(1, self._settings.slow_max // _SUSPECTS_SHARE)

    def reserve(self, waiting: int, begun: int) -> None:
        """Keep slots of the slow cap free for ``waiting`` attempts that are to begin there, up to `suspects_max` with
        those that have ``begun``.
        """
        self.reserved = max(0, min(waiting, self.suspects_max - begun)) if waiting and self.has_slow_cap else 0

    @property
    def slow_is_full(self) -> bool:
        """Whether attempts that hang now stay in the in-flight cap although there is one for them."""
        return self.has_slow_cap and len(self.slow) + self.reserved >= self._settings.slow_max

    def may_begin_at(self, now: float) -> float:
        """The earliest time at which `free` may give a slot, `set_slow_aside` called before; infinite: not before an
        attempt ends.
        """
        at = now
        to_set_aside = len(self.in_flight) - int(self.cap) + 1
        if to_set_aside > 0:
            if len(self.slow) + to_set_aside > self._settings.slow_max - self.reserved:
                return inf
            last_began_at = next(islice(self.in_flight.values(), to_set_aside - 1, None))
            at = max(at, last_began_at + self.slow_after_s)
        return max(at, self.token_at(now))

    def may_begin_slow_at(self, now: float) -> float:
        """The earliest time at which `free_slow` may give a slot; infinite: not before an attempt ends."""
        return inf if len(self.slow) >= self._settings.slow_max else self.token_at(now)

    def begin(self, attempt: T, now: float) -> None:
        self.in_flight[attempt] = now
        if self._settings.rate_per_s is not None:
            self._tokens -= 1.0

    def begin_slow(self, attempt: T, now: float) -> None:
        self.slow[attempt] = now
        if self._settings.rate_per_s is not None:
            self._tokens -= 1.0

    def end(self, attempt: T, now: float) -> float:
        """The attempt is over, however it went; returns the seconds it took."""
        began_at = self.in_flight.pop(attempt, None)
        return now - (self.slow.pop(attempt) if began_at is None else began_at)

    def drop(self, attempt: T) -> None:
        """The attempt was broken off: its slot is free."""
        self.in_flight.pop(attempt, None)
        self.slow.pop(attempt, None)

    def set_slow_aside(self, now: float) -> list[T]:
        """Move attempts that hang to the slow cap while that has room; those moved."""
        moved: list[T] = []
        oldest = next(iter(self.in_flight.values()), now)
        if oldest + self._settings.slow_after_s > now:
            return moved
        slow_after_s, room = self.slow_after_s, self._settings.slow_max - self.reserved - len(self.slow)
        for attempt, began_at in self.in_flight.items():
            if began_at + slow_after_s > now or len(moved) >= room:
                break
            moved.append(attempt)
        for attempt in moved:
            self.slow[attempt] = self.in_flight.pop(attempt)
        return moved

    @property
    def slow_after_s(self) -> float:
        return max(self._settings.slow_after_s, self.latency_s * self._settings.slow_factor)

    # -- what results say of the endpoint ----------------------------------------------------------------------------

    def succeeded(self, elapsed_s: float) -> None:
        """An attempt that took ``elapsed_s`` was delivered."""
        if elapsed_s > self.latency_s:
            self.latency_s *= _LATENCY_STEP
        elif self.latency_s > _LATENCY_S_MIN:
            self.latency_s /= _LATENCY_STEP
        self._delivered += 1
        ceiling = self._settings.in_flight_max
        if self.cap < ceiling:
            step = 1.0 if self.cap < self._quick_until else 1.0 / self.cap
            self.cap = min(self.cap + step, float(ceiling))

    def asked_for_patience(self, now: float) -> None:
        """The endpoint asked for less: halve the cap, at most once in `_CUT_EVERY_S`."""
        if now - self._cut_at >= _CUT_EVERY_S:
            self._cut_at = now
            self.cap = self._quick_until = max(float(self._settings.in_flight_min), self.cap / 2)

    def strained(self, now: float) -> None:
        """The endpoint may want less: taken for it when such signs are many and successes few."""
        if now - self._strains_since >= _CUT_EVERY_S:
            self._strains_since, self._strains, self._delivered = now, 0, 0
        self._strains += 1
        if self._strains >= _STRAINS_MIN and self._strains > self._delivered * _STRAINS_PER_SUCCESS:
            self.asked_for_patience(now)

    def outage_over(self) -> None:
        """The endpoint is back: few at first, twice as many with each round of successes."""
        self._quick_until = float(self._settings.in_flight_max)
        self.cap = float(
            min(max(self._settings.slow_start, self._settings.in_flight_min), self._settings.in_flight_max)
        )

    # -- the rate ----------------------------------------------------------------------------------------------------

    def token_at(self, now: float) -> float:
        """When the rate lets the next attempt begin."""
        rate = self._settings.rate_per_s
        if rate is None:
            return now
        self._refill(now, rate)
        return now + max(0.0, 1.0 - self._tokens) / rate

    def along_max(self, now: float) -> int:
        """How many events may go along with those that begin, where `is_rated`: what is saved up, and `BORROWED_S` of
        the rate in advance.
        """
        rate = self._settings.rate_per_s or 0.0
        self._refill(now, rate)
        return max(int(self._tokens + rate * BORROWED_S), 0)

    def went_along(self, count: int) -> None:
        """``count`` events were sent besides: the rate counts them, and what begins next waits for it."""
        if self._settings.rate_per_s is not None:
            self._tokens -= count

    def _granted(self, slots: int, now: float) -> int:
        if self._settings.rate_per_s is None or slots <= 0:
            return max(slots, 0)
        self._refill(now, self._settings.rate_per_s)
        return max(min(slots, int(self._tokens + _TOKEN_ROUNDING)), 0)

    def _refill(self, now: float, rate_per_s: float) -> None:
        if self._tokens_at is not None:
            saved_max = max(1.0, rate_per_s * self._settings.burst_s)
            self._tokens = min(self._tokens + (now - self._tokens_at) * rate_per_s, saved_max)
        self._tokens_at = now
