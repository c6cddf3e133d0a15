"""The sample receiver on a real socket, asked by plain bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from pipeline.receiver import Receiver, ReceiverSettings
from pipeline.signing import new_v1_secret
from tests.contract.webhook.conftest import KEY


async def opened(receiver: Receiver) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = receiver.url.removeprefix("http://").rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the connection ends, and without a byte."""
    try:
        return await asyncio.wait_for(reader.read(), 2) == b""
    except ConnectionError:
        return True


async def exchange(receiver: Receiver, *pieces: bytes) -> bytes:
    """Everything the receiver answers to these bytes."""
    reader, writer = await opened(receiver)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    writer.write_eof()
    got = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return got


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver([new_v1_secret(KEY)], settings=ReceiverSettings(body_bytes_max=1000, request_s=0.3))
    await made.start()
    yield made
    await made.stop()


async def test_pipelined_and_cut_requests_are_answered_in_order(receiver: Receiver) -> None:
    got = await exchange(
        receiver, b"GET /healthz HTTP/1.1\r\n\r\nPOST /hook HTTP/1.1\r\ncontent-le", b"ngth: 2\r\n\r\n", b"{", b"}"
    )
    assert got.count(b"HTTP/1.1 ") == 2
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"HTTP/1.1 401 Unauthorized\r\n" in got


async def test_history_is_valid_json_over_http(receiver: Receiver) -> None:
    got = await exchange(receiver, b"GET /received?x=1 HTTP/1.1\r\nconnection: close\r\n\r\n")
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head
    assert json.loads(body) == {"received": []}


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\ncontent-length: 2000\r\n\r\n" + b"x" * 2000, b"413"),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", b"400"),
    ],
)
async def test_what_is_too_much_or_no_request_is_refused(receiver: Receiver, data: bytes, status: bytes) -> None:
    got = await exchange(receiver, data)
    assert got.startswith(b"HTTP/1.1 " + status)


async def test_a_head_without_end_is_cut(receiver: Receiver) -> None:
    _, writer = await opened(receiver)
    with pytest.raises(ConnectionError):
        while True:
            writer.write(b"POST / HTTP/1.1\r\nx: " + b"a" * 100_000)
            await writer.drain()
    writer.close()
    assert b"200 OK" in await exchange(receiver, b"GET /healthz HTTP/1.1\r\n\r\n")


async def test_a_request_that_drips_is_cut_in_time(receiver: Receiver) -> None:
    reader, writer = await opened(receiver)
    writer.write(b"POST / HTTP/1.1\r\n")
    assert await ended(reader)
    writer.close()


async def test_stop_closes_what_is_open_and_start_works_again(receiver: Receiver) -> None:
    reader, writer = await opened(receiver)
    await receiver.stop()
    assert await ended(reader)
    writer.close()
    await receiver.start()
    assert b"200 OK" in await exchange(receiver, b"GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n")


async def test_answers_wait_when_told_and_keep_their_order() -> None:
    receiver = Receiver(settings=ReceiverSettings(delay_s=0.05))
    await receiver.start()
    loop = asyncio.get_running_loop()
    reader, writer = await opened(receiver)
    began = loop.time()
    writer.write(b"GET /healthz HTTP/1.1\r\n\r\nGET /x HTTP/1.1\r\nconnection: close\r\n\r\n")
    got = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await receiver.stop()
    assert loop.time() - began >= 0.045
    assert got.index(b" 200 ") < got.index(b" 404 ")
