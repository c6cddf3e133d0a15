"""Pointers: the committed offsets of one run's group, read before every commit.

The committed value alone is the truth, and others may move it at any time. What was found decides (`push.findings`),
and nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

import msgspec

from pipeline.delivery.pointer import Pointer, read_pointer
from pipeline.delivery.spill import spill_of, with_spill
from pipeline.errors import PipelineError
from pipeline.push.findings import Finding, added_later, judge

SPILL_S = 1.0
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


class Loaded(NamedTuple):
    """Pointers found and claimed, and the partitions whose pointer is missing."""

    pointers: dict[Place, Pointer]
    missing: list[Place]


class Spills(Protocol):
    """Where the rest of pointers lies that do not fit their commit's metadata."""

    async def write(self, group: str, place: Place, spill: bytes, /) -> int: ...
    async def read(self, group: str, place: Place, offset: int, /) -> bytes | None: ...
    def drop(self, group: str, place: Place, /) -> None: ...


class Spilled(NamedTuple):
    """Where the latest spill of a partition lies, when it was written, and whether it knows all that was committed."""

    at: int
    written_s: float
    is_whole: bool


class PointerKeeper:
    """Loads, claims and commits the pointers of ``group`` as worker ``owner``.

    ``grows``: partitions may have been added since the start was committed; never to a bounded reading's window.
    ``spills`` None: what does not fit is cut. ``now`` gives monotonic seconds, ``on_error`` is told of spills that
    failed: the commit goes on without.
    """

    def __init__(
        self,
        offsets: Offsets,
        group: str,
        owner: str,
        *,
        grows: bool = True,
        spills: Spills | None = None,
        now: Callable[[], float] = lambda: 0.0,
        on_error: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._offsets, self.group, self.owner, self._grows = offsets, group, owner, grows
        self._spills, self._now, self._on_error = spills, now, on_error
        self.last: dict[Place, Pointer] = {}
        self._written: dict[Place, tuple[int, str | None]] = {}
        # Topic -> how many partitions are known to have pointers.
        self._counted: dict[str, int] = {}
        self._spilled: dict[Place, Spilled] = {}

    async def load(
        self,
        places: list[Place],
        partition_counts: Mapping[str, int],
        now_ms: int,
        *,
        may_claim: Callable[[Place], bool] = lambda _: True,
    ) -> Loaded:
        """Read the pointers of ``places`` and write them back under a new epoch, so that a stale worker can tell.
        ``may_claim`` is asked after reading: what was taken away meanwhile is another's, and left alone.

        An epoch is the wall clock in milliseconds, at least one more than the last: it grows even where a tool's reset
        wiped the one before.
        """
        # What is wanted is asked for by name: the counts may be older than a partition that was added.
        everywhere = {(topic, number) for topic, count in partition_counts.items() for number in range(count)}
        found = await self._offsets.read(self.group, sorted(everywhere.union(places)))
        read = {place: read_pointer(committed.offset, committed.metadata) for place, committed in found.items()}
        if self._grows:
            self._count_all({topic for topic, _ in places}, read)
        pointers: dict[Place, Pointer] = {}
        missing: list[Place] = []
        for place in places:
            if not may_claim(place):
                continue
            before = read.get(place)
            if before is not None and before.spilled_at is not None and self._spills is not None:
                read[place] = with_spill(before, await self._spills.read(self.group, place, before.spilled_at))
            pointer = self._begin(place, found, read.get(place), now_ms)
            if pointer is None:
                missing.append(place)
            else:
                pointers[place] = pointer
        for topic, number in pointers if self._grows else ():
            self._count(topic, number + 1)
        pointers = {place: pointer for place, pointer in pointers.items() if may_claim(place)}
        if pointers:
            await self.commit(pointers)
        return Loaded(pointers, missing)

    def _count_all(self, topics: Iterable[str], read: Mapping[Place, Pointer | None]) -> None:
        """Go by the pointers that are there, and by what each of them tells."""
        for topic in topics:
            told = [pointer.partitions for place, pointer in read.items() if place[0] == topic and pointer is not None]
            self._count(topic, max([0, *told, *(number + 1 for other, number in read if other == topic)]))

    def _count(self, topic: str, count: int) -> None:
        self._counted[topic] = max(count, self._counted.get(topic, 0))

    def _begin(
        self, place: Place, found: Mapping[Place, Committed], before: Pointer | None, now_ms: int
    ) -> Pointer | None:
        topic, number = place
        committed = found.get(place)
        if committed is None:
            counted = self._counted.get(topic, 0)
            if not self._grows or not added_later(number, [n for t, n in found if t == topic], counted):
                return None
            return Pointer(epoch=now_ms, owner=self.owner, offset=0)
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
        # The partition after those that are counted: another worker may have claimed it since, as one added later.
        beyond = [(topic, self._counted[topic]) for topic in {topic for topic, _ in places} if topic in self._counted]
        found = await self._offsets.read(self.group, [*places, *beyond])
        for topic, number in beyond:
            if (topic, number) in found:
                self._count(topic, number + 1)
        out: dict[Place, tuple[Finding, int]] = {}
        for place in places:
            committed = found.get(place)
            value = None if committed is None else (committed.offset, committed.metadata)
            mine = self.last.get(place)
            if mine is not None and value is not None and value == self._written.get(place):
                out[place] = (Finding.MINE, value[0])  # to the letter what was written: nothing to judge
            elif mine is not None:
                out[place] = (judge(value, mine), 0 if committed is None else committed.offset)
        return out

    async def commit(self, pointers: Mapping[Place, Pointer]) -> None:
        """Write ``pointers``, what does not fit first; the caller has just read with `find`. Raises LogError, then
        nothing is known to be written.
        """
        # One after the other: few spill, and a task for each of those that do not would cost more than the commit.
        written = {item[0]: await self._whole(item) for item in pointers.items()}
        texts = {place: (pointer.offset, pointer.metadata()) for place, pointer in written.items()}
        await self._offsets.commit(self.group, texts)
        self.last.update(written)
        self._written.update(texts)
        for place, pointer in written.items():
            if pointer.spilled_at is None and self._spilled.pop(place, None) is not None and self._spills is not None:
                self._spills.drop(self.group, place)

    async def _whole(self, item: tuple[Place, Pointer]) -> Pointer:
        """The pointer with the count of partitions, and with its spill named where it does not fit."""
        place, pointer = item
        spilled_at = None
        if self._spills is not None and not pointer.fits():
            spilled_at = await self._spill(place, pointer, self._spills)
        partitions = self._counted.get(place[0], 0)
        return msgspec.structs.replace(pointer, spilled_at=spilled_at, partitions=partitions)

    def spill_afresh(self) -> None:
        """The next commit may be the last: what it names shall know everything."""
        self._spilled = {place: spilled._replace(written_s=-SPILL_S) for place, spilled in self._spilled.items()}

    def owes_spill(self, place: Place) -> bool:
        """Whether what is committed names a spill that knows less than it might, and it is time for another."""
        spilled = self._spilled.get(place)
        return spilled is not None and not spilled.is_whole and self._now() - spilled.written_s >= SPILL_S

    async def _spill(self, place: Place, pointer: Pointer, spills: Spills) -> int | None:
        """Where the latest spill lies, written anew when it is `SPILL_S` old: an older one knows less, no more."""
        latest, now = self._spilled.get(place), self._now()
        if latest is not None and now - latest.written_s < SPILL_S:
            self._spilled[place] = latest._replace(is_whole=False)
            return latest.at
        try:
            at = await spills.write(self.group, place, spill_of(pointer))
        except PipelineError as error:
            self._on_error(error)
            return None if latest is None else latest.at
        self._spilled[place] = Spilled(at, now, is_whole=True)
        return at

    def epoch_of(self, place: Place) -> int:
        """The epoch under which this worker claimed ``place``."""
        return self.last[place].epoch

    def forget(self, places: Iterable[Place]) -> None:
        for place in places:
            self.last.pop(place, None)
            self._written.pop(place, None)
            self._spilled.pop(place, None)
