"""Own brokers: those that join the cluster while a process runs become places that nothing may be sent to, too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from pipeline.errors import PipelineError
from pipeline.guard import Guard
from pipeline.webhook.own import Place, own_places

EVERY_S = 60.0


class OwnBrokers:
    """``brokers`` asks the cluster for the places its brokers advertise; ``known``: those denied already."""

    def __init__(
        self,
        guard: Guard,
        brokers: Callable[[], Awaitable[Iterable[Place]]],
        known: Iterable[Place],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._guard, self._brokers, self._known, self._on_error = guard, brokers, set(known), on_error
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._look_on())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> set[Place]:
        """Deny those that are new, under each of their addresses; which those are. Raises LogError."""
        new = set(await self._brokers()) - self._known
        if new:
            self._guard.deny(await own_places(new))
            self._known |= new
        return new

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.look()
            except PipelineError as error:
                self._on_error(error)
