"""An asyncio loop on virtual time: it never waits, and runs only when the world lets it."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import threading
from asyncio import events
from collections import deque
from collections.abc import Callable, Iterator
from math import inf
from typing import Any


class _NoSelector:
    def select(self, timeout: float | None) -> list[object]:
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """``now`` tells the time of the world. `turn` runs what is ready; `next_time` says when there is something.

    Stands on names of `asyncio.base_events` that are not public, the same in 3.11 to 3.13: ``_ready``, ``_run_once``,
    and ``_scheduled``, a heap whose cancelled entries ``_timer_cancelled_count`` counts.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _timer_cancelled_count: int
    _run_once: Callable[[], None]

    def __init__(self, now: Callable[[], float], complain: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._now = now
        self._selector = _NoSelector()
        self.set_exception_handler(lambda _, context: complain(context))

    def time(self) -> float:
        return self._now()

    def next_time(self) -> float:
        """`now` when something is ready, infinite when nothing ever will be by itself."""
        if self._ready:
            return self._now()
        scheduled = self._scheduled
        while scheduled and scheduled[0].cancelled():
            heapq.heappop(scheduled)
            self._timer_cancelled_count -= 1
        return scheduled[0].when() if scheduled else inf

    def turn(self) -> None:
        """One turn of the loop, as `run_forever` would take it."""
        with self._running():
            self._run_once()

    def throw_away(self) -> None:
        """The process is gone: nothing of it runs any more, and nothing is told of that."""
        self.set_exception_handler(lambda *_: None)
        with self._running():
            for task in asyncio.all_tasks(self):
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # a killed process says nothing
                coroutine = task.get_coro()
                with contextlib.suppress(RuntimeError):
                    if coroutine is not None:
                        coroutine.close()
        self.close()

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        self._thread_id: int | None = threading.get_ident()
        events._set_running_loop(self)
        try:
            yield
        finally:
            events._set_running_loop(None)
            self._thread_id = None

    # What a selector loop would do with sockets.

    def _process_events(self, event_list: object) -> None: ...

    def _write_to_self(self) -> None: ...
