"""An operator's egress proxy: how it is named, and how a tunnel through it is asked for.

Source: RFC 9110 §9.3.6 (CONNECT), RFC 9112 §3.2.2 (absolute-form), RFC 7617 (the proxy's credentials). Proxies of the
environment (``HTTPS_PROXY``) are never used: what may be called is a matter of this product's configuration alone.
"""

from __future__ import annotations

import asyncio
import base64
import re
import socket
from urllib.parse import unquote, urlsplit

import msgspec

from pipeline.delivery.verdict import FaultKind
from pipeline.errors import AddressBlocked, DeclarationInvalid
from pipeline.guard import Guard, Target
from pipeline.webhook.addresses import ConnectFailed

# An answer to CONNECT is a status line and a few headers.
_HEAD_BYTES_MAX = 16_384
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r\n")


class Proxy(msgspec.Struct, frozen=True):
    """``credentials``: the value of ``Proxy-Authorization``, empty for none. ``resolves``: the proxy looks names up and
    judges their addresses; else that is done here and it is told an address.
    """

    host: str
    port: int
    credentials: str = ""
    resolves: bool = False

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"  # never the credentials


def proxy_from(url: str, *, resolves: bool) -> Proxy | None:
    """The proxy at ``url`` (``http://[user:password@]host:port``); None when it is empty.

    Raises `DeclarationInvalid` without showing credentials.
    """
    if not url:
        return None
    try:
        parts = urlsplit(url)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        bare = parts.netloc.rpartition("@")[2]
        if parts.scheme != "http" or parts.path not in ("", "/") or parts.query or parts.fragment or ":" in user:
            raise ValueError
        target = Guard.for_operators().check_url(f"http://{bare}/")
    except (ValueError, AddressBlocked):
        shown = "(hidden)" if "@" in url else url
        raise DeclarationInvalid(
            "webhook.proxy_url", shown, "http://host:port, with user:password@ if need be"
        ) from None
    given = f"{user}:{password}".encode()
    credentials = f"Basic {base64.b64encode(given).decode()}" if "@" in parts.netloc else ""
    return Proxy(target.host, target.port, credentials, resolves)


def forwarded(target: Target) -> Target:
    """``target`` as a request to a forwarding proxy names it: in absolute-form."""
    return msgspec.structs.replace(target, path=f"http://{target.authority}{target.path}")


async def open_tunnel(sock: socket.socket, proxy: Proxy, destination: str) -> None:
    """Make ``sock``, which is connected to ``proxy``, a way to ``destination`` (``host:port``). Raises `ConnectFailed`,
    OSError.
    """
    lines = [f"CONNECT {destination} HTTP/1.1", f"host: {destination}"]
    if proxy.credentials:
        lines.append(f"proxy-authorization: {proxy.credentials}")
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode("ascii"))
    head = b""
    while b"\r\n\r\n" not in head:
        piece = await loop.sock_recv(sock, 4096)
        head += piece
        if not piece or len(head) > _HEAD_BYTES_MAX:
            raise ConnectFailed(FaultKind.CONNECT, "the proxy did not answer CONNECT with a reply's head")
    status = _STATUS_LINE.match(head)
    if status is None or not status[1].startswith(b"2"):
        said = status[1].decode() if status else "something that is not HTTP"
        raise ConnectFailed(FaultKind.CONNECT, f"the proxy answered CONNECT with {said}")
    if head.index(b"\r\n\r\n") + 4 < len(head):
        # Nobody behind the tunnel speaks first: these bytes would be taken for the endpoint's.
        raise ConnectFailed(FaultKind.PROTOCOL, "the proxy sent bytes behind its reply to CONNECT")
