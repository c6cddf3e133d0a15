"""What a run owns: its partitions, how much more of each may be received, and how far its cursor may go."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence

from pipeline.delivery.ackmap import AckMap
from pipeline.delivery.actions import Commit
from pipeline.delivery.lanes import Held, Part
from pipeline.delivery.settings import CoreSettings
from pipeline.delivery.watermark import Watermark

# What is read again behind a head may take one part in so many of ``held_bytes_max`` beyond it: what is read on would
# otherwise leave it no room, and what failed would go one by one for as long as there is a backlog.
REREAD_SHARE = 4


class Owned:
    """The side of `pipeline.delivery.core.Core` that looks at partitions whole."""

    def __init__(self, settings: CoreSettings) -> None:
        self._settings = settings
        self._parts: dict[Hashable, Part] = {}
        self._held = Held()

    def assign(
        self,
        partition: Hashable,
        next_offset: int,
        *,
        finished: AckMap | None = None,
        attempts: Mapping[int, tuple[int, float]] | None = None,
        parked: Mapping[bytes, str] | None = None,
        held: Iterable[bytes] | None = None,
    ) -> None:
        """Own ``partition`` from ``next_offset`` on, with what an earlier owner left; ValueError when owned already.

        ``held``: the keys that wait for an operator under ``block``; None: not kept, a spent head of any key is held.
        """
        if partition in self._parts:
            raise ValueError(f"partition {partition} is assigned already")
        part = Part(partition, Watermark(next_offset, finished), self._held)
        part.attempts.update(attempts or {})
        part.parked.update(parked or {})
        part.held_keys = None if held is None else set(held)
        self._parts[partition] = part

    @property
    def partitions(self) -> Sequence[Hashable]:
        return tuple(self._parts)

    def in_flight_of(self, partition: Hashable) -> int:
        """Attempts and dead-letter appends of ``partition`` whose results are outstanding."""
        return self._parts[partition].in_flight

    @property
    def held_bytes(self) -> int:
        """Payload bytes in memory."""
        return self._held.total

    @property
    def room_to_put_back(self) -> int:
        """Payload bytes that may stand behind heads when they are read again."""
        held_max = self._settings.held_bytes_max
        return held_max + held_max // REREAD_SHARE - self._held.total

    @property
    def has_room(self) -> bool:
        """Whether more records may be received (see `CoreSettings`)."""
        if self._held.total >= self._settings.held_bytes_max:
            return False
        return sum(len(part.watermark.unfinished) for part in self._parts.values()) < self._settings.positions_max

    def has_room_for(self, partition: Hashable) -> bool:
        """Whether more records of ``partition`` may be received. One of several may take no more than is left beside
        it, so that a hot one leaves room for the others (Choudhury and Hahne, "Dynamic Queue Length Thresholds", 1998).
        """
        if not self.has_room:
            return False
        if len(self._parts) == 1:
            return True
        part, settings = self._parts[partition], self._settings
        taken = sum(len(other.watermark.unfinished) for other in self._parts.values())
        if len(part.watermark.unfinished) > settings.positions_max - taken:
            return False
        return part.held_bytes <= settings.held_bytes_max - self._held.total

    def commit_of(self, partition: Hashable) -> Commit:
        """The pointer of ``partition``: safe to commit at any time."""
        part = self._parts[partition]
        mark = part.watermark
        # Restored attempts whose record is gone from the log, or which the filter leaves out by now, end here.
        attempts = {
            offset: made
            for offset, made in part.attempts.items()
            if offset in mark.unfinished or offset >= mark.next_offset
        }
        return Commit(mark.position, mark.finished_above(), attempts)
