"""Ready lanes in line: partitions take turns, and lanes whose last attempt hung stand in a line of their own.

A partition with a long line holds up no other's lanes. Among the rest, lanes that just delivered and lanes nobody
knows anything of get half of the slots each: so new lanes are tried while busy ones go on, and busy ones go on while
what is tried hangs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain

from pipeline.delivery.lanes import Lane, Part
from pipeline.delivery.states import NEW, SUSPECT


class Line:
    """Lanes by partition, first in, first out; partitions in turn."""

    __slots__ = ("_lanes", "_turns", "count")

    def __init__(self) -> None:
        self._lanes: dict[Part, deque[Lane]] = {}
        self._turns: deque[Part] = deque()
        self.count = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Lane]:
        return chain.from_iterable(self._lanes.values())

    def append(self, lane: Lane) -> None:
        lanes = self._lanes.get(lane.part)
        if lanes is None:
            lanes = self._lanes[lane.part] = deque()
        if not lanes:
            self._turns.append(lane.part)
        lanes.append(lane)
        self.count += 1

    def take(self, count: int) -> list[Lane]:
        """Up to ``count`` lanes off the front, one of each partition at a time."""
        turns, lines = self._turns, self._lanes
        if len(turns) == 1 and count > 0:
            return self._take_of_one(lines[turns[0]], count)
        taken: list[Lane] = []
        for _ in range(min(count, self.count)):
            lanes = lines[turns[0]]
            taken.append(lanes.popleft())
            if lanes:
                turns.rotate(-1)
            else:
                turns.popleft()
        self.count -= len(taken)
        return taken

    def take_other(self, last: Lane | None) -> Lane | None:
        """One lane that is not ``last``, which goes to the back; None when there is no other."""
        for _ in range(self.count):
            (lane,) = self.take(1)
            if lane is not last:
                return lane
            self.append(lane)
        return None

    def take_untried(self, last: Lane | None) -> Lane | None:
        """The first lane other than ``last`` whose head was never attempted; None when there is none."""
        for part, lanes in self._lanes.items():
            for lane in lanes:
                if lane.first_failed_at is None and lane is not last:
                    lanes.remove(lane)
                    self.count -= 1
                    if not lanes:
                        self._turns.remove(part)
                    return lane
        return None

    def drop(self, part: Part) -> None:
        """Forget the lanes of ``part``."""
        lanes = self._lanes.pop(part, None)
        if lanes:
            self.count -= len(lanes)
            self._turns.remove(part)

    def _take_of_one(self, lanes: deque[Lane], count: int) -> list[Lane]:
        if len(lanes) > count:
            self.count -= count
            return [lanes.popleft() for _ in range(count)]
        taken = list(lanes)
        lanes.clear()
        self._turns.clear()
        self.count = 0
        return taken


class Ready:
    """The lines of one run. ``suspects`` begin in the slow cap, the others in the in-flight cap."""

    __slots__ = ("_new_first", "new", "proven", "suspects")

    def __init__(self) -> None:
        self.new, self.proven, self.suspects = Line(), Line(), Line()
        self._new_first = False

    def __len__(self) -> int:
        return self.new.count + self.proven.count + self.suspects.count

    def __iter__(self) -> Iterator[Lane]:
        return chain(self.new, self.proven, self.suspects)

    def append(self, lane: Lane) -> None:
        standing = lane.standing
        (self.new if standing is NEW else self.suspects if standing is SUSPECT else self.proven).append(lane)

    def take(self, count: int, new_max: int) -> list[Lane]:
        """Up to ``count`` lanes that are no suspects, of them ``new_max`` that are new."""
        new, proven = self.new, self.proven
        if not proven.count:
            return new.take(min(count, new_max)) if new.count else []
        if not new.count:
            return proven.take(count)
        share = count // 2
        if count % 2:
            # Slots mostly come one by one.
            share += self._new_first
            self._new_first = not self._new_first
        taken = new.take(min(max(share, count - proven.count), new_max))
        return taken + proven.take(count - len(taken))

    def take_other(self, last: Lane | None) -> Lane | None:
        """One lane of any line that is not ``last``; None when there is no other."""
        for line in (self.proven, self.new, self.suspects):
            lane = line.take_other(last)
            if lane is not None:
                return lane
        return None

    def drop(self, part: Part) -> None:
        for line in (self.new, self.proven, self.suspects):
            line.drop(part)
