"""Attempts that carry a credential which may have to be renewed: header lines of their own, and 401 answered once.

What is sent here is sent by a `Sender`, which knows these attempts as `Try`. An attempt whose credential was refused is
repeated once with a renewed one and counts as one attempt all the same; nobody above hears of the first. All that wait
for a credential wait for the same renewal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.record import Position
from pipeline.webhook.addresses import ConnectFailed
from pipeline.webhook.transport import Done


class Authorization(Protocol):
    """As whom deliveries are sent. ``ready``: whether `lines` may be sent; if not, `renew` first."""

    @property
    def ready(self) -> bool: ...

    def lines(self) -> bytes:
        """Header lines, each behind its CR LF; they may be others next time."""

    def rejected(self, status: int) -> bool:
        """Whether ``status`` may mean that the credential is stale."""

    async def renew(self) -> None:
        """Have a newer one. Raises `ConnectFailed`."""

    def close(self) -> None: ...


class Writes(Protocol):
    """Writes requests that begin with ``head``."""

    head: bytes

    def write(self, content: Any, attempt: int, timestamp: bytes, origin: Position | None = None, /) -> bytes: ...


class Try:
    """One attempt; ``refused`` is the reply that was answered with a renewal, None before."""

    __slots__ = ("arg", "content", "done", "lines", "number", "origin", "refused", "started")

    def __init__(self, content: Any, number: int, done: Done, arg: Any, origin: Position | None) -> None:
        self.content, self.number, self.done, self.arg, self.origin = content, number, done, arg, origin
        self.started = monotonic()
        self.lines = b""
        self.refused: Reply | None = None


class Credential:
    """``writer`` writes requests without ``authorization``, ``send`` sends a `Try`; a renewal takes ``timeout_s`` at
    most.
    """

    def __init__(
        self, authorization: Authorization, writer: Writes, *, send: Callable[[Try], None], timeout_s: float
    ) -> None:
        self._authorization, self._writer, self._send, self._timeout_s = authorization, writer, send, timeout_s
        self._waiting: dict[Try, None] = {}
        self._renewing: asyncio.Task[None] | None = None

    def write(self, content: Any, attempt: int, timestamp: bytes, origin: Position | None = None) -> bytes:
        """The whole request, the credential's lines behind those that never change."""
        request, place = self._writer.write(content, attempt, timestamp, origin), len(self._writer.head)
        return b"".join((request[:place], self._authorization.lines(), request[place:]))

    def begin(self, attempt: Try) -> None:
        """Send it, after a renewal if there is no credential to send."""
        attempt.lines = self._authorization.lines()
        if self._authorization.ready:
            self._send(attempt)
        else:
            self._renew_for(attempt)

    def judge(self, attempt: Try, outcome: Reply | Fault) -> None:
        """The ``done`` of every `Try`."""
        if not isinstance(outcome, Reply) or attempt.refused or not self._authorization.rejected(outcome.status):
            attempt.done(attempt.arg, outcome)
            return
        attempt.refused = outcome
        if self._authorization.ready and self._authorization.lines() != attempt.lines:
            self._send(attempt)  # it was renewed meanwhile
        else:
            self._renew_for(attempt)

    def abort(self, arg: object) -> None:
        """Break off what waits for a renewal with this very ``arg``."""
        self._waiting = {attempt: None for attempt in self._waiting if attempt.arg is not arg}

    def close(self) -> None:
        self._waiting.clear()
        if self._renewing is not None:
            self._renewing.cancel()
        self._authorization.close()

    def _renew_for(self, attempt: Try) -> None:
        self._waiting[attempt] = None
        if self._renewing is None:
            self._renewing = asyncio.get_running_loop().create_task(self._renew())

    async def _renew(self) -> None:
        failed: ConnectFailed | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._authorization.renew()
        except ConnectFailed as error:
            failed = error
        except TimeoutError:
            failed = ConnectFailed(FaultKind.TIMEOUT, f"no credential within {self._timeout_s:g} s")
        self._renewing = None
        waiting, self._waiting = self._waiting, {}
        for attempt in waiting:
            self._go_on(attempt, failed)

    def _go_on(self, attempt: Try, failed: ConnectFailed | None) -> None:
        if failed is None and self._authorization.lines() != attempt.lines:
            self._send(attempt)
        elif attempt.refused is not None:
            attempt.done(attempt.arg, attempt.refused)
        elif failed is None:
            self._send(attempt)
        else:
            attempt.done(attempt.arg, Fault(failed.kind, failed.detail, monotonic() - attempt.started))
