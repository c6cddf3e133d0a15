"""Paging: records of a topic page by page, up to where the log itself ends.

A reader's view of the end may be a moment old. Whoever has just seen a redrive end, or appended a letter himself, must
find what came of it, so the end is asked of the broker once and waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from pipeline.errors import BrokerUnavailable
from pipeline.faces import TopicFacts
from pipeline.record import Record

SETTLE_S = 5.0
"""How long the reader may take to see what lies on the log."""
AGAIN_S = 0.02


class PageOfRecords(Protocol):
    @property
    def topic(self) -> TopicFacts: ...
    @property
    def records(self) -> Sequence[Record]: ...
    @property
    def next_offsets(self) -> Mapping[int, int]: ...
    @property
    def next_cursor(self) -> str: ...
    @property
    def caught_up(self) -> bool: ...


class RecordSource(Protocol):
    """Pages of records as they lie on a topic; `pipeline.pull.Reader` is one."""

    async def records(self, topic: str, start: str | None, limit: int, /) -> PageOfRecords: ...
    async def resolve(self, topic: str, start: str | None, /) -> tuple[TopicFacts, Mapping[int, int]]: ...


class Slice(NamedTuple):
    """Records, where to go on, and whether that is the end."""

    records: Sequence[Record]
    next_cursor: str
    caught_up: bool


class Paging:
    """Reads one topic up to the ``ends`` it had when this was opened."""

    def __init__(self, source: RecordSource, facts: TopicFacts, ends: Mapping[int, int]) -> None:
        self._source, self.facts, self.ends = source, facts, ends

    @staticmethod
    async def open(source: RecordSource, topic: str) -> Paging:
        """Raises `TopicNotFound`."""
        return Paging(source, *await source.resolve(topic, "latest"))

    async def take(self, cursor: str | None, limit: int) -> Slice:
        """The next records from ``cursor`` on, at most ``limit``; none only at the end.

        Raises `BrokerUnavailable` when what lies there does not come in `SETTLE_S`.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + SETTLE_S
        while True:
            page = await self._source.records(self.facts.name, cursor, limit)
            cursor = page.next_cursor
            caught_up = all(page.next_offsets.get(number, 0) >= end for number, end in self.ends.items())
            if page.records or caught_up or not page.caught_up:
                return Slice(page.records, cursor, caught_up)
            if clock() >= deadline:
                raise BrokerUnavailable(f"{self.facts.name} ends behind what could be read of it in {SETTLE_S:g} s")
            await asyncio.sleep(AGAIN_S)
