"""The one HTTP client for everything that is no delivery: tokens, the registry, the handshake, keys.

It stands on `Connector`, as deliveries do, so there is one place where addresses are judged, pinned and checked again,
one where TLS verifies, one that knows the egress proxy. (A client library with a guarded resolver would have been
another: those ask no resolver about literal addresses and connect by themselves.) These calls are rare and their
answers remembered by who asks, so each has a connection of its own.

Rules: redirects are answers like any other and never followed; nothing is decompressed; every call has a deadline; head
and body are bounded. Source: RFC 9110, RFC 9112.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping
from typing import cast

import httptools
import msgspec

import pipeline
from pipeline.errors import AddressBlocked, CallFailed
from pipeline.guard import Guard
from pipeline.webhook.addresses import Resolve
from pipeline.webhook.connect import ConnectFailed, Connector, tls_context
from pipeline.webhook.proxy import Proxy
from pipeline.webhook.reply import HEAD_BYTES_MAX, INTERIM_MAX

# Calls under way at once; the next one waits, within its own deadline.
CALLS_MAX = 32
_PIECE_BYTES = 16_384
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_VALUE = re.compile(r"[\x20-\x7e]*\Z")


class Answer(msgspec.Struct, frozen=True):
    """``headers`` by lower-case name; several of one name joined by a comma."""

    status: int
    headers: dict[str, str]
    body: bytes


class Outbound:
    """Calls what ``guard`` lets be called. Made on the running loop. ``ca_file``: as for deliveries."""

    def __init__(
        self, guard: Guard, *, proxy: Proxy | None = None, ca_file: str | None = None, resolve: Resolve | None = None
    ) -> None:
        self._guard, self._proxy, self._ca_file, self._resolve = guard, proxy, ca_file, resolve
        self._slots = asyncio.Semaphore(CALLS_MAX)

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 10.0,
        body_bytes_max: int = 65_536,
        tls: ssl.SSLContext | None = None,
    ) -> Answer:
        """The answer, whatever its status. ``tls``: instead of trust in the system's authorities.

        Raises `AddressBlocked`, and `CallFailed` when no whole answer of at most ``body_bytes_max`` came in time. Its
        text names the host, never the path, a header or a body.
        """
        target = self._guard.check_url(url)
        doing = f"{method} to {target.authority}"
        if target.tls:
            tls = tls or tls_context(self._ca_file)
        connector = Connector(
            target, self._guard, timeout_s=timeout_s, tls=tls, resolve=self._resolve, proxy=self._proxy, doubt_s=0.0
        )
        exchange = _Exchange(body_bytes_max)
        try:
            async with asyncio.timeout(timeout_s), self._slots:
                await connector.open(lambda: exchange)
                exchange.write(_request(method, connector, headers or {}, body))
                return await exchange.answer
        except TimeoutError:
            raise CallFailed(doing, f"no answer within {timeout_s:g} s") from None
        except ConnectFailed as failed:
            if isinstance(failed.__context__, AddressBlocked):
                raise failed.__context__ from None
            raise CallFailed(doing, failed.detail) from None
        except _Unusable as unusable:
            raise CallFailed(doing, str(unusable)) from None
        finally:
            exchange.close()
            connector.close()


def _request(method: str, connector: Connector, headers: Mapping[str, str], body: bytes) -> bytes:
    target = connector.asked
    lines = [f"{method} {target.path} HTTP/1.1", f"host: {target.authority}", "connection: close"]
    lines += [f"user-agent: event-pipeline/{pipeline.__version__}", "accept-encoding: identity"]
    for name, value in headers.items():
        if not _TOKEN.match(name) or not _VALUE.match(value):
            raise ValueError(f"header {name!r} is not of printable ASCII")
        lines.append(f"{name.lower()}: {value}")
    if body or method in ("POST", "PUT"):
        lines.append(f"content-length: {len(body)}")
    return ("\r\n".join(lines) + connector.extra_lines + "\r\n\r\n").encode("ascii") + body


class _Unusable(Exception):
    """The text says what came in place of an answer."""


class _Exchange(asyncio.Protocol):
    """One request, one answer."""

    def __init__(self, body_bytes_max: int) -> None:
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.answer.add_done_callback(_seen)
        self._transport: asyncio.Transport | None = None
        self._body_bytes_max = body_bytes_max
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._status = self._head_bytes = self._interim = 0

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.answer.done():
            return
        try:
            for start in range(0, len(data), _PIECE_BYTES):
                self._feed(data[start : start + _PIECE_BYTES])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            cause = error.__context__
            self._fail(str(cause) if isinstance(cause, _Unusable) else "the answer is not HTTP/1.1")
        except _Unusable as unusable:
            self._fail(str(unusable))

    def connection_lost(self, exc: Exception | None) -> None:
        # Without a length the body ends with the connection (RFC 9112 §6.3); cut short it is none.
        if self._status and exc is None and not self._headers.keys() & {"content-length", "transfer-encoding"}:
            self.on_message_complete()
        self._fail("the connection ended before the answer did")

    def _feed(self, piece: bytes) -> None:
        if not self._status:
            self._head_bytes += len(piece)
            if self._head_bytes > HEAD_BYTES_MAX:
                raise _Unusable(f"the answer's head is over {HEAD_BYTES_MAX} bytes")
        if not self.answer.done():
            self._parser.feed_data(piece)

    def _fail(self, text: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(_Unusable(text))
        self.close()

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._status:
            return  # a trailer
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._headers.clear()
            self._interim += 1
            if self._interim > INTERIM_MAX:
                raise _Unusable(f"over {INTERIM_MAX} interim answers")
            return
        self._status = status
        if self._headers.get("content-encoding", "identity").lower() != "identity":
            raise _Unusable("the answer is compressed, though that was not asked for")

    def on_body(self, body: bytes) -> None:
        if len(self._body) + len(body) > self._body_bytes_max:
            raise _Unusable(f"an answer of more than {self._body_bytes_max} bytes")
        self._body += body

    def on_message_complete(self) -> None:
        if self._status and not self.answer.done():
            self.answer.set_result(Answer(self._status, self._headers, bytes(self._body)))


def _seen(answer: asyncio.Future[Answer]) -> None:
    """An answer nobody waits for any more is looked at, so that asyncio does not complain."""
    if not answer.cancelled():
        answer.exception()
