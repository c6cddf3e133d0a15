"""Endpoints in a process of their own: fast, slow and broken ones, each judging order by what the bodies say.

    python -m bench.sink         prints its URL; ends when its standard input does

The first step of a path says how the endpoint behaves, so one process plays many (`/ok/1`, `/ok/2`, …):

    /…                    204 at once             /delay/20             204 after 20 ms
    /odd503               503 for odd keys        /oddhang/5000         odd keys answered after 5 s
    /hang                 no answer, ever         /drip                 one byte of an answer a second
    /reset                connection reset        /huge                 200 with a body of 100 MB

Bodies begin ``{"key":"k17","seq":3,``: per key the sequence numbers must come 0, 1, 2, … A number seen before is a
duplicate, any other unexpected one an order violation. ``"at":`` (unix nanoseconds) right behind makes latencies known.
GET answers a path's counts as JSON, and with ``?reset`` counts from zero again; with ``?times`` it answers when each
event that says when it was made was answered, as pairs of unix nanoseconds.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import struct
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import cast

import uvloop

OK = b"HTTP/1.1 204 No Content\r\n\r\n"
DOWN = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
LENGTH = b"content-length:"
HUGE_BYTES = 100_000_000
HUGE_PART = bytes(65_536)
DRIP_S = 1.0
ODD = frozenset((b"1", b"3", b"5", b"7", b"9"))
TIMES_MAX = 1_000_000


class Counts:
    """What came to one path: ``events`` without duplicates, ``good`` those of even keys. Times are
    monotonic seconds; ``made_answered_ns`` unix nanoseconds.
    """

    def __init__(self) -> None:
        self.next_of: dict[bytes, int] = {}
        self.reset()

    def reset(self) -> None:
        """Count from zero again; what is expected of each key stays."""
        self.events = self.duplicates = self.violations = self.unsigned = self.requests = self.good = 0
        self.first_at = self.last_at = self.last_good_at = 0.0
        self.made_answered_ns: list[tuple[int, int]] = []

    def note(self, key: bytes, seq: int, at_ns: int = 0) -> None:
        """It was answered 2xx just now."""
        self.last_at = time.monotonic()
        self.first_at = self.first_at or self.last_at
        if at_ns and len(self.made_answered_ns) < TIMES_MAX:
            self.made_answered_ns.append((at_ns, time.time_ns()))
        expected = self.next_of.get(key, 0)
        if seq < expected:
            self.duplicates += 1
            return
        self.violations += seq != expected
        self.events += 1
        if key[-1:] not in ODD:
            self.good += 1
            self.last_good_at = self.last_at
        self.next_of[key] = seq + 1

    def told(self) -> bytes:
        latencies = sorted((answered - made) / 1e6 for made, answered in self.made_answered_ns)
        return json.dumps(
            {
                "requests": self.requests,
                "events": self.events,
                "duplicates": self.duplicates,
                "violations": self.violations,
                "unsigned": self.unsigned,
                "good": self.good,
                "good_s": self.last_good_at - self.first_at,
                "seconds": self.last_at - self.first_at,
                "p50_ms": round(quantile(latencies, 0.5), 2),
                "p99_ms": round(quantile(latencies, 0.99), 2),
            }
        ).encode()


def quantile(ascending: Sequence[float], share: float) -> float:
    """0 where there is nothing."""
    return ascending[min(int(len(ascending) * share), len(ascending) - 1)] if ascending else 0.0


class Connection(asyncio.Protocol):
    """HTTP/1.1 as a bridge speaks it: a head, then as many bytes as it said."""

    def __init__(self, paths: dict[bytes, Counts]) -> None:
        self._paths, self._rest = paths, b""
        self._flows, self._left_bytes = True, 0
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            head = data[:end].lower()
            path = head.split(b" ", 2)[1]
            if head.startswith(b"get "):
                path, _, query = path.partition(b"?")
                counts = self._paths[path]
                told = json.dumps(counts.made_answered_ns).encode() if query == b"times" else counts.told()
                if query == b"reset":
                    counts.reset()
                self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(told), told))
                data = data[end + 4 :]
                continue
            at = head.index(LENGTH) + len(LENGTH)
            until = end + 4 + int(head[at:].split(b"\r\n", 1)[0])
            if len(data) < until:
                break
            self._take(path, head, data[end + 4 : until])
            data = data[until:]
        self._rest = data

    def _take(self, path: bytes, head: bytes, body: bytes) -> None:
        counts = self._paths[path]
        counts.requests += 1
        counts.unsigned += b"webhook-signature: v1," not in head
        kind, _, argument = path[1:].partition(b"/")
        if kind in ENDLESS:
            ENDLESS[kind](self)
            return
        odd = key_and_seq(body)[0][-1:] in ODD
        if kind == b"odd503" and odd:
            self._transport.write(DOWN)
        elif kind == b"delay" or (kind == b"oddhang" and odd):
            self._loop.call_later(int(argument) / 1000, self._accept, counts, body)
        else:
            self._accept(counts, body)

    def _accept(self, counts: Counts, body: bytes) -> None:
        if not self._transport.is_closing():
            counts.note(*key_and_seq(body), sent_at_ns(body))
            self._transport.write(OK)

    def drip(self, left: bytes = b"HTTP/1.1 204 No Content\r\n") -> None:
        if left and not self._transport.is_closing():
            self._transport.write(left[:1])
            self._loop.call_later(DRIP_S, self.drip, left[1:])

    def reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._transport.abort()

    def huge(self) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % HUGE_BYTES)
        self._left_bytes = HUGE_BYTES
        self.resume_writing()

    def pause_writing(self) -> None:
        self._flows = False

    def resume_writing(self) -> None:
        """No faster than it is read: what lies ready to be sent would cost the bench more than its reader."""
        self._flows = True
        while self._flows and self._left_bytes > 0 and not self._transport.is_closing():
            self._left_bytes -= len(HUGE_PART)
            self._transport.write(HUGE_PART)


ENDLESS = {
    b"hang": lambda _connection: None,
    b"drip": Connection.drip,
    b"reset": Connection.reset,
    b"huge": Connection.huge,
}


def key_and_seq(body: bytes) -> tuple[bytes, int]:
    """``b"k17", 3`` of ``{"key":"k17","seq":3,…``. Raises ValueError for another body."""
    quote = body.index(b'"', 8)
    begin = quote + 8
    return body[8:quote], int(body[begin : body.index(b",", begin)])


def sent_at_ns(body: bytes) -> int:
    """Unix nanoseconds of ``{"key":"k17","seq":3,"at":…,``; 0 where the body does not say."""
    at = body.find(b'"at":', 0, 64)
    return int(body[at + 5 : body.index(b",", at)]) if at > 0 else 0


async def serve() -> None:
    paths: dict[bytes, Counts] = defaultdict(Counts)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(paths), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    # Counts are kept until the end: looking for garbage among them would be taken for somebody's latency.
    gc.disable()
    uvloop.run(serve())
