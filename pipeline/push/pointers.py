"""Pointers: the committed offsets of one run's group, read before every commit.

The committed value alone is the truth, and others may move it at any time: an operator with a stock tool (empty
metadata), another worker (our prefix). What was found decides, in `judge`, and nothing else does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple, Protocol

from pipeline.delivery.pointer import Pointer, is_ours, read_pointer

Place = tuple[str, int]


class Committed(Protocol):
    """What a group has committed for one partition."""

    @property
    def offset(self) -> int: ...

    @property
    def metadata(self) -> str | None: ...


class Offsets(Protocol):
    """Committed offsets of groups without members."""

    async def read(self, group: str, partitions: list[Place]) -> Mapping[Place, Committed]: ...

    async def commit(self, group: str, offsets: Mapping[Place, tuple[int, str]]) -> None: ...


class Finding(Enum):
    """``MINE``: this worker wrote it. ``MOVED``: an operator moved it: begin afresh there. ``MISSING``: it was
    deleted: write it again. ``NEWER``: a newer owner wrote it: this worker is stale. ``STALE``: an older owner wrote
    after us: write over it.
    """

    MINE = "mine"
    MOVED = "moved"
    MISSING = "missing"
    NEWER = "newer"
    STALE = "stale"


def judge(found: tuple[int, str | None] | None, mine: Pointer) -> Finding:
    """What the committed value ``found`` means to the worker that last wrote ``mine``."""
    if found is None:
        return Finding.MISSING
    offset, metadata = found
    if not is_ours(metadata):
        return Finding.MOVED
    theirs = read_pointer(offset, metadata)
    if theirs is None:
        return Finding.MOVED
    wrote_it = theirs.owner == mine.owner and theirs.epoch == mine.epoch
    if theirs.epoch >= mine.epoch and not wrote_it:
        return Finding.NEWER
    if _base_of(metadata) != str(offset):
        # A tool that keeps metadata moved the offset beneath it.
        return Finding.MOVED
    # Ours also where the offset is another than we know of: a commit whose answer was lost.
    return Finding.MINE if wrote_it else Finding.STALE


def _base_of(metadata: str | None) -> str:
    """The offset that metadata of ours says it belongs to."""
    return (metadata or "").split(".", 4)[3]


def added_later(partition: int, committed: Iterable[int]) -> bool:
    """Whether a partition without a pointer was added to its topic after the start positions were committed.

    Start positions are committed for every partition at once, so a number above all committed ones is new and starts
    at 0; any other was lost (expired, deleted) and is never guessed.
    """
    numbers = list(committed)
    return bool(numbers) and partition > max(numbers)


class Loaded(NamedTuple):
    """Pointers found and claimed, and the partitions whose pointer is missing."""

    pointers: dict[Place, Pointer]
    missing: list[Place]


class PointerKeeper:
    """Loads, claims and commits the pointers of ``group`` as worker ``owner``.

    ``grows``: partitions may have been added since the start was committed; never to a bounded reading's window.
    """

    def __init__(self, offsets: Offsets, group: str, owner: str, *, grows: bool = True) -> None:
        self._offsets, self.group, self.owner, self._grows = offsets, group, owner, grows
        self.last: dict[Place, Pointer] = {}

    async def load(self, places: list[Place], partition_counts: Mapping[str, int], now_ms: int) -> Loaded:
        """Read the pointers of ``places`` and write them back under a new epoch, so that a stale worker can tell.

        An epoch is the wall clock in milliseconds, at least one more than the last: it grows even where a tool's reset
        wiped the one before.
        """
        # What is wanted is asked for by name: the counts may be older than a partition that was added.
        everywhere = {(topic, number) for topic, count in partition_counts.items() for number in range(count)}
        found = await self._offsets.read(self.group, sorted(everywhere.union(places)))
        pointers: dict[Place, Pointer] = {}
        missing: list[Place] = []
        for place in places:
            pointer = self._begin(place, found, now_ms)
            if pointer is None:
                missing.append(place)
            else:
                pointers[place] = pointer
        if pointers:
            await self.commit(pointers)
        return Loaded(pointers, missing)

    def _begin(self, place: Place, found: Mapping[Place, Committed], now_ms: int) -> Pointer | None:
        topic, number = place
        committed = found.get(place)
        if committed is None:
            if not self._grows or not added_later(number, [n for t, n in found if t == topic]):
                return None
            return Pointer(epoch=now_ms, owner=self.owner, offset=0)
        before = read_pointer(committed.offset, committed.metadata)
        if before is None:
            return Pointer(epoch=now_ms, owner=self.owner, offset=committed.offset)
        return Pointer(
            epoch=max(before.epoch + 1, now_ms),
            owner=self.owner,
            offset=before.offset,
            finished=before.finished,
            attempts=before.attempts,
        )

    async def find(self, places: list[Place]) -> dict[Place, tuple[Finding, int]]:
        """What others did to the pointers since: per place a finding and the committed offset (0 when missing)."""
        found = await self._offsets.read(self.group, places)
        out: dict[Place, tuple[Finding, int]] = {}
        for place in places:
            committed = found.get(place)
            value = None if committed is None else (committed.offset, committed.metadata)
            mine = self.last.get(place)
            if mine is not None:
                out[place] = (judge(value, mine), 0 if committed is None else committed.offset)
        return out

    async def commit(self, pointers: Mapping[Place, Pointer]) -> None:
        """Write ``pointers``; the caller has just read with `find`. Raises LogError, then nothing is known to be
        written.
        """
        await self._offsets.commit(self.group, {place: (p.offset, p.metadata()) for place, p in pointers.items()})
        self.last.update(pointers)

    def epoch_of(self, place: Place) -> int:
        """The epoch under which this worker claimed ``place``."""
        return self.last[place].epoch

    def forget(self, places: Iterable[Place]) -> None:
        for place in places:
            self.last.pop(place, None)
