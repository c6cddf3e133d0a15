"""Runs that deliver in batches: what goes together, what a refusal counts for, and what ends with the run."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from pipeline.deadletter import Failure, wrap
from pipeline.delivery.pointer import Pointer
from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.push.core_settings import core_settings
from pipeline.push.parts import BridgeSettings
from pipeline.push.run import Run
from pipeline.record import Headers
from pipeline.subscription import StoredRun
from tests.fakes.bridge import OK, FakeBridge, eventually, reading_of, row_of

T0, T1 = ("t", 0), ("t", 1)
NEVER_MS = 10_000
WHEN = "2026-11-20T22:00:00Z"
REFUSED, TOO_LARGE, FAILED = Reply(422, None, 0.02), Reply(413, None, 0.02), Reply(429, None, 0.02)


class Bench(FakeBridge):
    def begin(self, *, batch: dict[str, int] | None = None, run: StoredRun | None = None, **declared: Any) -> Run:
        limits = {"linger_ms": 0, **(batch or {})}
        row = row_of(format="batch", batch=limits, retry={"schedule_s": [0.0], "reject_status": [422]}, **declared)
        begun = self.run(reading_of(row, run))
        for place in (T0, T1) if run is None else [(topic, part) for topic, of in run.window.items() for part in of]:
            begun.begin(place, Pointer(epoch=1, owner="w1", offset=0))
        return begun

    def add(self, *bodies: int, key: bytes | None = b"k", partition: int = 0) -> None:
        for body in bodies:
            self.log.append(
                "t", b"%d" % body, key=key, partition=partition, headers=(("content-type", b"application/json"),)
            )

    @property
    def requests(self) -> list[list[int]]:
        sent: list[Any] = [events for events, _ in self.sender.sent]
        return [[json.loads(event.json)["data"] for event in events] for events in sent]

    async def answer(self, *outcomes: Reply | Fault) -> None:
        for outcome in outcomes:
            await eventually(lambda: bool(self.sender.open), "a request")
            self.sender.answer(outcome)

    async def serve(self, run: Run, poison: int, *, until: int) -> None:
        """Refuse what holds ``poison``, until the pointer of the first partition is at ``until``."""
        for _ in range(2000):
            if run.core.commit_of(T0).offset == until:
                return
            if self.sender.open:
                self.sender.answer(REFUSED if poison in self.requests[-1] else OK)
            await asyncio.sleep(0.001)
        raise AssertionError(f"it stands at {run.core.commit_of(T0)} after {self.requests}")

    def attempts(self) -> list[tuple[int, int, str]]:
        return [(line["offset"], line["status"], line["verdict"]) for _, _, line in self.journal.lines]


async def test_a_hot_key_fills_a_batch_in_order_and_each_event_is_told_of() -> None:
    bench = Bench()
    bench.add(*range(10))
    run = bench.begin()
    await bench.answer(OK)
    assert bench.requests == [list(range(10))]
    assert (run.core.commit_of(T0).offset, run.core.settled, run.core.held_bytes) == (10, 10, 0)
    await run.close()
    assert bench.attempts() == [(number, 204, "delivered") for number in range(10)]
    assert len(bench.hooks.of("on_attempt")) == 10


@pytest.mark.parametrize(
    ("ordering", "requests"), [("partition", [[0, 1, 2, 3]]), ("key", [[0, 2, 1, 3]]), ("none", [[0, 1, 2, 3]])]
)
async def test_what_goes_together_stands_in_the_order_that_is_promised(
    ordering: str, requests: list[list[int]]
) -> None:
    bench = Bench()
    for number in range(4):
        bench.add(number, key=b"%d" % (number % 2))
    run = bench.begin(ordering=ordering)
    await bench.answer(OK)
    assert bench.requests == requests
    assert run.core.commit_of(T0).offset == 4


async def test_a_lane_has_one_request_under_way_and_what_comes_meanwhile_waits() -> None:
    bench = Bench()
    bench.add(0, 1)
    run = bench.begin(ordering="partition")
    await eventually(lambda: bool(bench.sender.open), "a request")
    bench.add(2, 3, key=b"other")
    held = run.core.held_bytes
    await eventually(lambda: run.core.held_bytes > held, "the later ones")
    assert bench.requests == [[0, 1]]
    await bench.answer(OK, OK)
    assert bench.requests == [[0, 1], [2, 3]]


async def test_of_a_hot_key_the_poison_event_alone_is_buried_and_those_behind_it_follow() -> None:
    bench = Bench()
    bench.add(*range(10))
    run = bench.begin()
    await bench.serve(run, 4, until=10)
    letters = bench.log.topics["app.hook.dlq"].partitions[0].records
    assert [letter.value for letter in letters] == [b"4"]
    await run.close()
    assert [told for told in bench.attempts() if told[2] == "delivered"] == [
        (number, 204, "delivered") for number in range(10) if number != 4
    ]
    assert (4, 422, "reject") in bench.attempts()


async def test_an_event_the_filter_cannot_judge_never_goes_with_the_one_ahead_of_it() -> None:
    bench = Bench()
    known: Headers = (("ce_type", b"t"), ("ce_source", b"/s"), ("content-type", b"application/json"))
    for body, own in (
        (b"0", (("ce_id", b"a"), *known)),
        (b"1", (("ce_id", b"\xff"),)),
        (b"2", (("ce_id", b"c"), *known)),
    ):
        bench.log.append("t", body, key=b"k", partition=0, headers=(("ce_specversion", b"1.0"), *own))
    run = bench.begin(filters=[{"exact": {"type": "t"}}])
    await bench.answer(OK, OK)
    await eventually(lambda: run.core.commit_of(T0).offset == 3)
    assert bench.requests == [[0], [2]]


async def test_too_large_a_batch_is_halved_and_nothing_of_it_has_failed() -> None:
    bench = Bench()
    bench.add(*range(8))
    run = bench.begin()
    for _ in range(30):
        if run.core.commit_of(T0).offset == 8:
            break
        await eventually(lambda: bool(bench.sender.open), "a request")
        bench.sender.answer(TOO_LARGE if len(bench.requests[-1]) > 3 else OK)
    await run.close()
    assert bench.attempts() == [(number, 204, "delivered") for number in range(8)]
    assert bench.requests[:4] == [list(range(8)), [0, 1, 2, 3], [0, 1], [2, 3]]


async def test_an_event_too_large_by_itself_is_that_events_failure() -> None:
    bench = Bench()
    bench.add(0)
    run = bench.begin()
    await bench.answer(TOO_LARGE, TOO_LARGE)
    await eventually(lambda: run.core.commit_of(T0).offset == 1)
    await run.close()
    assert [status for _, status, _ in bench.attempts()] == [413, 413]


async def test_a_replay_goes_in_batches_as_the_live_reading_does() -> None:
    bench = Bench()
    bench.add(*range(6))
    replay = StoredRun(id="r1", subscription="hook", kind="replay", window={"t": {0: (0, 4)}})
    run = bench.begin(run=replay)
    await bench.answer(OK)
    assert bench.requests == [[0, 1, 2, 3]]
    assert run.core.settled == 4


async def test_a_redrive_sends_the_originals_under_their_own_ids() -> None:
    bench = Bench()
    bench.add(*range(3))
    failure = Failure(reason="exhausted", attempts=1, first_failed_at=WHEN, last_failed_at=WHEN)
    for original in bench.log.topics["t"].partitions[0].records:
        key, value, headers = wrap(original, "app.hook", failure)
        bench.log.append("app.hook.dlq", value, key=key, partition=0, headers=headers)
    window = {"app.hook.dlq": {0: (0, 3)}}
    run = bench.begin(run=StoredRun(id="r1", subscription="hook", kind="redrive", window=window))
    await bench.answer(OK)
    sent: list[Any] = [events for events, _ in bench.sender.sent]
    assert [event.webhook_id for event in sent[0]] == [b"evt_t_0_0", b"evt_t_0_1", b"evt_t_0_2"]
    assert bench.requests == [[0, 1, 2]]
    await run.close()
    assert bench.attempts() == [(number, 204, "delivered") for number in range(3)]


async def test_a_drain_waits_for_no_linger_and_begins_nothing_that_stood_behind() -> None:
    bench = Bench()
    bench.add(0, 1)
    run = bench.begin(batch={"linger_ms": NEVER_MS})
    await eventually(lambda: run.core.in_flight_of(T0) == 1)
    assert bench.requests == []
    drained = asyncio.create_task(run.drain([T0], 5.0))
    await bench.answer(OK)
    await asyncio.wait_for(drained, 1.0)
    assert bench.requests == [[0]]
    assert run.core.commit_of(T0).offset == 1


async def test_a_partition_that_goes_takes_its_events_out_of_the_batch_and_the_others_are_sent_again() -> None:
    bench = Bench()
    bench.add(0, 1)
    bench.add(100, 101, partition=1)
    run = bench.begin()
    await eventually(lambda: bench.requests == [[0, 1, 100, 101]], "a batch of both")
    run.forget(T1)
    await eventually(lambda: len(bench.requests) == 2, "another without the partition")
    await bench.answer(OK)
    assert bench.requests[1] == [0, 1]
    assert (run.core.commit_of(T0).offset, run.core.settled, run.core.partitions) == (2, 2, (T0,))
    await run.close()


async def test_no_more_lanes_are_under_way_than_may_be_in_flight() -> None:
    bench = Bench()
    for number in range(9):
        bench.add(number, key=b"%d" % (number % 3))
    run = bench.begin(in_flight_max=2)
    await eventually(lambda: bool(bench.sender.open), "a request")
    assert (bench.requests, len(run.core.limiter.in_flight)) == ([[0, 3, 6, 1, 4, 7]], 2)
    await bench.answer(OK, OK)
    assert bench.requests[1] == [2, 5, 8]


def test_lingering_is_not_taken_for_an_endpoint_that_hangs() -> None:
    settings = BridgeSettings(slow_after_s=1.0)
    assert core_settings(reading_of(row_of()), settings).limiter.slow_after_s == 1.0
    batched = reading_of(row_of(format="batch", batch={"linger_ms": 2500}))
    assert core_settings(batched, settings).limiter.slow_after_s == 3.5


async def test_what_waited_behind_a_failure_goes_in_batches_again() -> None:
    bench = Bench()
    bench.add(*range(20))
    run = bench.begin(ordering="partition", batch={"max_events": 10})
    await bench.answer(FAILED)
    await eventually(lambda: len(bench.requests) == 2, "its second try")
    await bench.answer(OK, OK, OK)
    await eventually(lambda: run.core.settled == 20)
    assert bench.requests[1:] == [[0], list(range(1, 11)), list(range(11, 20))]


async def test_what_cannot_be_read_with_a_head_is_a_head_in_its_turn() -> None:
    bench = Bench()
    bench.add(*range(6))
    run = bench.begin(ordering="partition")
    await bench.answer(FAILED)
    del bench.log.topics["t"].partitions[0].records[3]
    await bench.answer(OK, OK, OK)
    await eventually(lambda: run.core.settled == 6)
    assert bench.requests[1:] == [[0], [1, 2], [4, 5]]
    assert bench.hooks.of("on_gap") == [("t", 0, 3, 4)]


async def test_a_rate_counts_events_whether_they_are_heads_or_stand_behind() -> None:
    bench = Bench()
    bench.add(*range(40))
    run = bench.begin(ordering="partition", rate_per_s=5)
    await bench.answer(OK)
    assert bench.requests == [list(range(6))], "what is saved up, and a second's worth"
    assert run.core.limiter.token_at(loop_time := asyncio.get_running_loop().time()) > loop_time + 1.0


async def test_who_was_not_tried_goes_again_without_an_attempt() -> None:
    bench = Bench()
    for number in range(8):
        bench.add(number, key=b"%d" % number)
    run = bench.begin()
    await bench.answer(REFUSED, OK, Fault(FaultKind.TIMEOUT, "no reply", 0.02))
    await eventually(lambda: len(bench.requests) == 4, "those not tried")
    assert bench.requests == [list(range(8)), [0, 1, 2, 3], [4, 5], [6, 7]]
    assert set(run.core.commit_of(T0).attempts) == {4, 5}
    await bench.answer(OK)
    await run.close()
