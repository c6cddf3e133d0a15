"""Counting: bounded runs are counted in rows, live ones are not, and a worker counts on where its name left off."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pipeline.errors import BrokerUnavailable
from pipeline.faces import Partition
from pipeline.kafka.table import Row
from pipeline.push.counting import CountingHooks, RunCounts
from pipeline.runs.tallies import Tally, read_tally, summed
from tests.fakes.bridge import NotingHooks
from tests.fakes.table import FakeTable

GROUP, LIVE = "app.hook.replay.r1", "app.hook"


class Hand:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    def draw(self) -> float:
        return 0.5


class Bench:
    """Counts of one worker over tables that outlive it; ``running`` is what it runs."""

    def __init__(self) -> None:
        self.table, self.runs, self.clock, self.inner = FakeTable(), FakeTable(), Hand(), NotingHooks()
        self.runs.content["r1"] = Row(b"{}", 1)
        self.errors: list[Exception] = []
        self.running: dict[str, Mapping[Partition, int]] = {}
        self.begin("w1")

    def begin(self, worker: str) -> None:
        self.counts = RunCounts(self.table, self.runs, worker, self.clock, self.errors.append)
        self.counts._running = lambda: self.running
        self.hooks = CountingHooks(self.inner, self.counts)

    def deliver(self, group: str, times: int) -> None:
        meter = self.hooks.meter(group)
        for _ in range(times):
            meter(204, 0.1, 0.0)
        meter(503, 0.1, -1.0)

    def told(self) -> Tally | None:
        return summed(self.table.rows(), GROUP)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_bounded_run_is_counted_with_its_time_and_place(bench: Bench) -> None:
    bench.running[GROUP] = {("orders", 0): 7}
    bench.deliver(GROUP, 3)
    bench.hooks.on_buried(GROUP, "exhausted")
    bench.clock.now += 2.5
    await bench.counts.write()
    assert bench.told() == Tally(delivered=3, dead_lettered=1, active_s=2.5, reached={"orders": {0: 7}})
    assert bench.inner.of("on_buried") == [(GROUP, "exhausted")] and len(bench.inner.of("on_attempt")) == 4


async def test_live_runs_are_not_counted(bench: Bench) -> None:
    bench.deliver(LIVE, 3)
    bench.hooks.on_buried(LIVE, "exhausted")
    await bench.counts.write()
    assert bench.table.content == {}


async def test_time_counts_only_while_it_runs(bench: Bench) -> None:
    bench.running[GROUP] = {}
    bench.deliver(GROUP, 1)
    bench.clock.now += 1
    await bench.counts.write()
    del bench.running[GROUP]
    bench.clock.now += 600
    await bench.counts.write()
    bench.running[GROUP] = {}
    bench.deliver(GROUP, 1)
    bench.clock.now += 2
    await bench.counts.write()
    told = bench.told()
    assert told is not None and (told.delivered, told.active_s) == (2, 3.0)


async def test_a_run_that_delivered_nothing_was_counted_too(bench: Bench) -> None:
    bench.hooks.meter(GROUP)
    await bench.counts.write()
    assert bench.told() == Tally()


async def test_what_nothing_changed_is_not_written_again(bench: Bench) -> None:
    bench.deliver(GROUP, 1)
    await bench.counts.write()
    written = bench.table.written
    await bench.counts.write()
    assert bench.table.written == written == 1


async def test_a_worker_counts_on_from_its_row_and_beside_others(bench: Bench) -> None:
    bench.deliver(GROUP, 3)
    await bench.counts.write()
    for worker in ("w1", "w2"):
        bench.begin(worker)
        bench.deliver(GROUP, 2)
        await bench.counts.write()
    told = bench.told()
    assert told is not None and told.delivered == 7 and len(bench.table.content) == 2


async def test_a_run_that_was_forgotten_leaves_no_row(bench: Bench) -> None:
    bench.deliver(GROUP, 3)
    bench.runs.content.clear()
    await bench.counts.write()
    assert bench.table.content == {}


async def test_a_broker_that_is_away_costs_no_counts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> Row:
        raise BrokerUnavailable("away")

    bench.deliver(GROUP, 3)
    with monkeypatch.context() as patched:
        patched.setattr(bench.table, "put", away)
        await bench.counts.write()
    assert len(bench.errors) == 1
    await bench.counts.write()
    told = bench.told()
    assert told is not None and told.delivered == 3


def test_a_row_of_a_later_release_is_no_tally() -> None:
    assert read_tally(b'{"delivered":"many"}') is None
    assert summed({f"{GROUP}/w": Row(b"[", 1), "app.hook.replay.r10/w": Row(b"{}", 1)}, GROUP) is None
