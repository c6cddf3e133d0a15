"""Sweep: one reading of all partitions of a topic, fair between them; it waits for nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from zlib import crc32

from pipeline.errors import CursorExpired
from pipeline.faces import Log, OpenFeed, Taken
from pipeline.record import Record


class PartitionGap(NamedTuple):
    """Offsets ``first`` to ``until`` (exclusive) of a partition were gone before this reader came."""

    partition: int
    first: int
    until: int


class CursorOutside(CursorExpired):
    """The cursor points outside of what the log holds; ``earliest`` is the cursor where the log starts now."""

    def __init__(self, detail: str, earliest: str) -> None:
        self.earliest = earliest
        super().__init__(f"{detail}; go on at `earliest`")


def told(gaps: Sequence[PartitionGap]) -> str:
    """What was lost, in words; the first five partitions of it."""
    lost = ", ".join(f"partition {gap.partition} from {gap.first} to {gap.until - 1}" for gap in gaps[:5])
    return lost + (f" and {len(gaps) - 5} more partitions" if len(gaps) > 5 else "")


class Sweep:
    """Feeds for ``next_offsets``; `gather` moves them on. Close it.

    Fair: a page is shared out evenly between the partitions that have something, and the partition that comes first
    changes from page to page, so that a page smaller than the number of partitions starves none. The order is drawn
    from the offsets themselves: the same cursor gets the same page, whichever process answers.
    """

    def __init__(
        self, log: Log, topic: str, next_offsets: Mapping[int, int], on_ready: Callable[[], None], *, bytes_max: int
    ) -> None:
        self.next_offsets = dict(next_offsets)
        # Bytes of payload that may still be gathered; the record that uses them up is the last.
        self.room_bytes = bytes_max
        self.gaps: list[PartitionGap] = []
        self._feeds: dict[int, OpenFeed] = {}
        try:
            for partition, offset in self.next_offsets.items():
                self._feeds[partition] = log.feed(topic, partition, offset, on_ready)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for feed in self._feeds.values():
            feed.close()
        self._feeds = {}

    def gather(self, records_max: int) -> list[Record]:
        """Up to ``records_max`` records; fewer when no room is left (but one at least)."""
        gathered: list[Record] = []
        hungry = self._order() if self.room_bytes > 0 else []
        while hungry and len(gathered) < records_max:
            share = max(1, (records_max - len(gathered)) // len(hungry))
            fed = []
            for partition in hungry:
                wanted = min(share, records_max - len(gathered))
                taken = self._feeds[partition].take(wanted) if wanted else None
                if taken is None:
                    continue
                fed.append(partition)
                self._keep(partition, taken, gathered)
                if self.room_bytes <= 0:
                    return gathered
            hungry = fed
        return gathered

    def _keep(self, partition: int, taken: Taken, gathered: list[Record]) -> None:
        self.next_offsets[partition] = taken.next_offset
        if taken.gap is not None:
            self.gaps.append(PartitionGap(partition, taken.gap.first, taken.gap.until))
        size = len(taken.records)
        for record in taken.records:
            size += len(record.value or b"") + len(record.key or b"")
        if size <= self.room_bytes:
            self.room_bytes -= size
            gathered += taken.records
            return
        for record in taken.records:
            if self.room_bytes <= 0:
                # What was taken but does not fit is read again: the cursor points at it.
                self.next_offsets[partition] = record.offset
                return
            gathered.append(record)
            self.room_bytes -= record.size_bytes + 1

    def _order(self) -> list[int]:
        partitions = sorted(self._feeds)
        if not partitions:
            return []
        # A checksum, not the plain sum: offsets often advance in steps (markers), which would favour some partitions.
        first = crc32(b"%d" % sum(self.next_offsets.values())) % len(partitions)
        return partitions[first:] + partitions[:first]

    def ends(self) -> dict[int, int]:
        """The log ends that are known here; a partition whose end is not known yet is absent."""
        known = ((partition, feed.end()) for partition, feed in self._feeds.items())
        return {partition: end for partition, end in known if end is not None}

    def behind(self, ends: Mapping[int, int]) -> int:
        """How many offsets lie between here and ``ends``: never less than the events still to come."""
        return sum(max(0, end - self.next_offsets[partition]) for partition, end in ends.items())
