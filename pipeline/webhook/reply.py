"""Read an endpoint's replies from bytes, whatever the endpoint does; no IO.

A final head that came complete decides: what breaks after it (body cut, endless or malformed) is no reason to doubt the
status. Everything is bounded: the head, the number of interim replies, what is read of the body, what is kept of it.
Nothing is decompressed.
"""

from __future__ import annotations

import httptools

# A reply head above this is a fault. Browsers and nginx take 8 to 256 KiB; a webhook receiver needs less than one.
HEAD_BYTES_MAX = 65_536
# 100 and 103 are legitimate, a flood is not.
INTERIM_MAX = 8
EXCERPT_BYTES_MAX = 512
# Large reads are parsed in pieces, so that a bound is noticed before 256 KiB of tiny headers are taken apart.
_PIECE_BYTES = 16_384


class ReplyUnusable(Exception):
    """No final head came and none will; the text is one line and says why."""


class ReplyReader:
    """The replies of one connection, one after the other.

    After `feed` returned True, or raised, or the connection ended: ``status`` is that of the final head, 0 if none came
    complete; ``reusable`` says whether the connection may carry another request; then `reset` before the next reply.
    """

    __slots__ = (
        "_announced",
        "_bytes",
        "_complete",
        "_interim",
        "_parser",
        "begun",
        "body_bytes_max",
        "excerpt",
        "keep_alive_s",
        "retry_after",
        "reusable",
        "status",
    )

    def __init__(self, body_bytes_max: int) -> None:
        self.body_bytes_max = body_bytes_max
        self.keep_alive_s: float | None = None  # what the server promised last
        self._parser = httptools.HttpResponseParser(self)
        self.reset()

    def reset(self) -> None:
        """Be ready for the next reply."""
        self.begun = False
        self.status = 0
        self.reusable = False
        self.retry_after: str | None = None
        self.excerpt = b""  # the first bytes of a body that is no success's
        self._announced = False  # a body
        self._complete = False
        self._interim = 0
        self._bytes = 0  # since the reply began; since its head ended, once it has

    def feed(self, data: bytes) -> bool:
        """Whether the reply is over; nothing may be fed after that. Raises `ReplyUnusable`."""
        self.begun = True
        try:
            for end in range(_PIECE_BYTES, len(data) + _PIECE_BYTES, _PIECE_BYTES):
                if self._is_over(data[end - _PIECE_BYTES : end]):
                    # Bytes behind a reply were asked for by nobody; they must never answer the next request.
                    self.reusable = self.reusable and self._complete and end >= len(data)
                    return True
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.reusable = False
            if self.status:
                return True
            cause = error.__context__
            reason = cause if isinstance(cause, ReplyUnusable) else f"not HTTP/1.1: {str(error)[:120]}"
            raise ReplyUnusable(str(reason)) from None
        return False

    def _is_over(self, piece: bytes) -> bool:
        self._bytes += len(piece)
        self._parser.feed_data(piece)
        if not self.status:
            if self._bytes > HEAD_BYTES_MAX:
                raise ReplyUnusable(f"its head is over {HEAD_BYTES_MAX} bytes")
            return False
        return self._complete or self._bytes > self.body_bytes_max

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._complete:
            raise ReplyUnusable("bytes after the reply")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status:
            return  # a trailer
        length = len(name)
        if length == 11 and name.lower() == b"retry-after":
            self.retry_after = value[:64].strip().decode("latin-1")
        elif length == 10 and name.lower() == b"keep-alive":
            self.keep_alive_s = _timeout_of(value)
        elif length == 14 and name.lower() == b"content-length":
            self._announced = value.strip() != b"0"
        elif length == 17 and name.lower() == b"transfer-encoding":
            self._announced = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
            # 204 and 304 have no body whatever their head says (RFC 9112 §6.3); one that comes all the same must not be
            # taken for the next reply.
            self.reusable = self._parser.should_keep_alive() and not (self._announced and status in (204, 304))
            self._bytes = 0
            return
        self.retry_after, self._announced = None, False
        self._interim += 1
        if status == 101:
            raise ReplyUnusable("status 101 that nobody asked for")
        if self._interim > INTERIM_MAX:
            raise ReplyUnusable(f"over {INTERIM_MAX} interim replies")

    def on_body(self, body: bytes) -> None:
        if self.status >= 300 and len(self.excerpt) < EXCERPT_BYTES_MAX:
            self.excerpt = (self.excerpt + body)[:EXCERPT_BYTES_MAX]

    def on_message_complete(self) -> None:
        self._complete = self.status != 0


def _timeout_of(value: bytes) -> float | None:
    """The seconds of ``Keep-Alive: timeout=5, max=100`` (RFC 2068 §19.7.1.1), None without."""
    for part in value.split(b","):
        name, _, number = part.partition(b"=")
        if name.strip().lower() == b"timeout" and number.strip().isdigit() and len(number) <= 9:
            return float(number)
    return None
