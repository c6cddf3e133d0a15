"""A handler's attempt: in a task, timed, broken off, and told once what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pipeline.consume.caller import Caller
from pipeline.consume.incoming import Incoming
from pipeline.consume.outcomes import Reject, RetryLater
from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.record import Record

RECORD = Record("orders", 1, 7, 0, b"k", b"{}")
Outcomes = list[tuple[object, Reply | Fault]]


def make(record: Record, attempt: int) -> Incoming:
    return Incoming(record, attempt, delivery_id="evt_a_1_7", run_id=None, defaults=("/s", "t"))


async def outcome_of(
    call: Callable[[Incoming], Awaitable[object]], timeout_s: float = 5.0, *, waits: bool = True
) -> Reply | Fault:
    caller, ended = Caller(call, make, timeout_s, waits=waits), asyncio.get_running_loop().create_future()
    caller.send(RECORD, 3, lambda arg, outcome: ended.set_result((arg, outcome)), "lane")
    arg, outcome = await ended
    assert arg == "lane"
    assert isinstance(outcome, Reply | Fault)
    return outcome


async def test_returning_is_success() -> None:
    seen: list[Incoming] = []

    async def take(event: Incoming) -> None:
        seen.append(event)

    outcome = await outcome_of(take)
    assert isinstance(outcome, Reply)
    assert outcome.status == 204
    assert (seen[0].attempt, seen[0].position) == (3, ("orders", 1, 7))


async def test_what_is_raised_is_the_fault() -> None:
    async def take(_: Incoming) -> None:
        raise ValueError("no")

    outcome = await outcome_of(take)
    assert isinstance(outcome, Fault)
    assert (outcome.kind, outcome.detail) == (FaultKind.RAISED, "ValueError: no")


async def test_a_refusal_and_a_wait_asked_for_are_kept_apart() -> None:
    async def refuse(_: Incoming) -> None:
        raise Reject("never")

    async def later(_: Incoming) -> None:
        raise RetryLater(12.5)

    refused, asked = await outcome_of(refuse), await outcome_of(later)
    assert isinstance(refused, Fault)
    assert isinstance(asked, Fault)
    assert refused.kind is FaultKind.REFUSED
    assert (asked.kind, asked.retry_after_s) == (FaultKind.RAISED, 12.5)


async def test_where_nothing_waits_a_wait_asked_for_does_not_either() -> None:
    async def later(_: Incoming) -> None:
        raise RetryLater(12.5)

    outcome = await outcome_of(later, waits=False)
    assert isinstance(outcome, Fault)
    assert outcome.retry_after_s is None


async def test_an_attempt_over_time_ends_when_its_coroutine_has_ended() -> None:
    cleaned_up = False

    async def hang(_: Incoming) -> None:
        nonlocal cleaned_up
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up = True

    outcome = await outcome_of(hang, timeout_s=0.001)
    assert isinstance(outcome, Fault)
    assert outcome.kind is FaultKind.TIMEOUT
    assert cleaned_up


async def test_a_time_out_of_the_handlers_own_is_no_time_out_of_ours() -> None:
    async def impatient(_: Incoming) -> None:
        raise TimeoutError("the database")

    outcome = await outcome_of(impatient)
    assert isinstance(outcome, Fault)
    assert outcome.kind is FaultKind.RAISED


async def test_a_coroutine_that_was_cancelled_from_inside_has_failed() -> None:
    async def cancelled(_: Incoming) -> None:
        raise asyncio.CancelledError

    outcome = await outcome_of(cancelled)
    assert isinstance(outcome, Fault)
    assert outcome.kind is FaultKind.RAISED


async def test_what_was_broken_off_is_told_to_nobody() -> None:
    began, broken_off = asyncio.Event(), asyncio.Event()
    outcomes: Outcomes = []

    async def hang(_: Incoming) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            broken_off.set()
            raise

    caller = Caller(hang, make, 5.0)
    caller.send(RECORD, 1, lambda arg, outcome: outcomes.append((arg, outcome)), "lane")
    await began.wait()
    caller.abort("lane")
    await caller.close()
    assert broken_off.is_set()
    assert outcomes == []


async def test_closing_breaks_everything_off() -> None:
    ended: Outcomes = []
    caller = Caller(lambda _: asyncio.Event().wait(), make, 5.0)
    for arg in ("a", "b"):
        caller.send(RECORD, 1, lambda arg, outcome: ended.append((arg, outcome)), arg)
    await caller.close()
    assert ended == []
