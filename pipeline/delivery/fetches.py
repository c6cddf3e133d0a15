"""Lanes whose payloads have to be read again before they can be sent: partitions take turns."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.delivery.lanes import Lane, Part
from pipeline.delivery.ready import Line


class Fetches:
    """``line``: to be read. ``fetching``: being read, each with so many payloads, its head's and those right behind.
    ``fetched``: read, and not begun since. Payloads being read and lanes that were are ``payloads_max`` at most
    together, since what was read is held in memory.

    ``behind``: what room the heads leave is shared out among what stands behind them.
    """

    __slots__ = ("_behind", "_payloads_max", "fetched", "fetching", "line")

    def __init__(self, payloads_max: int, *, behind: bool) -> None:
        self._payloads_max, self._behind = payloads_max, behind
        self.line = Line()
        self.fetching: dict[Lane, int] = {}
        self.fetched: set[Lane] = set()

    def take(self) -> list[Lane]:
        """Those to be read now."""
        room = self._payloads_max - sum(self.fetching.values()) - len(self.fetched)
        if room <= 0 or not self.line.count:
            return []
        taken = self.line.take(room)
        each = (room - len(taken)) // len(taken) if self._behind else 0
        for lane in taken:
            self.fetching[lane] = 1 + len(lane.positions_behind(each))
        return taken

    def end(self, lane: Lane, *, well: bool) -> bool:
        """The reading of ``lane`` is over; False when it was none of these."""
        if self.fetching.pop(lane, None) is None:
            return False
        if well:
            self.fetched.add(lane)
        return True

    def begun(self, lanes: Iterable[Lane]) -> None:
        """Their payloads are in use, or forgotten."""
        if self.fetched:
            self.fetched.difference_update(lanes)

    def drop(self, part: Part) -> None:
        """Forget the lanes of ``part``."""
        self.line.drop(part)
        for lane in [lane for lane in self.fetching if lane.part is part]:
            del self.fetching[lane]
        self.fetched = {lane for lane in self.fetched if lane.part is not part}
