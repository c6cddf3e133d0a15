"""How far a partition's cursor may go: the lowest unfinished received offset, else the next offset.

Never a contiguous count: offsets have gaps (compaction, transaction markers, deleted records), and a gap
must neither stall the watermark nor let it pass a record that is not finished.
"""

from __future__ import annotations

from itertools import chain, islice

from pipeline.delivery.ackmap import AckMap, finished_between

# What fits a spilled map (`pipeline.delivery.spill`); looking for more would cost a loop over every unfinished offset.
RANGES_MAX = 65_536


class Watermark:
    """Received and unfinished offsets of one partition of one run.

    ``unfinished`` keeps the order of receipt, which is ascending, so its first key is the lowest. ``restored``
    is what an earlier owner had finished above the offset it committed.
    """

    __slots__ = ("_restored_until", "next_offset", "restored", "unfinished")

    def __init__(self, next_offset: int, restored: AckMap | None = None) -> None:
        self.next_offset = next_offset
        self.restored = restored or AckMap()
        self._restored_until = self.restored.ranges[-1][1] if self.restored else 0
        self.unfinished: dict[int, None] = {}

    @property
    def position(self) -> int:
        """The offset to commit."""
        return next(iter(self.unfinished), self.next_offset)

    def receive(self, offset: int) -> bool:
        """Take note of a record; False when an earlier owner finished it already. Offsets must ascend."""
        if offset < self.next_offset:
            raise ValueError(f"offset {offset} received after {self.next_offset - 1}")
        self.next_offset = offset + 1
        if offset < self._restored_until and offset in self.restored:
            return False
        self.unfinished[offset] = None
        return True

    def advance(self, next_offset: int) -> None:
        """Everything below ``next_offset`` has been read, whether or not records lay there."""
        self.next_offset = max(self.next_offset, next_offset)

    def finish(self, offset: int) -> None:
        """A received record is settled; raises KeyError when it is already."""
        del self.unfinished[offset]

    def finished_above(self) -> AckMap:
        """What is finished above `position`, including what an earlier owner had finished and we did not read yet; the
        first `RANGES_MAX` ranges of it.
        """
        read = finished_between(self.unfinished, self.position, self.next_offset)
        return AckMap(islice(chain(read, self.restored.above(self.next_offset).ranges), RANGES_MAX))
