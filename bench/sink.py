"""A fast endpoint in a process of its own: answers 204 at once and judges order by what the bodies say.

    python -m bench.sink         prints its URL; ends when its standard input does

Bodies begin ``{"key":"k17","seq":3,``: per key the sequence numbers must come 0, 1, 2, … A number seen before is a
duplicate, any other unexpected one an order violation. GET answers the counts as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import cast

import uvloop

OK = b"HTTP/1.1 204 No Content\r\n\r\n"
LENGTH = b"content-length:"


class Counts:
    """What came: ``events`` without duplicates, times in monotonic seconds."""

    def __init__(self) -> None:
        self.next_of: dict[bytes, int] = {}
        self.events = self.duplicates = self.violations = self.unsigned = 0
        self.first_at = self.last_at = 0.0

    def note(self, key: bytes, seq: int) -> None:
        self.last_at = time.monotonic()
        self.first_at = self.first_at or self.last_at
        expected = self.next_of.get(key, 0)
        if seq < expected:
            self.duplicates += 1
            return
        self.violations += seq != expected
        self.events += 1
        self.next_of[key] = seq + 1

    def told(self) -> bytes:
        seconds = self.last_at - self.first_at
        told = {"events": self.events, "duplicates": self.duplicates, "violations": self.violations}
        return json.dumps({**told, "unsigned": self.unsigned, "seconds": seconds}).encode()


class Connection(asyncio.Protocol):
    """HTTP/1.1 as a bridge speaks it: a head, then as many bytes as it said."""

    def __init__(self, counts: Counts) -> None:
        self._counts, self._rest = counts, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            head = data[:end].lower()
            if head.startswith(b"get "):
                told = self._counts.told()
                self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(told), told))
                data = data[end + 4 :]
                continue
            at = head.index(LENGTH) + len(LENGTH)
            until = end + 4 + int(head[at:].split(b"\r\n", 1)[0])
            if len(data) < until:
                break
            self._take(head, data[end + 4 : until])
            data = data[until:]
        self._rest = data

    def _take(self, head: bytes, body: bytes) -> None:
        self._counts.unsigned += b"webhook-signature: v1," not in head
        self._counts.note(*key_and_seq(body))
        self._transport.write(OK)


def key_and_seq(body: bytes) -> tuple[bytes, int]:
    """``b"k17", 3`` of ``{"key":"k17","seq":3,…``. Raises ValueError for another body."""
    quote = body.index(b'"', 8)
    begin = quote + 8
    return body[8:quote], int(body[begin : body.index(b",", begin)])


async def serve() -> None:
    counts = Counts()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(counts), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(serve())
