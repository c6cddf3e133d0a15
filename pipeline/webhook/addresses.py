"""The addresses of one target: resolved, every answer judged, pinned for a while.

One blocked answer refuses all: a name that mixes public and private addresses is an attack or a mistake. An answer is
put to use for `ADDRESSES_S` only, and nothing but an answer that was judged is ever connected to.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pipeline.delivery.verdict import FaultKind
from pipeline.errors import AddressBlocked
from pipeline.guard import Guard

# How long the guarded addresses of a name serve new connections. They are pinned meanwhile: no window for rebinding.
ADDRESSES_S = 10.0
# A name with more answers is served by its first ones; the guard has seen all of them.
ADDRESSES_TRIED_MAX = 4
# A resolver that slips (a captive portal, a split horizon, 0.0.0.0 of a filter) shall not stop a subscription for good:
# a blocked answer is a look-up that failed, until one that is this much later says the same again.
DOUBT_S = 5.0

Resolve = Callable[..., Awaitable[Sequence[tuple[Any, ...]]]]
"""As ``loop.getaddrinfo``."""
SockAddress = tuple[socket.AddressFamily, str]


class ConnectFailed(Exception):
    """No connection: ``kind`` and ``detail`` are those of the `Fault` to report."""

    def __init__(self, kind: FaultKind, detail: str) -> None:
        self.kind, self.detail = kind, detail
        super().__init__(detail)


class Addresses:
    """Asks the resolver for one host and port; one look-up at a time, however many wait for it.

    ``doubt_s``: see `DOUBT_S`; 0 believes the first blocked answer.
    """

    def __init__(
        self, host: str, port: int, guard: Guard, *, resolve: Resolve | None = None, doubt_s: float = 0.0
    ) -> None:
        self._host, self._port, self._guard, self._doubt_s = host, port, guard, doubt_s
        self._resolve_name = resolve or asyncio.get_running_loop().getaddrinfo
        self._found: list[SockAddress] = []
        self._fresh_until = 0.0
        self._blocked_since: float | None = None
        self._resolving: asyncio.Task[list[SockAddress]] | None = None

    async def get(self) -> list[SockAddress]:
        """Addresses that may be called, at least one. Raises `AddressBlocked`, or `ConnectFailed` of kind DNS."""
        if asyncio.get_running_loop().time() < self._fresh_until:
            return self._found
        # One look-up at a time: a resolver that hangs must not take all threads of the loop's pool.
        if self._resolving is None or self._resolving.done():
            self._resolving = asyncio.create_task(self._resolve())
            self._resolving.add_done_callback(_look)
        return await asyncio.shield(self._resolving)

    def forget(self) -> None:
        """Ask the resolver again next time."""
        self._fresh_until = 0.0

    def close(self) -> None:
        """Wait for no answer of the resolver any more."""
        if self._resolving is not None:
            self._resolving.cancel()

    async def _resolve(self) -> list[SockAddress]:
        loop = asyncio.get_running_loop()
        answers = await self._answers()
        try:
            for _, ip in answers:
                self._guard.check_address(self._host, ip, self._port)
        except AddressBlocked as error:
            self._doubt(error, loop.time())
            raise
        self._blocked_since = None
        self._found = answers[:ADDRESSES_TRIED_MAX]
        self._fresh_until = loop.time() + ADDRESSES_S
        return self._found

    async def _answers(self) -> list[SockAddress]:
        try:
            answers = await self._resolve_name(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ConnectFailed(FaultKind.DNS, f"{self._host}: {error.strerror or 'cannot be resolved'}") from None
        except UnicodeError:
            raise ConnectFailed(FaultKind.DNS, f"{self._host}: no name that can be looked up") from None
        found: list[SockAddress] = [(family, str(address[0])) for family, _, _, _, address in answers]
        if not found:
            raise ConnectFailed(FaultKind.DNS, f"{self._host}: no address")
        return list(dict.fromkeys(found))

    def _doubt(self, error: AddressBlocked, now: float) -> None:
        """Raise the milder fault while this may still be a slip of the resolver."""
        if self._blocked_since is None:
            self._blocked_since = now
        if now - self._blocked_since < self._doubt_s:
            raise ConnectFailed(FaultKind.DNS, f"{error}; looked up again before that counts") from None


def _look(task: asyncio.Task[list[SockAddress]]) -> None:
    """Look at a failure whose askers have all run out of time, so that asyncio does not complain."""
    if not task.cancelled():
        task.exception()
