"""Lanes whose payloads have to be read again before they can be sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from pipeline.delivery.lanes import Lane, Part


class Fetches:
    """``line``: to be read, first in, first out. ``fetching``: being read. ``fetched``: read, and not begun since. Of
    the latter two there are ``lanes_max`` at most, since what was read is held in memory.
    """

    __slots__ = ("_lanes_max", "fetched", "fetching", "line")

    def __init__(self, lanes_max: int) -> None:
        self._lanes_max = lanes_max
        self.line: deque[Lane] = deque()
        self.fetching: set[Lane] = set()
        self.fetched: set[Lane] = set()

    def take(self) -> list[Lane]:
        """Those to be read now."""
        room = self._lanes_max - len(self.fetching) - len(self.fetched)
        taken = [self.line.popleft() for _ in range(min(room, len(self.line)))]
        self.fetching.update(taken)
        return taken

    def end(self, lane: Lane, *, well: bool) -> bool:
        """The reading of ``lane`` is over; False when it was none of these."""
        if lane not in self.fetching:
            return False
        self.fetching.remove(lane)
        if well:
            self.fetched.add(lane)
        return True

    def begun(self, lanes: Iterable[Lane]) -> None:
        """Their payloads are in use, or forgotten."""
        if self.fetched:
            self.fetched.difference_update(lanes)

    def drop(self, part: Part) -> None:
        """Forget the lanes of ``part``."""
        self.line = deque(lane for lane in self.line if lane.part is not part)
        for lanes in (self.fetching, self.fetched):
            lanes.difference_update([lane for lane in lanes if lane.part is part])
