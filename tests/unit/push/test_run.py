"""Run: what happens around the core: attempts told, payloads read again, burials, and failures that stop it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from pipeline.delivery.pointer import Pointer
from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.errors import BrokerUnavailable
from pipeline.push.parts import BridgeSettings
from pipeline.push.pump import SENDS_MAX, SENDS_UNASKED
from pipeline.push.run import Run
from pipeline.record import Record
from tests.fakes.bridge import AUDIT, OK, FakeBridge, eventually, reading_of, row_of

T0 = ("t", 0)
AGAIN: dict[str, Any] = {"retry": {"schedule_s": [0.0, 0.0]}}
ONCE: dict[str, Any] = {"retry": {"schedule_s": []}}


class Bench(FakeBridge):
    def begin(self, offset: int = 0, **declared: Any) -> Run:
        run = self.run(reading_of(row_of(**declared)))
        run.begin(T0, Pointer(epoch=1, owner="w1", offset=offset))
        return run

    async def answer(self, *outcomes: Reply | Fault) -> None:
        for outcome in outcomes:
            await eventually(lambda: bool(self.sender.open), "an attempt")
            self.sender.answer(outcome)

    def letters(self) -> list[Record]:
        return self.log.topics["app.hook.dlq"].partitions[0].records


def status(code: int) -> Reply:
    return Reply(code, None, 0.01)


async def test_events_of_a_key_are_sent_one_after_the_other_and_attempts_are_recorded() -> None:
    bench = Bench()
    bench.append(b"0", b"1")
    run = bench.begin(**AGAIN)
    await bench.answer(status(500), OK, OK)
    assert [(record.value, attempt) for record, attempt in bench.sender.sent] == [(b"0", 1), (b"0", 2), (b"1", 1)]
    commit = run.core.commit_of(T0)
    await run.close()  # which writes what waits
    told = [(line["offset"], line["attempt"], line["verdict"]) for _, _, line in bench.journal.lines]
    assert told == [(0, 1, "retry"), (0, 2, "delivered"), (1, 1, "delivered")]
    assert [arguments[1] for arguments in bench.hooks.of("on_attempt")] == [500, 204, 204]
    assert commit.offset == 2
    assert bench.sender.closed


async def test_a_delivery_tells_how_old_its_event_was_and_a_failure_does_not() -> None:
    bench, told = Bench(), []
    bench.hooks.meter = lambda run: lambda *facts: told.append((run, *facts))  # type: ignore[method-assign]
    bench.log.now_ms = int(time.time() * 1000) - 60_000
    bench.append(b"0")
    bench.log.now_ms += 600_000  # a producer's clock that is ahead of ours
    bench.append(b"1")
    run = bench.begin(**AGAIN)
    await bench.answer(status(500), OK, OK)
    await run.close()
    assert [(group, code, elapsed_s) for group, code, elapsed_s, _ in told] == [
        ("app.hook", 500, 0.01),
        ("app.hook", 204, 0.01),
        ("app.hook", 204, 0.01),
    ]
    failed, old, ahead = (age_s for _, _, _, age_s in told)
    assert (failed, ahead) == (-1.0, 0.0)
    assert 60 <= old < 70


async def test_attempts_are_not_recorded_where_that_is_not_wanted() -> None:
    bench = Bench()
    bench.settings = BridgeSettings(instance="w1", record_attempts=False)
    bench.append(b"0")
    run = bench.begin()
    await bench.answer(OK)
    await run.close()
    assert (bench.journal.lines, len(bench.hooks.of("on_attempt"))) == ([], 1)


async def test_who_may_not_act_sends_nothing_until_he_may() -> None:
    bench = Bench()
    bench.may_act = False
    bench.append(b"0")
    run = bench.begin()
    for _ in range(20):
        await asyncio.sleep(0)
    assert bench.sender.sent == []
    assert run.core.held_bytes == 0
    bench.may_act = True
    await bench.answer(OK)


async def test_a_turn_begins_a_bounded_number_of_attempts_and_the_next_turns_the_others() -> None:
    bench = Bench()
    for number in range(2 * SENDS_MAX + 1):
        bench.append(b"x", key=b"%d" % number)
    run = bench.begin(in_flight_max=4096)
    began = []
    while len(bench.sender.sent) <= 2 * SENDS_MAX:
        before = len(bench.sender.sent)
        await asyncio.sleep(0)
        began.append(len(bench.sender.sent) - before)
    assert max(began) == SENDS_MAX
    assert [record.offset for record, _ in bench.sender.sent] == list(range(2 * SENDS_MAX + 1))
    await run.close()


async def test_who_was_frozen_in_the_middle_of_a_turn_begins_few_more() -> None:
    bench = Bench()
    for number in range(40):
        bench.append(b"x", key=b"%d" % number)
    send = bench.sender.send

    def frozen_while_sending(record: Record, *more: Any) -> None:
        send(record, *more)
        bench.may_act = bench.may_act and len(bench.sender.sent) != 11

    bench.sender.send = frozen_while_sending  # type: ignore[method-assign, assignment]
    run = bench.begin(in_flight_max=4096)
    await eventually(lambda: bool(bench.sender.sent))
    began = len(bench.sender.sent)
    assert 11 < began <= 11 + SENDS_UNASKED
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(bench.sender.sent) == began
    bench.may_act = True
    await eventually(lambda: len(bench.sender.sent) == 40)
    assert [record.offset for record, _ in bench.sender.sent] == list(range(40)), "each once, in order"
    await run.close()


async def test_what_was_not_begun_when_its_partition_went_is_not_begun() -> None:
    bench = Bench()
    for number in range(SENDS_MAX + 9):
        bench.append(b"x", key=b"%d" % number)
    run = bench.begin(in_flight_max=4096)
    while not bench.sender.sent:  # noqa: ASYNC110 - by single turns of the loop
        await asyncio.sleep(0)
    run.forget(T0)
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(bench.sender.sent) == SENDS_MAX
    await run.close()


@pytest.mark.parametrize("declared", [{}, {"in_flight_max": 1}, {"rate_per_s": 1000.0}, {"ordering": "partition"}])
async def test_after_each_delivery_whatever_is_left_to_do_is_done(declared: dict[str, Any]) -> None:
    """A run that has nothing left after a delivery is not looked at again; one that has is."""
    bench = Bench()
    run = bench.begin(**declared)
    for number in range(6):
        bench.append(b"x", key=b"%d" % (number % 2))
        if number % 3 == 0:
            await bench.answer(OK)
    await bench.answer(*[OK] * 4)
    await eventually(lambda: run.commit_of(T0).offset == 6)
    assert run.pump.changed
    await run.close()


async def test_a_change_is_told_once_until_it_was_committed() -> None:
    told: list[bool] = []
    bench = Bench()
    run = bench.run(reading_of(), on_changed=lambda: told.append(True))
    run.begin(T0, Pointer(epoch=1, owner="w1", offset=0))
    bench.append(b"0", b"1")
    await bench.answer(OK, OK)
    assert told == [True]
    run.pump.changed = False
    bench.append(b"2")
    await bench.answer(OK)
    assert told == [True, True]
    await run.close()


async def test_a_payload_that_cannot_be_read_again_just_now_is_no_failed_attempt() -> None:
    bench = Bench()
    fetch, failures = bench.view.fetch, [BrokerUnavailable("no answer")]

    async def sometimes(topic: str, partition: int, offset: int) -> Record | None:
        if failures:
            raise failures.pop()
        return await fetch(topic, partition, offset)

    bench.view.fetch = sometimes  # type: ignore[method-assign]
    bench.append(b"0")
    run = bench.begin(**AGAIN)
    await bench.answer(status(500), status(500), OK)
    assert [attempt for _, attempt in bench.sender.sent] == [1, 2, 3]
    assert (bench.stopped, len(bench.hooks.of("on_consumer_error"))) == ([], 1)
    assert run.core.commit_of(T0).offset == 1


async def test_an_event_that_retention_took_while_it_waited_is_a_gap() -> None:
    bench = Bench()
    bench.append(b"0", b"1")
    run = bench.begin(**AGAIN)
    await eventually(lambda: bool(bench.sender.open))
    bench.log.trim("t", 0, 1)
    await bench.answer(status(500), OK)
    assert bench.hooks.of("on_gap") == [("t", 0, 0, 1)]
    gap = {"who": "w1", "what": "gap", "name": "app.hook", "topic": "t", "partition": 0, "first": 0, "until": 1}
    assert bench.audited() == [gap]
    assert run.core.commit_of(T0).offset == 2


async def test_a_record_the_filter_cannot_judge_is_buried_unsent() -> None:
    bench = Bench()
    bench.append(b"0", ce_specversion=b"1.0", ce_id=b"a", ce_source=b"/s", ce_type=b"t")
    bench.append(b"1", ce_specversion=b"1.0", ce_id=b"\xff")
    bench.append(b"2", ce_specversion=b"1.0", ce_id=b"b", ce_source=b"/s", ce_type=b"t")
    run = bench.begin(filters=[{"exact": {"type": "t"}}])
    await bench.answer(OK, OK)
    await eventually(lambda: run.core.commit_of(T0).offset == 3)
    assert [record.value for record, _ in bench.sender.sent] == [b"0", b"2"]
    assert [letter.header("dlq.reason") for letter in bench.letters()] == [b"undecodable"]
    assert run.reading.unreadable == {}


async def test_a_burial_counts_when_it_is_acknowledged_and_not_before() -> None:
    bench = Bench()
    bench.producer.down = True
    bench.append(b"0")
    run = bench.begin(**ONCE)
    await bench.answer(status(500))
    await eventually(lambda: bool(bench.hooks.of("on_bury_failed")))
    assert run.core.commit_of(T0).offset == 0
    bench.producer.down = False
    await eventually(lambda: run.core.commit_of(T0).offset == 1)
    assert [arguments[1] for arguments in bench.hooks.of("on_buried")] == ["exhausted"]


async def test_a_parked_key_stays_parked_for_the_next_owner() -> None:
    bench = Bench()
    bench.append(b"0", b"1")
    run = bench.begin(on_dead_letter="park", **ONCE)
    await bench.answer(status(500))
    await eventually(lambda: run.core.commit_of(T0).offset == 2)
    await run.close()
    bench.append(b"2")
    heir = bench.begin(2, on_dead_letter="park", **ONCE)
    await eventually(lambda: heir.core.commit_of(T0).offset == 3)
    assert len(bench.sender.sent) == 1
    assert [letter.value for letter in bench.letters()] == [b"0", b"1", b"2"]


async def test_attempts_made_before_a_restart_count() -> None:
    bench = Bench()
    bench.append(b"0")
    run = bench.run(reading_of(row_of(**AGAIN)))
    run.begin(T0, Pointer(epoch=1, owner="w1", offset=0, attempts={0: (2, 1_795_219_200)}))
    await bench.answer(status(500))
    await eventually(lambda: len(bench.letters()) == 1)
    assert bench.letters()[0].header("dlq.attempts") == b"3"


async def test_an_address_that_may_not_be_called_blocks_the_subscription_and_buries_nothing() -> None:
    """S1: a backlog is not buried one by one because a name leads elsewhere."""
    bench = Bench()
    bench.append(b"0", b"1")
    run = bench.begin()
    await bench.answer(Fault(FaultKind.BLOCKED_ADDRESS, "x may not be called", 0.0))
    await eventually(lambda: bool(bench.stopped))
    ((state, reason),) = bench.stopped
    assert state == "blocked"
    assert reason.startswith("address-blocked: ") and "x may not be called" in reason
    assert (len(bench.sender.sent), bench.letters(), run.core.commit_of(T0).offset) == (1, [], 0)


async def test_410_stops_the_subscription_and_buries_nothing() -> None:
    bench = Bench()
    bench.append(b"0", b"1")
    run = bench.begin()
    await bench.answer(status(410))
    await eventually(lambda: bool(bench.stopped))
    assert bench.stopped == [("gone", "the endpoint answered 410")]
    assert (len(bench.sender.sent), bench.letters(), run.core.commit_of(T0).offset) == (1, [], 0)


async def test_a_position_beyond_the_end_blocks_and_names_the_place() -> None:
    bench = Bench()
    bench.begin(99)
    await eventually(lambda: bool(bench.stopped))
    ((state, reason),) = bench.stopped
    assert state == "blocked"
    assert reason.startswith("position-beyond-end: t/0: ")


@pytest.mark.parametrize("where", ["pump", "task"])
async def test_a_failure_of_our_own_blocks_and_passes_nothing(where: str) -> None:
    bench = Bench()
    seen: list[dict[str, Any]] = []

    def broken(*_: object, **__: object) -> Any:
        raise ZeroDivisionError("a mistake")

    bench.append(b"0")
    run = bench.run(reading_of(row_of(**ONCE)))
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
    if where == "pump":
        bench.sender.send = broken  # type: ignore[method-assign]
    else:
        bench.producer.append = broken  # type: ignore[method-assign]
    run.begin(T0, Pointer(epoch=1, owner="w1", offset=0))
    if where == "task":
        await bench.answer(status(500))
    await eventually(lambda: bool(bench.stopped))
    assert bench.stopped[0] == ("blocked", "internal: ZeroDivisionError('a mistake')")
    assert run.core.commit_of(T0).offset == 0
    asyncio.get_running_loop().set_exception_handler(None)


async def test_draining_begins_nothing_more_and_waits_for_what_is_in_flight() -> None:
    bench = Bench()
    bench.append(b"0", b"1")
    run = bench.begin()
    await eventually(lambda: bool(bench.sender.open))
    await run.drain([T0], 0.0)
    bench.sender.answer()
    await run.drain([T0], 10.0)
    assert (len(bench.sender.sent), run.core.commit_of(T0).offset, bench.view.feeds_open) == (1, 1, 0)


async def test_what_was_forgotten_counts_for_nothing() -> None:
    bench = Bench()
    bench.append(b"0")
    run = bench.begin()
    await eventually(lambda: bool(bench.sender.open))
    done, lane = bench.sender.open[0]
    run.forget(T0)
    done(lane, OK)
    assert (bench.sender.aborted, run.places) == (1, [])
    run.forget(T0)
    await run.close()
    assert bench.journal.lines == []


async def test_an_open_breaker_is_told() -> None:
    bench = Bench()
    for number in range(12):
        bench.append(b"x", key=b"%d" % number)
    bench.begin(retry={"schedule_s": [60.0]})
    await bench.answer(*[Fault(FaultKind.CONNECT, "refused", 0.0)] * 10)
    await eventually(lambda: bool(bench.hooks.of("on_breaker")))
    assert bench.hooks.of("on_breaker") == [("app.hook", "open")]


def test_the_audit_topic_is_the_namespaces() -> None:
    assert AUDIT in FakeBridge().log.topics
