"""Lanes that wait for their time, soonest first."""

from __future__ import annotations

import heapq
from itertools import count
from math import inf

from pipeline.delivery.lanes import Lane, Part

NEVER = inf


class WaitingRoom:
    """A heap of lanes by ``due`` (monotonic seconds); equal times keep their order."""

    __slots__ = ("_heap", "_ticket")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Lane]] = []
        self._ticket = count()

    def __bool__(self) -> bool:
        return bool(self._heap)

    @property
    def next_due(self) -> float:
        """The soonest ``due``, `NEVER` when none waits."""
        return self._heap[0][0] if self._heap else NEVER

    def push(self, lane: Lane, due: float) -> None:
        heapq.heappush(self._heap, (due, next(self._ticket), lane))

    def pop_first(self) -> Lane:
        """The lane due soonest, due or not; raises IndexError when none waits."""
        return heapq.heappop(self._heap)[2]

    def pop_due(self, now: float, count_max: int) -> list[Lane]:
        due: list[Lane] = []
        while self._heap and self._heap[0][0] <= now and len(due) < count_max:
            due.append(heapq.heappop(self._heap)[2])
        return due

    def drop(self, part: Part) -> None:
        """Forget the lanes of ``part``."""
        self._heap = [entry for entry in self._heap if entry[2].part is not part]
        heapq.heapify(self._heap)
