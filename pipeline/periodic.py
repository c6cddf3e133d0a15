"""Rounds: something done every so often for as long as a process runs, whatever becomes of one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Periodic:
    """Awaits ``act`` every ``every_s`` seconds, for the first time after one rest; rounds never overlap.

    What a round raises goes to ``on_error``, and the next one comes in its time.
    """

    def __init__(self, act: Callable[[], Awaitable[object]], every_s: float, on_error: Callable[[Exception], None]):
        self._act, self._every_s, self._on_error = act, every_s, on_error
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """From within a running event loop, once."""
        self._task = asyncio.create_task(self._go_round())

    async def stop(self) -> None:
        """No round is under way any more when this returns; one that was is cancelled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _go_round(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self._act()
            except Exception as error:  # noqa: BLE001 - any: a fault in one round must not end the others in silence
                self._on_error(error)
