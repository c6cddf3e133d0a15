"""Open a connection to an endpoint, and to nothing else.

The name is resolved once, every answer is put before the guard (one blocked answer refuses all: a name that mixes
public and private addresses is an attack or a mistake), and the socket is connected to one of exactly those addresses.
The peer is checked again before the first byte is sent, TLS verifies the name that was configured. Proxies of the
environment are never used.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pipeline.delivery.verdict import FaultKind
from pipeline.errors import AddressBlocked
from pipeline.guard import Guard, Target
from pipeline.webhook.transport import Connection

# How long the guarded addresses of a name serve new connections. They are pinned meanwhile: no window for rebinding.
ADDRESSES_S = 10.0
# A name with more answers is served by its first ones; the guard has seen all of them.
_ADDRESSES_TRIED_MAX = 4

Resolve = Callable[..., Awaitable[Sequence[tuple[Any, ...]]]]
"""As ``loop.getaddrinfo``."""
SockAddress = tuple[socket.AddressFamily, str]


class ConnectFailed(Exception):
    """No connection: ``kind`` and ``detail`` are those of the `Fault` to report."""

    def __init__(self, kind: FaultKind, detail: str) -> None:
        self.kind, self.detail = kind, detail
        super().__init__(detail)


@functools.lru_cache(maxsize=64)
def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """TLS 1.2 or newer, certificate and name verified against the system's authorities or those in `ca_file`.

    One context serves all senders: loading the authorities takes tens of milliseconds.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


class Connector:
    """Opens connections to one `target` within `timeout_s` each; the resolver is asked by one caller at a time."""

    def __init__(
        self,
        target: Target,
        guard: Guard,
        *,
        timeout_s: float,
        tls: ssl.SSLContext | None,
        resolve: Resolve | None = None,
    ) -> None:
        self._target, self._guard, self._timeout_s = target, guard, timeout_s
        self._resolve_name = resolve or asyncio.get_running_loop().getaddrinfo
        self._tls = tls if target.tls else None
        self._addresses: list[SockAddress] = []
        self._fresh_until = 0.0
        self._resolving: asyncio.Task[list[SockAddress]] | None = None

    async def open(self, factory: Callable[[], Connection]) -> Connection:
        """A new connection. Raises `ConnectFailed`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._connect(factory)
        except TimeoutError:
            raise ConnectFailed(FaultKind.TIMEOUT, f"no connection within {self._timeout_s:g} s") from None
        except AddressBlocked as error:
            raise ConnectFailed(FaultKind.BLOCKED_ADDRESS, str(error)) from None

    def forget_addresses(self) -> None:
        """Ask the resolver again for the next connection."""
        self._fresh_until = 0.0

    def close(self) -> None:
        """Wait for no answer of the resolver any more."""
        if self._resolving is not None:
            self._resolving.cancel()

    async def _connect(self, factory: Callable[[], Connection]) -> Connection:
        addresses = await self._resolved()
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timeout_s
        failed = ConnectFailed(FaultKind.CONNECT, "no address")
        for left, (family, ip) in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                # Each address gets its share of what is left: one that swallows packets leaves time for the next.
                async with asyncio.timeout((until - loop.time()) / left):
                    return await self._connect_to(family, ip, factory)
            except TimeoutError:
                failed = ConnectFailed(FaultKind.TIMEOUT, f"{ip} did not answer")
            except ConnectFailed as error:
                failed = error
        self.forget_addresses()
        raise failed

    async def _connect_to(self, family: socket.AddressFamily, ip: str, factory: Callable[[], Connection]) -> Connection:
        loop = asyncio.get_running_loop()
        target = self._target
        sock = socket.socket(family, socket.SOCK_STREAM)
        in_handshake = False
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, (ip, target.port))
            self._check_peer(sock)
            in_handshake = self._tls is not None
            name = target.host if self._tls else None
            _, connection = await loop.create_connection(factory, sock=sock, ssl=self._tls, server_hostname=name)
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise _failure(error, f"{ip} port {target.port}", in_handshake=in_handshake) from None
            raise
        return connection

    def _check_peer(self, sock: socket.socket) -> None:
        peer = sock.getpeername()
        self._guard.check_address(self._target.host, peer[0])
        if sock.getsockname()[:2] == peer[:2]:
            # TCP lets a socket that draws its target's port connect to itself; it would then answer its own request.
            raise OSError(errno.ECONNREFUSED, "connected to itself")

    async def _resolved(self) -> list[SockAddress]:
        if asyncio.get_running_loop().time() < self._fresh_until:
            return self._addresses
        # One look-up at a time: a resolver that hangs must not take all threads of the loop's pool.
        if self._resolving is None or self._resolving.done():
            self._resolving = asyncio.create_task(self._resolve())
            self._resolving.add_done_callback(_look)
        return await asyncio.shield(self._resolving)

    async def _resolve(self) -> list[SockAddress]:
        host, loop = self._target.host, asyncio.get_running_loop()
        try:
            answers = await self._resolve_name(host, self._target.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ConnectFailed(FaultKind.DNS, f"{host}: {error.strerror or 'cannot be resolved'}") from None
        found: list[SockAddress] = [(family, str(address[0])) for family, _, _, _, address in answers]
        addresses = list(dict.fromkeys(found))
        if not addresses:
            raise ConnectFailed(FaultKind.DNS, f"{host}: no address")
        for _, ip in addresses:
            self._guard.check_address(host, ip)
        self._addresses = addresses[:_ADDRESSES_TRIED_MAX]
        self._fresh_until = loop.time() + ADDRESSES_S
        return self._addresses


def _look(task: asyncio.Task[list[SockAddress]]) -> None:
    """Look at a failure whose askers have all run out of time, so that asyncio does not complain."""
    if not task.cancelled():
        task.exception()


def _failure(error: OSError, where: str, *, in_handshake: bool) -> ConnectFailed:
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectFailed(FaultKind.TLS, f"{where}: certificate refused: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "handshake failed").replace("_", " ").lower()
        return ConnectFailed(FaultKind.TLS, f"{where}: {reason}")
    if in_handshake:
        return ConnectFailed(FaultKind.TLS, f"{where}: closed in the handshake")
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    return ConnectFailed(FaultKind.CONNECT, f"{where}: {reason}")
