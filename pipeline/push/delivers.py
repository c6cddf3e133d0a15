"""What a run delivers to: a webhook's sender, or a coroutine's caller (`pipeline.consume`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from pipeline.delivery.verdict import Fault, Reply
from pipeline.record import Record


class Delivers(Protocol):
    """Every `send` ends in exactly one ``done(arg, outcome)``, on the loop, never before `send` returns, never after
    `abort`. No attempt is repeated here.
    """

    def send(self, record: Record, attempt: int, done: Callable[[Any, Reply | Fault], None], arg: Any, /) -> None:
        """Deliver ``record`` as attempt number ``attempt`` (from 1)."""
        ...

    def abort(self, arg: object, /) -> None:
        """Break off the attempt sent with this very ``arg``, if there is one."""
        ...

    async def close(self) -> None:
        """Break off everything, and wait until it is gone."""
        ...
