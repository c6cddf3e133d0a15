"""Stops: what a run said of itself stands in the tables once, unless somebody was first."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from pipeline.errors import BrokerUnavailable
from pipeline.kafka.producer import Producer
from pipeline.push.audit import Audit
from pipeline.push.stops import Stops
from pipeline.subscription import StoredRun, StoredSubscription
from tests.fakes.bridge import AUDIT, FakeBridge, reading_of, row_of
from tests.fakes.table import FakeTable

ROW = row_of()
RUN = StoredRun(id="r1", subscription="hook", kind="redrive", window={"app.hook.dlq": {0: (3, 9), 1: (0, 4)}})
GROUP = "app.hook.redrive.r1"


class Bench(FakeBridge):
    def __init__(self) -> None:
        super().__init__()
        self.subscriptions, self.runs = FakeTable(), FakeTable()
        self.let_go: list[str] = []
        audit = Audit(cast("Producer", self.producer), AUDIT, "w1")
        self.stops = Stops(
            self.subscriptions, self.runs, self.offsets, audit=audit, hooks=self.hooks, let_go=self.note_let_go
        )

    async def note_let_go(self, group: str) -> None:
        self.let_go.append(group)

    async def put(self, row: StoredSubscription = ROW, run: StoredRun = RUN) -> None:
        await self.subscriptions.put("hook", msgspec.json.encode(row), based_on=None)
        await self.runs.put(run.id, msgspec.json.encode(run), based_on=None)

    def row(self) -> StoredSubscription:
        return msgspec.json.decode(self.subscriptions.content["hook"].value, type=StoredSubscription)

    def run_row(self) -> StoredRun:
        return msgspec.json.decode(self.runs.content["r1"].value, type=StoredRun)


async def test_a_subscription_is_stopped_with_the_first_reason_and_told_once() -> None:
    bench = Bench()
    await bench.put()
    bench.stops.add(reading_of(ROW), "blocked", "pointer-missing: t/0")
    bench.stops.add(reading_of(ROW), "gone", "too late")
    await bench.stops.record()
    await bench.stops.record()
    assert (bench.row().state, bench.row().reason) == ("blocked", "pointer-missing: t/0")
    assert bench.hooks.of("on_stopped") == [("app.hook", "blocked", "pointer-missing: t/0")]
    told = {"who": "w1", "what": "blocked", "name": "app.hook", "reason": "pointer-missing: t/0"}
    assert bench.audited() == [told]


async def test_what_somebody_changed_meanwhile_stands_and_nothing_is_told() -> None:
    bench = Bench()
    await bench.put(row_of(in_flight_max=3))
    bench.stops.add(reading_of(ROW), "blocked", "x")
    await bench.stops.record()
    assert (bench.row().state, bench.audited()) == ("active", [])


async def test_a_row_that_is_gone_stays_so() -> None:
    bench = Bench()
    bench.stops.add(reading_of(ROW), "blocked", "x")
    await bench.stops.record()
    assert bench.subscriptions.content == {}


async def test_a_run_that_is_through_is_done_and_keeps_its_window() -> None:
    bench = Bench()
    await bench.put()
    bench.stops.add(reading_of(ROW, RUN), "done", "the window is delivered")
    await bench.stops.record()
    assert bench.run_row() == msgspec.structs.replace(RUN, state="done")
    assert (bench.row(), bench.let_go) == (ROW, [])


async def test_a_run_that_cannot_go_on_is_cancelled_where_it_was() -> None:
    """What it did not deliver may be redriven again: its window says what was run."""
    bench = Bench()
    await bench.put()
    await bench.offsets.commit(GROUP, {("app.hook.dlq", 0): (5, None), ("app.hook.dlq", 1): (0, None)})
    bench.stops.add(reading_of(ROW, RUN), "blocked", "topic-not-found: app.hook.dlq")
    await bench.stops.record()
    assert bench.let_go == [GROUP]
    assert bench.run_row() == msgspec.structs.replace(RUN, state="cancelled", window={"app.hook.dlq": {0: (3, 5)}})


async def test_410_met_by_a_run_stops_the_subscription_and_leaves_the_run_to_be_taken_up() -> None:
    bench = Bench()
    await bench.put()
    bench.stops.add(reading_of(ROW, RUN), "gone", "the endpoint answered 410")
    await bench.stops.record()
    assert (bench.row().state, bench.run_row()) == ("gone", RUN)


async def test_what_could_not_be_written_is_written_the_next_time() -> None:
    bench = Bench()
    await bench.put()
    bench.stops.add(reading_of(ROW), "blocked", "x")
    put = bench.subscriptions.put

    async def fails(*_: Any, **__: Any) -> Any:
        raise BrokerUnavailable("no answer")

    bench.subscriptions.put = fails  # type: ignore[method-assign]
    with pytest.raises(BrokerUnavailable):
        await bench.stops.record()
    bench.subscriptions.put = put  # type: ignore[method-assign]
    assert bench.audited() == []
    await bench.stops.record()
    assert bench.row().state == "blocked"


@pytest.mark.parametrize("value", [b"{", b'{"id":"r1","subscription":"hook","kind":"split","window":{}}'])
async def test_a_row_that_cannot_be_read_any_more_stands_and_ends_no_worker(value: bytes) -> None:
    bench = Bench()
    await bench.put()
    await bench.runs.put("r1", value, based_on=bench.runs.content["r1"].version)
    await bench.subscriptions.put("hook", value, based_on=bench.subscriptions.content["hook"].version)
    bench.stops.add(reading_of(ROW, RUN), "done", "the window is delivered")
    bench.stops.add(reading_of(ROW), "gone", "the endpoint answered 410")
    await bench.stops.record()
    assert bench.runs.content["r1"].value == value == bench.subscriptions.content["hook"].value
    assert bench.hooks.of("on_stopped") == []
