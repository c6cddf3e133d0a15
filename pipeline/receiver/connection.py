"""One HTTP/1.1 connection of the sample receiver: requests in, answers out in the same order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

import httptools

from pipeline.receiver.received import Headers, ReceiverSettings

HEAD_BYTES_MAX = 262_144

Answer = Callable[[str, str, Headers, bytes], tuple[int, bytes]]


class _Refused(Exception):
    """Raised inside parser callbacks; carries the status to refuse with."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(status)


class Connection(asyncio.Protocol):
    """Adds its transport to ``open_ones`` while it is open. A request not whole within ``request_s`` ends it."""

    def __init__(self, answer: Answer, settings: ReceiverSettings, open_ones: set[asyncio.Transport]) -> None:
        self._answer, self._settings, self._open_ones = answer, settings, open_ones
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._open_ones.add(self._transport)
        self._begin()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._open_ones.discard(self._transport)
        if self._deadline is not None:
            self._deadline.cancel()

    def data_received(self, data: bytes) -> None:
        if not self._in_body:
            self._bytes += len(data)
        try:
            self._parser.feed_data(data)
            if not self._in_body and self._bytes > HEAD_BYTES_MAX:
                raise _Refused(431)
        except _Refused as refused:
            self._refuse(refused.status)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            cause = error.__context__
            self._refuse(cause.status if isinstance(cause, _Refused) else 400)

    # What the parser calls.

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:
            text, known = value.decode("latin-1"), name.decode("latin-1").lower()
            self._headers[known] = f"{self._headers[known]}, {text}" if known in self._headers else text

    def on_headers_complete(self) -> None:
        self._in_body = True
        self._bytes = 0
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._bytes += len(body)
        if self._bytes > self._settings.body_bytes_max:
            raise _Refused(413)
        self._body.append(body)

    def on_message_complete(self) -> None:
        method, path = self._parser.get_method().decode(), self._url.partition(b"?")[0].decode("latin-1")
        status, body = self._answer(method, path, self._headers, b"".join(self._body))
        keep = self._parser.should_keep_alive()
        head = f"HTTP/1.1 {status} {_phrase(status)}\r\n"
        if status != 204:
            head += f"content-type: {'application/json' if status == 200 else 'text/plain; charset=utf-8'}\r\n"
            head += f"content-length: {len(body)}\r\n"
        if not keep:
            head += "connection: close\r\n"
        self._begin()
        reply = f"{head}\r\n".encode() + (body if status != 204 else b"")
        if self._settings.delay_s > 0:
            # Every answer waits as long, so their order stays.
            self._loop.call_later(self._settings.delay_s, self._reply, reply, keep)
        else:
            self._reply(reply, keep)

    def _begin(self) -> None:
        self._url, self._headers, self._body = b"", dict[str, str](), list[bytes]()
        self._in_body, self._bytes = False, 0
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(self._settings.request_s, self._transport.abort)

    def _reply(self, reply: bytes, keep: bool) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply)
            if not keep:
                self._transport.close()

    def _refuse(self, status: int) -> None:
        head = f"HTTP/1.1 {status} {_phrase(status)}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        self._reply(head.encode(), keep=False)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"
