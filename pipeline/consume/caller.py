"""Calls one handler for a run's records, each in a task, and says what came of it (`pipeline.push.delivers`).

An attempt ends when its coroutine has ended, a time-out included: so two attempts of one key never overlap, even where
a handler takes its time to clean up after it was cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any

import msgspec

from pipeline.consume.incoming import Incoming
from pipeline.consume.outcomes import Reject, RetryLater, fault_of, timed_out
from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.record import Record

Call = Callable[[Incoming], Awaitable[object]]
Done = Callable[[Any, Reply | Fault], None]
DONE_STATUS = 204
log = logging.getLogger("pipeline.consume")


class Caller:
    """``make`` turns a record and an attempt's number into what the handler is given. ``waits``: whether `RetryLater`
    does; not in tests.
    """

    def __init__(
        self, call: Call, make: Callable[[Record, int], Incoming], timeout_s: float, *, waits: bool = True
    ) -> None:
        self._call, self._make, self._timeout_s, self._waits = call, make, timeout_s, waits
        self._loop = asyncio.get_running_loop()
        self._calls: dict[object, asyncio.Task[Reply | Fault]] = {}
        self._broken_off: set[asyncio.Task[Reply | Fault]] = set()

    def send(self, record: Record, attempt: int, done: Done, arg: Any, /) -> None:
        task = self._loop.create_task(self._attempt(record, attempt))
        self._calls[arg] = task
        task.add_done_callback(partial(self._ended, arg, done))

    def abort(self, arg: object, /) -> None:
        task = self._calls.pop(arg, None)
        if task is not None:
            self._broken_off.add(task)
            task.cancel()

    async def close(self) -> None:
        for arg in list(self._calls):
            self.abort(arg)
        await asyncio.gather(*self._broken_off, return_exceptions=True)

    def _ended(self, arg: object, done: Done, task: asyncio.Task[Reply | Fault]) -> None:
        if task in self._broken_off:
            self._broken_off.discard(task)
            return
        self._calls.pop(arg, None)
        # Cancelled, and not by us: something the handler waited for was.
        done(arg, Fault(FaultKind.RAISED, "CancelledError", 0.0) if task.cancelled() else task.result())

    async def _attempt(self, record: Record, attempt: int) -> Reply | Fault:
        began = monotonic()
        bound = asyncio.timeout(self._timeout_s)
        try:
            async with bound:
                await self._call(self._make(record, attempt))
        except Exception as error:  # noqa: BLE001 - a handler may raise anything; it becomes the attempt's outcome
            elapsed_s = monotonic() - began
            if bound.expired() and isinstance(error, TimeoutError):
                return timed_out(self._timeout_s, elapsed_s)
            self._tell(record, attempt, error)
            fault = fault_of(error, elapsed_s)
            return fault if self._waits else msgspec.structs.replace(fault, retry_after_s=None)
        return Reply(DONE_STATUS, None, monotonic() - began)

    def _tell(self, record: Record, attempt: int, error: Exception) -> None:
        meant = isinstance(error, Reject | RetryLater)
        log.warning("attempt %d of %s: %r", attempt, record.position, error, exc_info=None if meant else error)
