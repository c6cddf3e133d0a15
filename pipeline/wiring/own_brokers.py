"""Own brokers: those that join the cluster while a process runs become places that nothing may be sent to, too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from pipeline.guard import Guard
from pipeline.webhook.own import Place, own_places

EVERY_S = 60.0


class OwnBrokers:
    """``brokers`` asks the cluster for the places its brokers advertise; ``known``: those denied already."""

    def __init__(self, guard: Guard, brokers: Callable[[], Awaitable[Iterable[Place]]], known: Iterable[Place]) -> None:
        self._guard, self._brokers, self._known = guard, brokers, set(known)

    async def look(self) -> set[Place]:
        """Deny those that are new, under each of their addresses; which those are. Raises LogError."""
        new = set(await self._brokers()) - self._known
        if new:
            self._guard.deny(await own_places(new))
            self._known |= new
        return new
