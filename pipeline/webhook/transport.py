"""One HTTP/1.1 connection to an endpoint, one request at a time, kept alive.

Every request ends once, in a `Reply` or a `Fault`. A request on a connection that dies unanswered is a RESET fault and
is *not* sent again here: attempts are counted above. Bytes that come when nothing was asked end the connection. Nothing
is followed and no proxy is used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol, cast

from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.webhook.reply import ReplyReader, ReplyUnusable

# By a reply's bytes: its status and what it promises of keep-alive, in seconds. Replies are mostly the same bytes over
# and over (a Date header changes once a second), so a success read whole from one packet is looked up next time.
Memo = dict[bytes, tuple[int, float | None]]
_MEMO_BYTES_MAX, _MEMO_ENTRIES_MAX = 512, 256
# Requests up to this fit any socket's buffer: whether a larger one was sent whole is asked when its reply is there.
_SMALL_BYTES = 16_384

Done = Callable[[Any, Reply | Fault], None]


class Exchange(Protocol):
    """Who lends connections out."""

    def ended(self, connection: Connection, now: float) -> None:
        """The request is over (`now`: monotonic seconds); said before its ``done``, so what waits goes first.

        If ``connection.reusable`` it may take another at once, else it is closing.
        """

    def lost(self, connection: Connection) -> None:
        """The connection is closed; said once, after the end of its last request."""


class Connection(asyncio.Protocol):
    """``reusable``: another request may be sent when none is under way. ``busy_since``: monotonic, None when idle.

    ``arg`` is the running request's, ``keep_alive_s`` what the server promised last, ``idle_until`` the exchange's.
    """

    __slots__ = (
        "_done",
        "_exchange",
        "_large",
        "_memo",
        "_packet",
        "_reader",
        "_transport",
        "arg",
        "busy_since",
        "idle_until",
        "keep_alive_s",
        "reusable",
    )

    def __init__(self, exchange: Exchange, body_bytes_max: int, memo: Memo) -> None:
        self._exchange, self._memo = exchange, memo
        self._reader = ReplyReader(body_bytes_max)
        self._packet: bytes | None = None  # the reply's first bytes, while they are all of it
        self._done: Done = _nobody
        self._large = self.reusable = False
        self.arg: Any = None
        self.busy_since: float | None = None
        self.keep_alive_s: float | None = None
        self.idle_until = 0.0

    def request(self, data: bytes, started: float, done: Done, arg: Any) -> None:
        """Write one whole request; ``done(arg, outcome)`` follows once, later. The connection must be ``reusable``."""
        self.busy_since, self._done, self.arg = started, done, arg
        self._large = len(data) > _SMALL_BYTES
        self._transport.write(data)

    def expire(self) -> None:
        """Time is up for the request under way: what is known of a reply decides, and the connection ends."""
        if self._reader.begun:
            detail = "the reply's head is not complete"
        elif self._transport.get_write_buffer_size():
            detail = "the request was not taken whole"
        else:
            detail = "no reply"
        self.abort()
        self._broke(FaultKind.TIMEOUT, detail)

    def abort(self) -> None:
        """End the connection now. A request under way gets its end when the connection is lost."""
        self.reusable = False
        self._transport.abort()

    def close(self) -> None:
        """End an idle connection politely."""
        self.reusable = False
        self._transport.close()

    def forget(self) -> None:
        """End the connection now and tell nobody how its request ended."""
        self._done = _nobody
        self.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.reusable = True

    def data_received(self, data: bytes) -> None:
        if self.busy_since is None:
            self.abort()
            return
        reader = self._reader
        if reader.begun:
            self._packet = None
        else:
            known = self._memo.get(data)
            if known is not None:
                status, self.keep_alive_s = known
                self._end(status, None, b"")
                return
            self._packet = data
        try:
            if reader.feed(data):
                self._close_or_keep(reader)
                self._end(reader.status, reader.retry_after, reader.excerpt)
        except ReplyUnusable as unusable:
            self.abort()
            self._broke(FaultKind.PROTOCOL, f"the reply is not usable: {unusable}")

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        if self.busy_since is not None:
            when = "within its reply" if self._reader.begun else "before a reply"
            self._broke(FaultKind.RESET, f"connection {'reset' if exc else 'closed'} {when}")
        self._exchange.lost(self)

    def _close_or_keep(self, reader: ReplyReader) -> None:
        self.keep_alive_s = reader.keep_alive_s
        if self._large and self._transport.get_write_buffer_size():
            self.abort()  # answered before the request was sent whole: its rest must not precede another
        elif not reader.reusable:
            self.close()
        elif self._packet is not None and len(self._packet) <= _MEMO_BYTES_MAX and 200 <= reader.status < 300:
            if len(self._memo) >= _MEMO_ENTRIES_MAX:
                self._memo.clear()
            self._memo[self._packet] = (reader.status, reader.keep_alive_s)

    def _broke(self, kind: FaultKind, detail: str) -> None:
        """The connection ended before the reply did: a head that came complete decides all the same."""
        reader = self._reader
        if reader.status:
            self._end(reader.status, reader.retry_after, reader.excerpt)
        else:
            self._end(kind, detail, b"")

    def _end(self, outcome: int | FaultKind, text: str | None, excerpt: bytes) -> None:
        done, arg, now = self._done, self.arg, monotonic()
        assert self.busy_since is not None
        elapsed_s = now - self.busy_since
        self.busy_since = self.arg = None
        self._done = _nobody
        if self._reader.begun:
            self._reader.reset()
        self._exchange.ended(self, now)
        if isinstance(outcome, int):
            done(arg, Reply(outcome, text, elapsed_s, excerpt))
        else:
            done(arg, Fault(outcome, text or "", elapsed_s))


def _nobody(arg: Any, outcome: Reply | Fault) -> None:
    """Who is told of a request that was broken off."""
