"""Intake: from feeds into the core, as much as it has room for; gaps are told with their exact range."""

from __future__ import annotations

import asyncio
from typing import Any

from pipeline.delivery.ackmap import AckMap
from pipeline.delivery.core import Core
from pipeline.delivery.settings import CoreSettings
from pipeline.errors import PipelineError, PositionBeyondEnd
from pipeline.push.dispatch import Dispatcher
from pipeline.push.intake import LOOK_EVERY, Intake
from pipeline.push.reading import Place, Reading
from pipeline.subscription import StoredRun
from tests.fakes.bridge import reading_of, row_of
from tests.fakes.log import MemoryLog
from tests.fakes.view import FakeView

T0, T1 = ("t", 0), ("t", 1)
NOTHING = AckMap()


class Bench:
    """An intake over a log of two partitions, and what it told."""

    def __init__(self, reading: Reading | None = None, positions_max: int = 100_000, *, shared: bool = False) -> None:
        self.log = MemoryLog()
        self.log.create("t", 2)
        self.view = FakeView(self.log)
        view: Any = self.view
        self.dispatcher = Dispatcher(view, lambda topic: ("/s", topic), records_max=500) if shared else None
        self.core = Core(CoreSettings(positions_max=positions_max))
        self.woken = 0
        self.gaps: list[tuple[Place, int, int]] = []
        self.broken: list[tuple[Place, PipelineError]] = []
        self.intake = Intake(
            self.view,  # type: ignore[arg-type]  # a fake
            reading or reading_of(),
            self.core,
            on_ready=self.wake,
            on_gap=lambda place, first, until: self.gaps.append((place, first, until)),
            on_broken=lambda place, error: self.broken.append((place, error)),
            dispatcher=self.dispatcher,
        )

    def wake(self) -> None:
        self.woken += 1

    def append(self, count: int, partition: int = 0) -> None:
        for number in range(count):
            self.log.append("t", b"x", key=b"%d" % number, partition=partition)

    def open(self, place: Place, offset: int = 0, finished: AckMap = NOTHING) -> None:
        self.core.assign(place, offset, finished=finished)
        self.intake.open(place, offset, finished)

    async def turn(self) -> None:
        """What the dispatcher has to hand out is handed out."""
        for _ in range(5):
            await asyncio.sleep(0)

    def heads(self) -> list[int]:
        return sorted(lane.offset for lane in self.core.actions(0.0).sends)

    def committable(self, place: Place = T0) -> int:
        return self.core.commit_of(place).offset


def test_what_lies_there_is_taken_and_what_comes_later_wakes() -> None:
    bench = Bench()
    bench.append(3)
    bench.open(T0, 1)
    assert bench.woken == 1
    bench.intake.take(100)
    assert bench.heads() == [1, 2]
    woken = bench.woken
    bench.append(1)
    assert bench.woken == woken + 1


def test_partitions_are_taken_from_in_turn() -> None:
    bench = Bench(positions_max=4)
    bench.append(9, 0)
    bench.append(9, 1)
    bench.open(T0)
    bench.open(T1)
    for _ in range(3):
        bench.intake.take(2)
    assert bench.heads() == [0, 0, 1, 1]


def test_without_room_the_backlog_waits_in_the_log() -> None:
    bench = Bench(positions_max=2)
    bench.append(5)
    bench.open(T0)
    for _ in range(3):
        bench.intake.take(1)
    lanes = bench.core.actions(0.0).sends
    assert [lane.offset for lane in lanes] == [0, 1]
    bench.core.succeeded(lanes[0], 0.0)
    bench.intake.take(1)
    assert bench.heads() == [2]


def test_a_gap_is_told_with_its_exact_range_and_passed() -> None:
    bench = Bench()
    bench.append(8)
    bench.log.trim("t", 0, 5)
    bench.open(T0, 1)
    bench.intake.take(100)
    assert bench.gaps == [(T0, 1, 5)]
    assert (bench.heads(), bench.committable()) == ([5, 6, 7], 5)


