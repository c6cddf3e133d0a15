"""Attempts that end without a connection: told in a later turn of the loop, never before `Sender.send` returned."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from pipeline.delivery.verdict import Fault
from pipeline.record import Position, Record
from pipeline.webhook.bundle import Bundle
from pipeline.webhook.credential import Try
from pipeline.webhook.transport import Done


class Waiting:
    """An attempt that no connection has taken yet; ``started`` in monotonic seconds."""

    __slots__ = ("arg", "content", "done", "number", "origin", "started")

    def __init__(  # noqa: PLR0917 - what `Sender.send` is given, as it is given
        self, content: Record | Bundle, number: int, done: Done, arg: Any, origin: Position | None, started: float
    ) -> None:
        self.content, self.number, self.done, self.arg, self.origin = content, number, done, arg, origin
        self.started = started


class Faults:
    """Faults to tell; no more than there are attempts under way."""

    __slots__ = ("_loop", "_untold")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._untold: deque[tuple[Done, Any, Fault]] = deque()

    def tell_soon(self, done: Done, arg: Any, fault: Fault) -> None:
        self._untold.append((done, arg, fault))
        self._loop.call_soon(self._tell_next)

    def forget(self, arg: object) -> None:
        """Do not tell of the attempt with this very ``arg``."""
        self._untold = deque(untold for untold in self._untold if owner(untold[1]) is not arg)

    def clear(self) -> None:
        self._untold.clear()

    def _tell_next(self) -> None:
        if self._untold:  # else it was forgotten meanwhile
            done, arg, fault = self._untold.popleft()
            done(arg, fault)


def owner(arg: Any) -> Any:
    """What the caller of `Sender.send` gave as ``arg``, behind what is ours."""
    return arg.arg if type(arg) is Try else arg
