"""Pointer: the committed offsets behind a named cursor, read and moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from pipeline.cursor import Cursor
from pipeline.errors import CursorEpochChanged, CursorMalformed
from pipeline.faces import Partition, Pointers, TopicAdmin, TopicFacts
from pipeline.pull.mark import Mark, needs_keeping, parse_mark
from pipeline.pull.named import CursorRow, PartitionPosition, PointerMissing, version_of


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Next offsets by partition, with the marks that were beside them (None: a tool put it there)."""

    topic: TopicFacts
    offsets: dict[int, int]
    marks: dict[int, Mark | None]

    @property
    def token(self) -> str:
        return Cursor(self.topic.topic_id, self.offsets).token()

    @property
    def version(self) -> str:
        return version_of(self.token)


class Pointer:
    """The pointer of one consumer group without members on one topic."""

    def __init__(self, group: str, offsets: Pointers, admin: TopicAdmin) -> None:
        self.group, self._offsets, self._admin = group, offsets, admin

    async def held(self, facts: TopicFacts) -> Standing:
        """What is committed, which may be less than all partitions."""
        found = await self._offsets.read(self.group, places(facts, range(facts.partitions)))
        return Standing(
            topic=facts,
            offsets={number: committed.offset for (_, number), committed in sorted(found.items())},
            marks={number: parse_mark(committed.metadata) for (_, number), committed in found.items()},
        )

    async def standing(self, facts: TopicFacts, row: CursorRow) -> Standing:
        """The whole position. Raises `CursorEpochChanged`, or `PointerMissing` where one must be and is not."""
        if facts.topic_id != row.topic_id:
            raise CursorEpochChanged(f"topic {facts.name} was created again since the cursor was made; force a commit")
        held = await self.held(facts)
        absent = [number for number in range(facts.partitions) if number not in held.offsets]
        if gone := [number for number in absent if number < row.partitions]:
            raise PointerMissing(f"group {self.group} has no committed offset for partitions {gone}; force a commit")
        if not absent:
            return held
        first = await self._admin.offsets(places(facts, absent), "earliest")
        added = {number: offset for (_, number), offset in first.items()}
        return msgspec.structs.replace(held, offsets=dict(sorted((held.offsets | added).items())))

    async def positions(self, standing: Standing) -> list[PartitionPosition]:
        ends = await self._admin.offsets(places(standing.topic, standing.offsets), "latest")
        return [
            PartitionPosition(partition=number, committed=offset, end=end, lag=max(0, end - offset))
            for number, offset in standing.offsets.items()
            for end in (ends[standing.topic.name, number],)
        ]

    async def check_ends(self, facts: TopicFacts, wanted: Mapping[int, int]) -> None:
        """Kafka takes commits beyond the log end, where the reader would then stop for good: refuse them."""
        ends = await self._admin.offsets(places(facts, wanted), "latest")
        for (_, number), end in ends.items():
            if wanted[number] > end:
                raise CursorMalformed("cursor", f"{number}:{wanted[number]}", f"a position up to the log end, {end}")

    async def move(self, facts: TopicFacts, offsets: Mapping[int, int], now_ms: int) -> None:
        text = Mark(now_ms, now_ms).text()
        if offsets:
            await self._offsets.commit(self.group, {(facts.name, number): (at, text) for number, at in offsets.items()})

    async def keep(self, held: Standing, now_ms: int, every_ms: int) -> bool:
        """Commit what is committed again when it is ``every_ms`` old; True when that was needed."""
        if not needs_keeping(held.marks.values(), now_ms, every_ms):
            return False
        kept = {
            (held.topic.name, number): (offset, Mark(mark.moved_at_ms if mark else 0, now_ms).text())
            for number, offset in held.offsets.items()
            for mark in (held.marks[number],)
        }
        await self._offsets.commit(self.group, kept)
        return True


def places(facts: TopicFacts, partitions: Iterable[int]) -> list[Partition]:
    return [(facts.name, number) for number in partitions]