def test_what_was_delivered_before_is_no_part_of_a_gap() -> None:
    bench = Bench()
    bench.append(20)
    bench.log.trim("t", 0, 12)
    bench.open(T0, 1, AckMap([(2, 4), (6, 7), (11, 14)]))
    bench.intake.take(100)
    assert bench.gaps == [(T0, 1, 2), (T0, 4, 6), (T0, 7, 11)]
    assert bench.heads() == [14, 15, 16, 17, 18, 19]


def test_a_gap_that_was_delivered_whole_is_none() -> None:
    bench = Bench()
    bench.append(20)
    bench.log.trim("t", 0, 4)
    bench.open(T0, 1, AckMap([(1, 9)]))
    bench.intake.take(100)
    assert bench.gaps == []


def test_a_bounded_reading_ends_where_it_says() -> None:
    bench = Bench(reading_of(None, StoredRun(id="r", subscription="hook", kind="replay", window={"t": {0: (2, 5)}})))
    bench.append(9)
    bench.open(T0, 2)
    bench.intake.take(100)
    assert bench.heads() == [2, 3, 4]
    assert bench.view.feeds_open == 0


def test_a_window_that_ends_at_the_end_of_the_log_is_not_waited_behind() -> None:
    bench = Bench(reading_of(None, StoredRun(id="r", subscription="hook", kind="replay", window={"t": {0: (0, 3)}})))
    bench.append(3)
    bench.open(T0)
    bench.intake.take(100)
    assert (bench.heads(), bench.view.feeds_open) == ([0, 1, 2], 0)


def test_a_bounded_reading_that_is_through_opens_nothing() -> None:
    bench = Bench(reading_of(None, StoredRun(id="r", subscription="hook", kind="replay", window={"t": {0: (2, 5)}})))
    bench.append(9)
    bench.open(T0, 5)
    bench.intake.take(100)
    assert (bench.view.feeds_open, bench.committable()) == (0, 5)


def test_a_gap_beyond_a_bounded_readings_end_is_none_of_its_own() -> None:
    bench = Bench(reading_of(None, StoredRun(id="r", subscription="hook", kind="replay", window={"t": {0: (2, 5)}})))
    bench.append(9)
    bench.log.trim("t", 0, 8)
    bench.open(T0, 2)
    bench.intake.take(100)
    assert bench.gaps == [(T0, 2, 5)]
    assert bench.committable() == 5


def test_a_window_that_ends_behind_the_last_record_is_reached() -> None:
    """Transaction markers and what compaction took have offsets and no records."""
    bench = Bench(reading_of(None, StoredRun(id="r", subscription="hook", kind="replay", window={"t": {0: (0, 4)}})))
    bench.append(1)
    bench.log.skip("t", 0, 3)
    bench.open(T0)
    bench.intake.take(100)
    bench.core.succeeded(bench.core.actions(0.0).sends[0], 0.0)
    assert bench.committable() == 4


def test_a_partition_that_cannot_be_read_on_is_told_and_closed_and_others_go_on() -> None:
    bench = Bench()
    bench.append(2, 1)
    bench.open(T0, 99)
    bench.open(T1)
    bench.intake.take(100)
    ((place, error),) = bench.broken
    assert (place, isinstance(error, PositionBeyondEnd)) == (T0, True)
    assert bench.heads() == [0, 1]
    assert bench.view.feeds_open == 1


def test_a_closed_partition_is_not_read_any_more() -> None:
    bench = Bench()
    bench.append(2)
    bench.open(T0)
    bench.intake.close(T0)
    bench.intake.close(T0)
    bench.intake.take(100)
    assert (bench.heads(), bench.view.feeds_open, bench.intake.end_of(T0)) == ([], 0, None)


def test_the_end_is_the_feeds() -> None:
    bench = Bench()
    bench.append(2)
    bench.open(T0)
    bench.intake.take(1)
    assert bench.intake.end_of(T0) == 2


async def test_who_has_caught_up_reads_with_the_others() -> None:
    bench = Bench(shared=True)
    bench.open(T0)
    bench.intake.take(100)
    assert (bench.intake.shared, bench.view.feeds_open) == (1, 1)
    bench.append(3)
    await bench.turn()
    assert bench.heads() == [0, 1, 2]
    assert bench.intake.end_of(T0) == 3


