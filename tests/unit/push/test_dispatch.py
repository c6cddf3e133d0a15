"""Dispatch: one reading for many runs; each is given its own from where it joined, and nobody waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pipeline.errors import PipelineError, PositionBeyondEnd
from pipeline.filters import Filter, compile_filters
from pipeline.kafka.view import Gap
from pipeline.push.dispatch import SPAN, Dispatcher, Place, largest_company
from pipeline.record import Position, Record
from tests.fakes.bridge import eventually
from tests.fakes.log import MemoryLog
from tests.fakes.view import FakeView

T0, T1 = ("t", 0), ("t", 1)


class Reader:
    """A member, and what it was told. ``leaves_after``: it leaves when it was given so many records."""

    def __init__(self, dispatcher: Dispatcher, kind: str | None = None, leaves_after: int = 1_000_000) -> None:
        self._dispatcher, self._leaves_after = dispatcher, leaves_after
        self.wanted: Filter | None = None if kind is None else compile_filters([{"exact": {"h.kind": kind}}])
        self.offsets: list[int] = []
        self.reached: list[int] = []
        self.unjudged: list[int] = []
        self.sent_away: list[tuple[Place, int]] = []
        self.left_at: int | None = None
        self.gaps: list[Gap] = []
        self.broke: list[PipelineError] = []
        self.fails = False

    def given(
        self, place: Place, records: Sequence[Record], next_offset: int, unjudged: Mapping[Position, str]
    ) -> None:
        if self.fails:
            raise ZeroDivisionError
        self.offsets += [record.offset for record in records]
        self.reached.append(next_offset)
        self.unjudged += [position.offset for position in unjudged]
        if len(self.offsets) >= self._leaves_after:
            self.left_at = self._dispatcher.leave(place, self)

    def alone(self, place: Place, offset: int) -> None:
        self.sent_away.append((place, offset))

    def missed(self, place: Place, gap: Gap) -> None:
        self.gaps.append(gap)

    def broken(self, place: Place, error: PipelineError) -> None:
        self.broke.append(error)


class Bench:
    def __init__(self, records_max: int = 500, **view: Any) -> None:
        self.log = MemoryLog()
        self.log.create("t", 2)
        self.view = FakeView(self.log, **view)
        self.acts = True
        self.dispatcher = Dispatcher(
            self.view,  # type: ignore[arg-type]  # a fake
            lambda topic: (f"/{topic}", topic),
            records_max=records_max,
            may_act=lambda: self.acts,
        )

    def append(self, *kinds: str, partition: int = 0) -> None:
        for kind in kinds:
            self.log.append("t", b"x", key=b"k", partition=partition, headers=(("kind", kind.encode()),))

    async def read(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


async def test_each_is_given_its_own_from_where_it_joined() -> None:
    bench = Bench()
    bench.append("a", "b", "a", "b")
    every, a, late = Reader(bench.dispatcher), Reader(bench.dispatcher, "a"), Reader(bench.dispatcher, "b")
    assert bench.dispatcher.begin(T0, every, 0)
    assert bench.dispatcher.join(T0, a, 0)
    assert bench.dispatcher.join(T0, late, 2)
    await bench.read()
    bench.append("a")
    await bench.read()
    assert (every.offsets, a.offsets, late.offsets) == ([0, 1, 2, 3, 4], [0, 2, 4], [3])
    assert bench.view.feeds_open == 1


async def test_who_matches_nothing_is_not_called_and_its_position_goes_on() -> None:
    bench = Bench()
    nothing = Reader(bench.dispatcher, "none")
    bench.dispatcher.begin(T0, nothing, 0)
    bench.append("a", "b")
    bench.log.skip("t", 0, 3)
    await bench.read()
    assert nothing.reached == []
    assert bench.dispatcher.position(T0, nothing) == 5
    assert bench.dispatcher.position(T1, nothing) is None
    assert bench.dispatcher.end_of(T0) == 5


async def test_a_run_joins_at_the_reading_or_a_span_before_it_gets_there() -> None:
    bench = Bench()
    bench.log.skip("t", 0, 10)
    bench.dispatcher.begin(T0, Reader(bench.dispatcher), 10)
    late = Reader(bench.dispatcher, "a")
    assert not bench.dispatcher.join(T0, late, 9)
    assert not bench.dispatcher.join(T0, late, 11 + SPAN)
    assert bench.dispatcher.join(T0, late, 10 + SPAN)
    assert bench.dispatcher.position(T0, late) == 10 + SPAN
    assert bench.dispatcher.leave(T0, late) == 10 + SPAN


async def test_who_leaves_while_it_is_given_something_reads_on_behind_that() -> None:
    bench = Bench()
    full, other = Reader(bench.dispatcher, leaves_after=1), Reader(bench.dispatcher)
    bench.dispatcher.begin(T0, full, 0)
    bench.dispatcher.join(T0, other, 0)
    bench.append("a", "b")
    await bench.read()
    bench.append("c")
    await bench.read()
    assert (full.offsets, full.left_at, other.offsets) == ([0, 1], 2, [0, 1, 2])


async def test_with_the_last_one_the_reading_ends() -> None:
    bench = Bench()
    reader = Reader(bench.dispatcher)
    bench.dispatcher.begin(T0, reader, 0)
    assert bench.dispatcher.leave(T0, reader) == 0
    assert bench.view.feeds_open == 0
    bench.append("a")
    await bench.read()
    assert reader.offsets == []


async def test_one_turn_hands_out_a_bounded_number_and_partitions_take_turns() -> None:
    bench = Bench(records_max=2)
    bench.append(*"aaaaaa")
    bench.append(*"aaaaaa", partition=1)
    first, second = Reader(bench.dispatcher), Reader(bench.dispatcher)
    bench.dispatcher.begin(T0, first, 0)
    bench.dispatcher.begin(T1, second, 0)
    await asyncio.sleep(0)
    assert (first.offsets, second.offsets) == ([0, 1], [])
    await asyncio.sleep(0)
    assert (first.offsets, second.offsets) == ([0, 1], [0, 1])
    await bench.read()
    assert (len(first.offsets), len(second.offsets)) == (6, 6)


async def test_a_gap_is_told_to_those_it_is_before() -> None:
    bench = Bench()
    bench.append(*"aaaaaaaa")
    bench.log.trim("t", 0, 5)
    readers = {since: Reader(bench.dispatcher) for since in (1, 3, 6)}
    bench.dispatcher.begin(T0, readers[1], 1)
    for since in (3, 6):
        assert bench.dispatcher.join(T0, readers[since], since)
    await bench.read()
    assert {since: reader.gaps for since, reader in readers.items()} == {1: [Gap(1, 5)], 3: [Gap(3, 5)], 6: []}
    assert readers[6].offsets == [6, 7]


async def test_a_partition_that_cannot_be_read_ends_every_membership() -> None:
    bench = Bench()
    bench.append("a")
    readers = [Reader(bench.dispatcher, "a"), Reader(bench.dispatcher)]
    bench.dispatcher.begin(T0, readers[0], 99)
    bench.dispatcher.join(T0, readers[1], 99)
    await bench.read()
    assert [type(error) for reader in readers for error in reader.broke] == [PositionBeyondEnd] * 2
    assert (bench.dispatcher.position(T0, readers[0]), bench.view.feeds_open) == (None, 0)


async def test_one_that_fails_is_stopped_loudly_and_the_others_go_on() -> None:
    bench = Bench()
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    broken, other = Reader(bench.dispatcher), Reader(bench.dispatcher)
    broken.fails = True
    bench.dispatcher.begin(T0, broken, 0)
    bench.dispatcher.join(T0, other, 0)
    bench.append("a")
    await bench.read()
    bench.append("b")
    await bench.read()
    assert ([type(error) for error in told], len(broken.broke)) == ([ZeroDivisionError], 1)
    assert other.offsets == [0, 1]


async def test_what_a_filter_cannot_judge_is_given_with_the_fact() -> None:
    bench = Bench()
    reader = Reader(bench.dispatcher)
    reader.wanted = compile_filters([{"exact": {"type": "never"}}])
    bench.dispatcher.begin(T0, reader, 0)
    bench.log.append("t", b"x", key=b"k", partition=0, headers=(("ce_specversion", b"9"),))
    await bench.read()
    assert (reader.offsets, reader.unjudged) == ([0], [0])


async def test_nothing_is_read_while_the_worker_may_not_act() -> None:
    bench = Bench()
    bench.acts = False
    reader = Reader(bench.dispatcher)
    bench.dispatcher.begin(T0, reader, 0)
    bench.append("a")
    await bench.read()
    assert reader.offsets == []
    bench.acts = True
    await eventually(lambda: reader.offsets == [0])


async def test_those_who_begin_near_each_other_begin_as_one() -> None:
    bench = Bench()
    bench.append(*"aaaa")
    bench.log.skip("t", 0, 10 * SPAN)
    readers = {offset: Reader(bench.dispatcher) for offset in (0, 1, 3, 9 * SPAN)}
    bench.dispatcher.gather()
    for offset, reader in readers.items():
        assert bench.dispatcher.seat(T0, reader, offset)
    gone = Reader(bench.dispatcher)
    bench.dispatcher.seat(T0, gone, 0)
    assert bench.dispatcher.position(T0, gone) is None
    assert bench.dispatcher.leave(T0, gone) == 0
    bench.dispatcher.settle()
    await bench.read()
    assert [readers[offset].offsets for offset in (0, 1, 3)] == [[0, 1, 2, 3], [1, 2, 3], [3]]
    assert readers[9 * SPAN].sent_away == [(T0, 9 * SPAN)]
    assert bench.view.feeds_open == 1


async def test_who_begins_by_itself_reads_alone_until_somebody_is_near() -> None:
    bench = Bench()
    single = Reader(bench.dispatcher)
    assert not bench.dispatcher.seat(T0, single, 0)
    bench.dispatcher.gather()
    bench.dispatcher.seat(T0, single, 0)
    bench.dispatcher.settle()
    assert (single.sent_away, bench.view.feeds_open) == ([(T0, 0)], 0)


@pytest.mark.parametrize(
    ("offsets", "begin"),
    [
        ([], None),
        ([5], None),
        ([5, 5], 5),
        ([0, SPAN], 0),
        ([0, SPAN + 1], None),
        ([0, 1, 3 * SPAN, 3 * SPAN + 1, 3 * SPAN + 2], 3 * SPAN),
        ([0, 1, 3 * SPAN, 3 * SPAN + 1], 3 * SPAN),
        ([7, 3 * SPAN, 5, 6], 5),
    ],
)
def test_the_largest_company_begins_together(offsets: list[int], begin: int | None) -> None:
    assert largest_company(offsets) == begin
