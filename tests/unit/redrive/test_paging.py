"""Paging: what lies on the log is waited for, not taken for absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pytest

from pipeline.errors import BrokerUnavailable
from pipeline.faces import TopicFacts
from pipeline.kafka.admin import TopicState
from pipeline.record import Record
from pipeline.redrive.paging import Paging

FACTS = TopicState("t", "A" * 22, 1)


class Page(NamedTuple):
    topic: TopicFacts
    records: list[Record]
    next_offsets: dict[int, int]
    next_cursor: str
    caught_up: bool


class LateSource:
    """Sees the log's end only after it was asked ``late`` times."""

    def __init__(self, late: int) -> None:
        self.late, self.asked = late, 0

    async def resolve(self, topic: str, start: str | None) -> tuple[TopicFacts, Mapping[int, int]]:
        return FACTS, {0: 1}

    async def records(self, topic: str, start: str | None, limit: int) -> Page:
        self.asked += 1
        if self.asked <= self.late:
            return Page(FACTS, [], {0: 0}, "c0", True)
        return Page(FACTS, [Record("t", 0, 0, 0, None, b"x")], {0: 1}, "c1", True)


async def test_what_lies_there_is_waited_for() -> None:
    source = LateSource(3)
    taken = await (await Paging.open(source, "t")).take(None, 10)
    assert ([record.value for record in taken.records], taken.next_cursor, taken.caught_up) == ([b"x"], "c1", True)
    assert source.asked == 4


async def test_what_does_not_come_is_an_error_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.redrive.paging.SETTLE_S", 0.05)
    with pytest.raises(BrokerUnavailable, match="t ends behind"):
        await (await Paging.open(LateSource(10**6), "t")).take(None, 10)
