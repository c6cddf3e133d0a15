"""Open a connection to an endpoint, and to nothing else.

The name is resolved once, every answer is put before the guard (`Addresses`), and the socket is connected to one of
exactly those addresses. The peer is checked again before the first byte is sent, TLS verifies the name that was
configured. Proxies of the environment are never used; an operator's egress proxy is, where one is configured:

- it is told an address that was judged here, by CONNECT, whatever the endpoint's scheme; or,
- with ``resolves``, it is told the name (CONNECT for https, absolute-form for http) and judging what that leads to is
  its work: here only the text of the URL is judged.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from pipeline.delivery.verdict import FaultKind
from pipeline.errors import AddressBlocked
from pipeline.guard import Guard, Target
from pipeline.webhook.addresses import ADDRESSES_S, ADDRESSES_TRIED_MAX, DOUBT_S, Addresses, ConnectFailed, Resolve
from pipeline.webhook.proxy import Proxy, forwarded, open_tunnel
from pipeline.webhook.tls import tls_context

__all__ = ["ADDRESSES_S", "ConnectFailed", "Connector", "tls_context"]

P = TypeVar("P", bound=asyncio.Protocol)


class _Hop(NamedTuple):
    """Connect to ``ip`` and ``port``, then ask there for a tunnel to ``tunnel`` unless that is empty."""

    family: socket.AddressFamily
    ip: str
    port: int
    tunnel: str = ""


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
        proxy: Proxy | None = None,
        doubt_s: float = DOUBT_S,
    ) -> None:
        self._target, self._guard, self._timeout_s = target, guard, timeout_s
        self._tls = tls if target.tls else None
        self._proxy = proxy
        self._ours = Addresses(target.host, target.port, guard, resolve=resolve, doubt_s=doubt_s)
        self._proxys: Addresses | None = None
        if proxy is not None:
            # The proxy is the operator's own word: it may be private, and on this machine.
            self._guard = Guard.for_operators()
            self._proxys = Addresses(proxy.host, proxy.port, self._guard, resolve=resolve)

    @property
    def asked(self) -> Target:
        """The target as requests have to name it: in absolute-form to a proxy that forwards."""
        return forwarded(self._target) if self._forwards else self._target

    @property
    def extra_lines(self) -> str:
        """Header lines that every request has to carry for a proxy that forwards (``\\r\\n`` before each)."""
        if self._forwards and self._proxy is not None and self._proxy.credentials:
            return f"\r\nproxy-authorization: {self._proxy.credentials}"
        return ""

    async def open(self, factory: Callable[[], P]) -> P:
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
        self._ours.forget()
        if self._proxys is not None:
            self._proxys.forget()

    def close(self) -> None:
        """Wait for no answer of the resolver any more."""
        self._ours.close()
        if self._proxys is not None:
            self._proxys.close()

    @property
    def _forwards(self) -> bool:
        return self._proxy is not None and self._proxy.resolves and not self._target.tls

    async def _connect(self, factory: Callable[[], P]) -> P:
        hops = await self._hops()
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timeout_s
        failed = ConnectFailed(FaultKind.CONNECT, "no address")
        for left, hop in zip(range(len(hops), 0, -1), hops, strict=True):
            try:
                # Each address gets its share of what is left: one that swallows packets leaves time for the next.
                async with asyncio.timeout((until - loop.time()) / left):
                    return await self._connect_to(hop, factory)
            except TimeoutError:
                failed = ConnectFailed(FaultKind.TIMEOUT, f"{hop.ip} did not answer")
            except ConnectFailed as error:
                failed = error
        self.forget_addresses()
        raise failed

    async def _hops(self) -> list[_Hop]:
        target, proxy = self._target, self._proxy
        if proxy is None or self._proxys is None:
            return [_Hop(family, ip, target.port) for family, ip in await self._ours.get()]
        if proxy.resolves:
            names = [_place(target.host, target.port) if target.tls else ""]
        else:
            names = [_place(ip, target.port) for _, ip in await self._ours.get()]
        proxies = await self._proxys.get()
        hops = [_Hop(family, ip, proxy.port, name) for name in names for family, ip in proxies]
        return hops[:ADDRESSES_TRIED_MAX]

    async def _connect_to(self, hop: _Hop, factory: Callable[[], P]) -> P:
        loop = asyncio.get_running_loop()
        sock = socket.socket(hop.family, socket.SOCK_STREAM)
        in_handshake = False
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, (hop.ip, hop.port))
            self._check_peer(sock)
            if hop.tunnel and self._proxy is not None:
                await open_tunnel(sock, self._proxy, hop.tunnel)
            in_handshake = self._tls is not None
            name = self._target.host if self._tls else None
            _, connection = await loop.create_connection(factory, sock=sock, ssl=self._tls, server_hostname=name)
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise _failure(error, f"{hop.ip} port {hop.port}", in_handshake=in_handshake) from None
            raise
        return connection

    def _check_peer(self, sock: socket.socket) -> None:
        """Before a byte is sent: the peer is what was judged, and neither this socket nor a part of ourselves."""
        host = self._target.host if self._proxy is None else self._proxy.host
        peer, own = sock.getpeername(), sock.getsockname()
        self._guard.check_address(host, peer[0], peer[1])
        if peer[0] == own[0]:
            self._guard.check_here(host, peer[1])
            if peer[1] == own[1]:
                # TCP lets a socket that draws its target's port connect to itself; it would answer its own request.
                raise OSError(errno.ECONNREFUSED, "connected to itself")


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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
