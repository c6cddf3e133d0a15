"""Endpoints from hell: each attempt ends once, in time, with the right outcome, and the next one is served."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import tracemalloc

import pytest

from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.webhook.sender import SenderSettings
from tests.contract.webhook.conftest import NO_CONTENT, Behaviour, MakeSender, Toxic, read_request, record


def replying(*pieces: bytes, pause_s: float = 0.0, then_close: bool = False) -> Behaviour:
    """Answers each request with these bytes."""

    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause_s)
            if then_close:
                return

    return behaviour


async def forever(writer: asyncio.StreamWriter, piece: bytes) -> None:
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)


def reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize(
    ("pieces", "status", "connections"),
    [
        ((NO_CONTENT,), 204, 1),
        ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"2\r\nok\r\n", b"0\r\n\r\n"), 200, 1),
        ((b"HTTP/1.1 100 Continue\r\n\r\n", NO_CONTENT), 204, 1),
        ((b"HTTP/1.1 301 M\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",), 301, 1),
        ((b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",), 204, 2),
        ((b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",), 200, 2),
        ((NO_CONTENT + NO_CONTENT,), 204, 2),
        ((b"HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\nabc",), 204, 2),
    ],
)
async def test_a_reply_decides_and_the_connection_is_kept_only_if_clean(
    toxic: Toxic, make_sender: MakeSender, pieces: tuple[bytes, ...], status: int, connections: int
) -> None:
    tried = make_sender(await toxic.serve(replying(*pieces)))
    for _ in range(2):
        outcome = await tried.send()
        assert isinstance(outcome, Reply)
        assert outcome.status == status
    assert toxic.connections == connections


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ((b"HTTP/1.0 200 OK\r\n\r\n", b"until the end"), 200),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", b"cut"), 200),
        ((b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",), 500),
        ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"nonsense\r\n"), 200),
    ],
)
async def test_a_body_cut_or_malformed_does_not_take_back_the_status(
    toxic: Toxic, make_sender: MakeSender, pieces: tuple[bytes, ...], status: int
) -> None:
    tried = make_sender(await toxic.serve(replying(*pieces, then_close=True)))
    outcome = await tried.send()
    assert isinstance(outcome, Reply)
    assert outcome.status == status


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        ((b"",), FaultKind.RESET),
        ((b"HTTP/1.1 204 No",), FaultKind.RESET),
        ((b"HTTP/1.1 204 No Content\r\nx: y\r\n",), FaultKind.RESET),
        ((b"HTTP/1.1 100 Continue\r\n\r\n",), FaultKind.RESET),
        ((b"SSH-2.0-OpenSSH_9.6\r\n",), FaultKind.PROTOCOL),
        ((b"<html>hello</html>",), FaultKind.PROTOCOL),
        ((b"HTTP/1.1 101 S\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",), FaultKind.PROTOCOL),
        ((b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,), FaultKind.PROTOCOL),
        ((b"HTTP/1.1 200 OK\r\nx: " + b"a" * 1_000_000,), FaultKind.PROTOCOL),
        ((b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200_000,), FaultKind.PROTOCOL),
    ],
)
async def test_what_is_no_reply_is_a_fault(
    toxic: Toxic, make_sender: MakeSender, pieces: tuple[bytes, ...], kind: FaultKind
) -> None:
    tried = make_sender(await toxic.serve(replying(*pieces, then_close=True)))
    outcome = await tried.send()
    assert isinstance(outcome, Fault)
    assert outcome.kind is kind
    assert outcome.detail.isprintable()


@pytest.mark.parametrize(
    "head", [b"connection: close\r\n", b"content-length: 100000000\r\n", b"transfer-encoding: chunked\r\n"]
)
async def test_an_endless_body_is_cut(toxic: Toxic, make_sender: MakeSender, head: bytes) -> None:
    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 500 No\r\n" + head + b"\r\n")
        await forever(writer, b"3e8\r\n" + b"x" * 1000 + b"\r\n")

    tried = make_sender(await toxic.serve(behaviour))
    outcome = await tried.send()
    assert isinstance(outcome, Reply)
    assert (outcome.status, len(outcome.excerpt)) == (500, 512)


async def test_a_gzip_bomb_stays_small(toxic: Toxic, make_sender: MakeSender) -> None:
    bomb = gzip.compress(b"\0" * 5_000_000)
    head = b"HTTP/1.1 500 No\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)
    tried = make_sender(await toxic.serve(replying(head + bomb)))
    outcome = await tried.send()
    assert isinstance(outcome, Reply)
    assert outcome.excerpt == bomb[:512]


# Some reads of 256 KiB, the head, and what the endpoint itself holds, being in this process; what it sends is more.
MEMORY_BYTES_MAX = 1_500_000
PIECE = b"x" * 65_536
GZIPPED = b"HTTP/1.1 500 No\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"


@pytest.mark.parametrize(
    ("first", "again", "outcome"),
    [
        (b"HTTP/1.1 500 No\r\ncontent-length: 100000000\r\n\r\n", PIECE, 500),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", PIECE, 200),
        (b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n", b"10000\r\n" + PIECE + b"\r\n", 500),
        (b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n1;", PIECE, 500),
        (b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"a: " + PIECE + b"\r\n", 500),
        (b"HTTP/1.1 200 OK\r\nx: ", PIECE, FaultKind.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 10_000, FaultKind.PROTOCOL),
        (b"HTTP/1.1 200 ", PIECE, FaultKind.PROTOCOL),
        (b"", b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" * 1000, FaultKind.PROTOCOL),
        (GZIPPED % 10**8 + gzip.compress(bytes(20_000_000)), PIECE, 500),
    ],
)
async def test_a_reply_without_end_takes_little_memory_and_is_cut(
    toxic: Toxic, make_sender: MakeSender, first: bytes, again: bytes, outcome: int | FaultKind
) -> None:
    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(first)
        await forever(writer, again)

    tried = make_sender(await toxic.serve(behaviour))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        result = await tried.send()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (result.status if isinstance(result, Reply) else result.kind) == outcome
    assert result.elapsed_s < 4, "cut, and not by the time-out"
    assert peak - before < MEMORY_BYTES_MAX


async def test_a_byte_at_a_time_is_read(toxic: Toxic, make_sender: MakeSender) -> None:
    reply = b"HTTP/1.1 503 No\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\nok"
    tried = make_sender(await toxic.serve(replying(*(reply[place : place + 1] for place in range(len(reply))))))
    for _ in range(2):
        outcome = await tried.send()
        assert isinstance(outcome, Reply)
        assert (outcome.status, outcome.retry_after, outcome.excerpt) == (503, "7", b"ok")
    assert toxic.connections == 1


@pytest.mark.parametrize(
    ("pieces", "detail"),
    [((), "no reply"), ((b"H", b"T", b"T", b"P") + (b"",) * 100, "the reply's head is not complete")],
)
async def test_an_endpoint_that_hangs_or_drips_is_given_up_in_time(
    toxic: Toxic, make_sender: MakeSender, pieces: tuple[bytes, ...], detail: str
) -> None:
    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.02)
        await reader.read()

    tried = make_sender(await toxic.serve(behaviour), timeout_s=0.3, connect_timeout_s=0.3)
    outcome = await tried.send()
    assert isinstance(outcome, Fault)
    assert (outcome.kind, outcome.detail) == (FaultKind.TIMEOUT, detail)
    assert 0.3 <= outcome.elapsed_s < 1.5


async def test_a_body_that_drips_past_the_time_out_leaves_the_status_standing(
    toxic: Toxic, make_sender: MakeSender
) -> None:
    drip = (b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", *[b"x"] * 200)
    tried = make_sender(await toxic.serve(replying(*drip, pause_s=0.02)), timeout_s=0.3, connect_timeout_s=0.3)
    outcome = await tried.send()
    assert isinstance(outcome, Reply)
    assert outcome.status == 200
    assert outcome.elapsed_s < 1.5


async def test_an_endpoint_that_does_not_read_is_given_up_in_time(toxic: Toxic, make_sender: MakeSender) -> None:
    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined] # a read transport it is
        await asyncio.sleep(5)

    tried = make_sender(await toxic.serve(behaviour), timeout_s=0.3, connect_timeout_s=0.3)
    outcome = await tried.send(record(0, b"x" * 50_000_000))
    assert isinstance(outcome, Fault)
    assert (outcome.kind, outcome.detail) == (FaultKind.TIMEOUT, "the request was not taken whole")


async def test_a_reply_before_the_request_was_sent_whole_decides_and_ends_the_connection(
    toxic: Toxic, make_sender: MakeSender
) -> None:
    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined] # a read transport it is
        await asyncio.sleep(2)

    tried = make_sender(await toxic.serve(behaviour))
    for _ in range(2):
        outcome = await tried.send(record(0, b"x" * 50_000_000))
        assert isinstance(outcome, Reply)
        assert outcome.status == 413
    assert toxic.connections == 2


@pytest.mark.parametrize("hard", [True, False])
async def test_a_kept_connection_that_dies_under_a_request_is_a_reset_and_no_second_try(
    toxic: Toxic, make_sender: MakeSender, hard: bool
) -> None:
    """The request may have been processed: whether to send it again is decided above, where attempts are counted."""
    requests = 0

    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1
        writer.write(NO_CONTENT)
        await read_request(reader)
        requests += 1
        if hard:
            reset(writer)

    tried = make_sender(await toxic.serve(behaviour))
    assert isinstance(await tried.send(), Reply)
    outcome = await tried.send()
    assert isinstance(outcome, Fault)
    assert outcome.kind is FaultKind.RESET
    assert "before a reply" in outcome.detail
    assert (requests, toxic.connections) == (2, 1)
    assert isinstance(await tried.send(), Reply)


async def test_a_server_that_closes_idle_connections_costs_no_attempt_once_it_was_seen(
    toxic: Toxic, make_sender: MakeSender
) -> None:
    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(NO_CONTENT)

    tried = make_sender(await toxic.serve(behaviour))
    for _ in range(5):
        assert isinstance(await tried.send(), Reply)
        await asyncio.sleep(0.02)  # the close has come by now; nobody tells us but the socket
    assert toxic.connections == 5


async def test_bytes_nobody_asked_for_end_an_idle_connection(toxic: Toxic, make_sender: MakeSender) -> None:
    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(NO_CONTENT)
        await asyncio.sleep(0.01)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await reader.read()

    tried = make_sender(await toxic.serve(behaviour))
    assert isinstance(await tried.send(), Reply)
    await asyncio.sleep(0.05)
    outcome = await tried.send()
    assert isinstance(outcome, Reply)
    assert outcome.status == 204
    assert toxic.connections == 2


async def test_a_server_that_accepts_and_closes_is_not_stormed(toxic: Toxic, make_sender: MakeSender) -> None:
    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reset(writer)

    tried = make_sender(await toxic.serve(behaviour), settings=SenderSettings(connections_max=4))
    outcomes = await asyncio.gather(*(tried.begin(record(offset), offset) for offset in range(12)))
    assert {outcome.kind for outcome in outcomes if isinstance(outcome, Fault)} <= {FaultKind.RESET, FaultKind.CONNECT}
    assert len(outcomes) == 12
    assert toxic.connections <= 12


async def test_half_the_connections_hang_and_the_others_serve(toxic: Toxic, make_sender: MakeSender) -> None:
    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hangs = toxic.connections % 2
        while True:
            await read_request(reader)
            if hangs:
                await asyncio.sleep(60)
            writer.write(NO_CONTENT)

    settings = SenderSettings(connections_max=4)
    tried = make_sender(await toxic.serve(behaviour), timeout_s=0.5, connect_timeout_s=0.5, settings=settings)
    outcomes = await asyncio.gather(*(tried.begin(record(offset), offset) for offset in range(100)))
    faults = [outcome for outcome in outcomes if isinstance(outcome, Fault)]
    assert len(faults) <= 6
    assert {fault.kind for fault in faults} == {FaultKind.TIMEOUT}
