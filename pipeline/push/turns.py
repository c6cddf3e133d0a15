"""Turns of a run's work on the event loop: soon, at a time, or when a task of the run has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from math import inf

# A timer that stands so much too late is early enough.
LATE_S = 0.005
SOONEST_S = 0.001


class Turns:
    """Calls ``work`` at the end of a turn of the loop, once, however often it was woken in it. ``on_failure`` is told
    of an error that ``work`` or a task raised: a fault of ours, which ends the run.
    """

    def __init__(self, work: Callable[[], None], on_failure: Callable[[BaseException], None]) -> None:
        self._work, self._on_failure = work, on_failure
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._wakes_at = inf
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_due = False

    def wake(self) -> None:
        """Something changed."""
        if not self.is_due:
            self.is_due = True
            self._loop.call_soon(self._take)

    def wake_at(self, due: float, now: float) -> None:
        """Wake up at ``due`` (monotonic seconds); a timer that stands early enough is left alone."""
        if self._timer is not None:
            # The handle is not asked: uvloop gives one without `when` for less than half a millisecond, which is what
            # a loop that was kept from running between two looks at its clock finds here.
            if self._wakes_at <= due + LATE_S:
                return
            self._timer.cancel()
        self._wakes_at = max(due, now + SOONEST_S)
        self._timer = self._loop.call_later(self._wakes_at - now, self._time_is_up)

    def spawn(self, work: Coroutine[object, None, None]) -> None:
        """Let ``work`` run beside, and wake up when it has ended."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Break off what is under way."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take(self) -> None:
        self.is_due = False
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - the root of a run's work: it stops the run, committing no more
            self._loop.call_exception_handler({"message": "a run's work failed", "exception": error})
            self._on_failure(error)

    def _time_is_up(self) -> None:
        # A timer may fire a little early by the clock that the core goes by: it stands no more, whatever that says.
        self._timer = None
        self.wake()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._on_failure(error)
        self.wake()
