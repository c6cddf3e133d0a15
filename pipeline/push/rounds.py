"""Rounds: whose pointers are settled next. Pure: the one longest due first, so that nobody starves.

A run is due ``commit_interval_s`` after it was last settled when something happened since, else when it was said to be
looked after.
"""

from __future__ import annotations

import heapq
from math import inf


class Rounds:
    """Names with the time (monotonic seconds) they are due at; between `take` and `settled` a name is nobody's turn."""

    def __init__(self, commit_interval_s: float) -> None:
        self._interval_s = commit_interval_s
        self._due: dict[str, float] = {}
        self._settled_at: dict[str, float] = {}
        # Entries whose time is not the name's any more are passed over.
        self._heap: list[tuple[float, str]] = []

    def settled(self, name: str, now: float, again_s: float) -> None:
        """``name`` was settled just now, or has begun; look after it in ``again_s`` if nothing happens before."""
        self._settled_at[name] = now
        self._set(name, now + again_s)

    def changed(self, name: str) -> None:
        """Something happened with ``name``, which `settled` told of before; else it is no matter yet."""
        settled_at = self._settled_at.get(name)
        if settled_at is not None and settled_at + self._interval_s < self._due[name]:
            self._set(name, settled_at + self._interval_s)

    def forget(self, name: str) -> None:
        self._due.pop(name, None)
        self._settled_at.pop(name, None)

    def take(self, now: float, count: int) -> list[str]:
        """Up to ``count`` names whose time has come, longest due first; each is to be `settled` or forgotten."""
        taken: list[str] = []
        while len(taken) < count and self.next_due <= now:
            name = heapq.heappop(self._heap)[1]
            self._due[name] = inf
            del self._settled_at[name]
            taken.append(name)
        return taken

    @property
    def next_due(self) -> float:
        """When `take` has something, `inf`: not before something is told."""
        heap = self._heap
        while heap and self._due.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else inf

    def _set(self, name: str, due: float) -> None:
        self._due[name] = due
        heapq.heappush(self._heap, (due, name))
