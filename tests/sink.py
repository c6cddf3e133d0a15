"""A webhook endpoint that counts: per key, what arrived and was acknowledged in which order, and how it is told to
behave.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable
from typing import Self

import httptools


class Got:
    """One request as it arrived."""

    def __init__(self, headers: dict[str, str], body: bytes) -> None:
        self.headers, self.body = headers, body
        data = json.loads(body) if body[:1] == b"{" else {}
        self.key, self.seq = str(data.get("key", "")), int(data.get("seq", -1))

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]


class Sink:
    """Use as an async context manager; ``url`` is where it listens on loopback.

    ``answer`` maps a request to (status, seconds to wait first), ``loses`` says whose reply is lost, its connection
    reset; both may be replaced at any time.
    """

    def __init__(self, answer: Callable[[Got], tuple[int, float]] = lambda _: (204, 0.0)) -> None:
        self.answer = answer
        self.loses: Callable[[Got], bool] = lambda _: False
        self.got: list[Got] = []
        self.acked: list[Got] = []
        self._acked_seqs: dict[str, set[int]] = defaultdict(set)
        self._open: dict[str, int] = defaultdict(int)
        self.violations: list[str] = []
        self.duplicates = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/hook"

    @property
    def ids(self) -> set[str]:
        """Ids of everything acknowledged."""
        return {got.webhook_id for got in self.acked}

    def arrived(self, got: Got) -> tuple[int, float]:
        """Note an arrival and check it: no second request of its key is open, nothing before it is missing."""
        self.got.append(got)
        if got.key:
            self._open[got.key] += 1
            if self._open[got.key] > 1:
                self.violations.append(f"{got.key}: two requests at once")
            if got.seq > len(self._acked_seqs[got.key]):
                self.violations.append(f"{got.key}: {got.seq} before {len(self._acked_seqs[got.key])}")
        return self.answer(got)

    def answered(self, got: Got, status: int) -> None:
        if got.key:
            self._open[got.key] -= 1
        if 200 <= status < 300:
            self.acked.append(got)
            if got.seq in self._acked_seqs[got.key]:
                self.duplicates += 1
            self._acked_seqs[got.key].add(got.seq)

    async def until(self, done: Callable[[Sink], bool], timeout_s: float) -> None:
        """Wait until ``done``; fails saying how far it got."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not done(self):
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(
                    f"{len(self.acked)} acknowledged, {len(self.got)} arrived, {len(self.ids)} different"
                )
            await asyncio.sleep(0.02)


class _Connection(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._begin()

    def _begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        got = Got(self._headers, self._body)
        self._begin()
        status, wait_s = self._sink.arrived(got)
        if wait_s:
            asyncio.get_running_loop().call_later(wait_s, self._answer, got, status)
        else:
            self._answer(got, status)

    def _answer(self, got: Got, status: int) -> None:
        self._sink.answered(got, status)
        if self._sink.loses(got):
            self._transport.abort()
        elif not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % status)