async def test_what_the_filter_leaves_out_is_passed_when_a_pointer_is_asked_for() -> None:
    bench = Bench(reading_of(row_of(filters=[{"exact": {"type": "none"}}])), shared=True)
    bench.open(T0)
    bench.intake.take(100)
    bench.append(5)
    woken = bench.woken
    await bench.turn()
    assert (bench.woken, bench.committable()) == (woken, 0)
    bench.intake.advance(T0)
    bench.intake.advance(T1)
    assert bench.committable() == 5


async def test_who_has_no_room_reads_alone_and_joins_again_when_it_has_caught_up() -> None:
    bench = Bench(positions_max=LOOK_EVERY, shared=True)
    for place in (T0, T1):
        bench.open(place)
    bench.intake.take(100)
    assert bench.intake.shared == 2
    bench.append(LOOK_EVERY)
    await bench.turn()
    assert (bench.intake.shared, bench.view.feeds_open) == (0, 0)
    bench.append(3)
    bench.append(1, 1)
    bench.intake.take(100)
    await bench.turn()
    lanes = bench.core.actions(0.0).sends
    assert [lane.offset for lane in lanes] == list(range(LOOK_EVERY))
    for lane in lanes:
        bench.core.succeeded(lane, 0.0)
    for _ in range(2):
        bench.intake.take(100)
    assert bench.intake.shared == 2
    assert bench.heads() == [0, LOOK_EVERY, LOOK_EVERY + 1, LOOK_EVERY + 2]


async def test_who_leaves_for_want_of_room_has_passed_what_the_filter_left_out() -> None:
    """Until something is appended there its own feed has nothing to tell, and the pointer would stand."""
    wanted = (("kind", b"made"),)
    reading = reading_of(row_of(filters=[{"exact": {"h.kind": "made"}}]))
    bench = Bench(reading, positions_max=LOOK_EVERY, shared=True)
    for place in (T0, T1):
        bench.open(place)
    bench.intake.take(100)
    bench.append(5, 1)
    await bench.turn()
    for _ in range(LOOK_EVERY):
        bench.log.append("t", b"x", headers=wanted, partition=0)
    await bench.turn()
    assert (bench.intake.shared, bench.committable(T1)) == (0, 5)


async def test_a_partition_still_gathered_is_read_although_there_was_no_room_when_it_came() -> None:
    bench = Bench(positions_max=LOOK_EVERY, shared=True)
    assert bench.dispatcher is not None
    bench.open(T0)
    bench.intake.take(10)
    bench.append(1, partition=1)
    bench.dispatcher.gather()
    bench.open(T1)
    bench.append(LOOK_EVERY)
    await bench.turn()
    bench.dispatcher.settle()
    for lane in bench.core.actions(0.0).sends:
        bench.core.succeeded(lane, 0.0)
    for _ in range(3):
        bench.intake.take(LOOK_EVERY)
        await bench.turn()
    assert bench.core.actions(0.0).sends
    assert bench.intake.end_of(T1) == 1


async def test_a_shared_partition_is_closed_with_the_last_of_its_readers() -> None:
    bench = Bench(shared=True)
    bench.open(T0)
    bench.intake.take(100)
    bench.intake.close(T0)
    bench.intake.close(T0)
    assert (bench.intake.shared, bench.view.feeds_open) == (0, 0)


async def test_a_gap_met_together_is_told_without_what_was_delivered_before() -> None:
    bench = Bench(shared=True)
    bench.open(T0, 0, AckMap([(2, 4)]))
    bench.intake.take(100)
    bench.append(8)
    bench.log.trim("t", 0, 6)
    await bench.turn()
    assert bench.gaps == [(T0, 0, 2), (T0, 4, 6)]
    assert bench.heads() == [6, 7]


async def test_a_bounded_reading_never_reads_with_others() -> None:
    run = StoredRun(id="r", subscription="hook", kind="replay", window={"t": {0: (0, 5)}})
    bench = Bench(reading_of(None, run), shared=True)
    bench.append(3)
    bench.open(T0)
    for _ in range(3):
        bench.intake.take(100)
    assert (bench.intake.shared, bench.heads()) == (0, [0, 1, 2])
