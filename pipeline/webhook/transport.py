"""One HTTP/1.1 connection to an endpoint, one request at a time, kept alive.

Rules that must stay true:

- A complete final head decides. Whatever breaks after it (body cut, endless, malformed, too slow) does not change the
  reply; it only ends the connection. Whatever breaks before it is a fault.
- Bytes that no request asked for end the connection: a second reply in one read must never answer the next request.
- Nothing is decompressed, followed or proxied. Every length is bounded: see the constants and `Connection.__init__`.
- A request on a connection that dies unanswered is a RESET fault and is *not* sent again here: attempts are counted above.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import httptools

from pipeline.delivery.verdict import FaultKind

# A reply head above this is a fault. Browsers and nginx take 8 to 256 KiB; a webhook receiver needs less than one.
HEAD_BYTES_MAX = 65_536
# 100 and 103 are legitimate, a flood is not.
INTERIM_MAX = 8
EXCERPT_BYTES_MAX = 512
# By a reply's bytes: its status and what it promises of keep-alive.
Memo = dict[bytes, tuple[int, float | None]]
# Larger reads are handed to the parser in pieces, so that a bound is noticed before a whole 256 KiB read is taken apart.
_PIECE_BYTES = 16_384
# Replies are mostly the same bytes over and over (a Date header changes once a second): a success that was read whole
# from one packet is looked up next time. A reply that never repeats costs one hash.
_MEMO_BYTES_MAX, _MEMO_ENTRIES_MAX = 512, 256


class Exchange(Protocol):
    """Who is told how requests ended. Each request ends in exactly one `replied` or `broke`."""

    def replied(self, connection: Connection, status: int, retry_after: str | None, excerpt: bytes) -> None: ...
    def broke(self, connection: Connection, kind: FaultKind, detail: str) -> None: ...
    def lost(self, connection: Connection) -> None:
        """The connection is closed; said once per connection, after the end of its last request."""


class _Refused(Exception):
    """Raised inside parser callbacks to stop the parser at once; the text is the fault's detail."""


