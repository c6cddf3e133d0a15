"""Rations: how often something may be said of one thing; what is not said is counted, and told with the next.

Pure: time comes in as ``now`` (monotonic seconds).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
KEYS_MAX = 10_000


class Ration(Generic[K]):
    """Per key at most ``times`` within ``per_s`` seconds, counted from the first of them.

    At most `KEYS_MAX` keys are remembered; the one that began longest ago goes first, with what it had counted.
    """

    def __init__(self, times: int, per_s: float) -> None:
        self._times, self._per_s = times, per_s
        # Key -> when its window began, how many were said in it, how many were not.
        self._windows: dict[K, tuple[float, int, int]] = {}

    def ask(self, key: K, now: float) -> int:
        """How many this one stands for, itself included; 0: it may not be said now, and is counted."""
        began_at, said, unsaid = self._windows.get(key, (now, 0, 0))
        if now - began_at >= self._per_s:
            began_at, said = now, 0
            self._windows.pop(key, None)
        if said >= self._times:
            self._windows[key] = (began_at, said, unsaid + 1)
            return 0
        self._windows[key] = (began_at, said + 1, 0)
        if len(self._windows) > KEYS_MAX:
            del self._windows[next(iter(self._windows))]
        return unsaid + 1

    def left(self, key: K, now: float) -> int:
        """How many of ``key`` were counted and not told since; asking begins a new window, in which they are."""
        _, _, unsaid = self._windows.get(key, (now, 0, 0))
        if unsaid:
            self._windows.pop(key)
            self._windows[key] = (now, 1, 0)
        return unsaid