class Connection(asyncio.Protocol):
    """``reusable`` says, after a request ended, whether another may be sent; ``keep_alive_s`` what the server promised."""

    __slots__ = (
        "_answered",
        "_awaiting",
        "_body_bytes_max",
        "_bytes",
        "_complete",
        "_excerpt",
        "_exchange",
        "_interim",
        "_large",
        "_memo",
        "_packet",
        "_parser",
        "_retry_after",
        "_status",
        "_transport",
        "keep_alive_s",
        "reusable",
    )

    def __init__(self, exchange: Exchange, body_bytes_max: int, memo: Memo) -> None:
        self._exchange = exchange
        self._body_bytes_max = body_bytes_max
        self._memo = memo
        self.reusable = False
        self.keep_alive_s: float | None = None
        self._awaiting = self._large = False
        self._parser = httptools.HttpResponseParser(self)
        self._reset()

    def _reset(self) -> None:
        self._answered = False  # a byte of the reply has come
        self._packet: bytes | None = None  # the reply's first bytes, while they are all of it and few
        self._complete = False  # the final reply has come whole
        self._status = 0  # of the final reply, once its head is complete
        self._interim = 0
        self._bytes = 0  # since the reply began; since its head ended, once it has
        self._retry_after: str | None = None
        self._excerpt = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.reusable = True

    def request(self, data: bytes) -> None:
        """Write one whole request. The connection must be ``reusable`` and its previous request ended."""
        self._awaiting = True
        self._large = len(data) > _PIECE_BYTES
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        if not self._awaiting:
            self.abort()
            return
        if self._answered:
            self._packet = None
        else:
            known = self._memo.get(data)
            if known is not None:
                self._awaiting = False
                status, self.keep_alive_s = known
                self._exchange.replied(self, status, None, b"")
                return
            self._answered = True
            self._packet = data
        self._read(data)

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._complete:
            raise _Refused("bytes after the reply")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._status:
            return  # a trailer
        length = len(name)
        if length == 11 and name.lower() == b"retry-after":
            self._retry_after = value[:64].decode("latin-1")
        elif length == 10 and name.lower() == b"keep-alive":
            self.keep_alive_s = _timeout_of(value)

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self._status = status
            self.reusable = self._parser.should_keep_alive()
            self._bytes = 0
            return
        self._retry_after = None
        self._interim += 1
        if status == 101 or self._interim > INTERIM_MAX:
            raise _Refused("status 101 nobody asked for" if status == 101 else f"over {INTERIM_MAX} interim replies")

    def on_body(self, body: bytes) -> None:
        if self._status >= 300 and len(self._excerpt) < EXCERPT_BYTES_MAX:
            self._excerpt = (self._excerpt + body)[:EXCERPT_BYTES_MAX]

    def on_message_complete(self) -> None:
        if self._status:
            self._complete = True

    # Ends.

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        if self._awaiting:
            if self._status:
                self._replied()
            else:
                when = "within its reply" if self._answered else "before a reply"
                self._broke(FaultKind.RESET, f"connection {'reset' if exc else 'closed'} {when}")
        self._exchange.lost(self)

    def expire(self) -> None:
        """Time is up for the request under way: what is known of a reply decides, and the connection ends."""
        self.reusable = False
        if self._status:
            self._replied()
        elif self._answered:
            self._broke(FaultKind.TIMEOUT, "the reply's head is not complete")
        elif self._transport.get_write_buffer_size():
            self._broke(FaultKind.TIMEOUT, "the request was not taken whole")
        else:
            self._broke(FaultKind.TIMEOUT, "no reply")
        self.abort()

    def abort(self) -> None:
        """End the connection now. A request under way gets its end from `connection_lost`."""
        self.reusable = False
        self._transport.abort()

    def close(self) -> None:
        """End an idle connection politely."""
        self.reusable = False
        self._transport.close()

    def forget(self) -> None:
        """End the connection now and tell nobody how its request ended."""
        self._awaiting = False
        self.abort()

    def _read(self, data: bytes) -> None:
        try:
            if len(data) <= _PIECE_BYTES:
                self._feed(data)
            else:
                for start in range(0, len(data), _PIECE_BYTES):
                    self._feed(data[start : start + _PIECE_BYTES])
                    if not self._awaiting:
                        return
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.reusable = False
            if self._status:
                self._replied()
            else:
                reason = error.__context__ if isinstance(error.__context__, _Refused) else error
                self._broke(FaultKind.PROTOCOL, f"not a usable HTTP/1.1 reply: {str(reason)[:120]}")
            self.abort()

    def _feed(self, piece: bytes) -> None:
        self._bytes += len(piece)
        self._parser.feed_data(piece)
        if self._complete:
            self._end_reply()
        elif self._status:
            # 204 and 304 have no body whatever their head says (RFC 9112 §6.3); what is too long is not waited for.
            if self._status in (204, 304) or self._bytes > self._body_bytes_max:
                self.reusable = False
                self._end_reply()
        elif self._bytes > HEAD_BYTES_MAX:
            self._broke(FaultKind.PROTOCOL, f"the reply's head is over {HEAD_BYTES_MAX} bytes")
            self.abort()

    def _end_reply(self) -> None:
        if self._large and self._transport.get_write_buffer_size():
            self.reusable = False  # answered before the request was sent whole: the rest must not precede another
            self._transport.abort()
        elif not self.reusable:
            self._transport.close() if self._complete else self._transport.abort()
        elif self._packet is not None and len(self._packet) <= _MEMO_BYTES_MAX and 200 <= self._status < 300:
            if len(self._memo) >= _MEMO_ENTRIES_MAX:
                self._memo.clear()
            self._memo[self._packet] = (self._status, self.keep_alive_s)
        self._replied()

    def _replied(self) -> None:
        self._awaiting = False
        status, retry_after, excerpt = self._status, self._retry_after, self._excerpt
        self._reset()
        self._exchange.replied(self, status, retry_after, excerpt)

    def _broke(self, kind: FaultKind, detail: str) -> None:
        self._awaiting = False
        self._reset()
        self._exchange.broke(self, kind, detail)


def _timeout_of(value: bytes) -> float | None:
    """The seconds of ``Keep-Alive: timeout=5, max=100`` (RFC 2068 §19.7.1.1), None without."""
    for part in value.split(b","):
        name, _, number = part.partition(b"=")
        if name.strip().lower() == b"timeout" and number.strip().isdigit() and len(number) <= 9:
            return float(number)
    return None
