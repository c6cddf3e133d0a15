"""One connection: answers in order, and what it makes of a peer that is no broker. The transport is a fake."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pipeline.kafka.wire.connection import ANSWER_BYTES_MAX, Connection
from pipeline.kafka.wire.primitives import int32
from pipeline.kafka.wire.requests import Request

ASK = Request(9, 5, b"body")


class Wire:
    """What the connection is given to write to."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None:
        self.aborted = True


def opened() -> tuple[Connection, Wire]:
    connection, wire = Connection("me"), Wire()
    peer: Any = wire
    connection.connection_made(peer)
    return connection, wire


async def asking(connection: Connection, count: int = 1) -> list[asyncio.Task[bytes]]:
    tasks = [asyncio.create_task(connection.ask(ASK)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


def answer(correlation: int, body: bytes) -> bytes:
    return int32(4 + len(body)) + int32(correlation) + body


async def test_an_answer_belongs_to_its_request() -> None:
    connection, wire = opened()
    first, second = await asking(connection, 2)
    connection.data_received(answer(1, b"one") + answer(2, b"two"))
    assert (await first, await second) == (b"one", b"two")
    assert wire.written == [ASK.framed(1, "me"), ASK.framed(2, "me")]


async def test_an_answer_may_come_in_any_pieces() -> None:
    connection, _ = opened()
    (waiting,) = await asking(connection)
    for byte in answer(1, b"one"):
        connection.data_received(bytes([byte]))
    assert await waiting == b"one"


@pytest.mark.parametrize(
    "data", [answer(9, b"wrong"), int32(ANSWER_BYTES_MAX + 1), int32(-1), b"HTTP/1.1 400 Bad Request"]
)
async def test_a_peer_that_is_no_broker_is_hung_up_on(data: bytes) -> None:
    connection, wire = opened()
    (waiting,) = await asking(connection)
    connection.data_received(data)
    assert (wire.aborted, connection.is_open) == (True, False)
    connection.connection_lost(None)
    with pytest.raises(ConnectionError):
        await waiting


async def test_an_answer_nobody_asked_for_is_hung_up_on() -> None:
    connection, wire = opened()
    connection.data_received(answer(1, b""))
    assert wire.aborted


async def test_what_is_under_way_fails_when_the_connection_is_lost() -> None:
    connection, _ = opened()
    waiting = await asking(connection, 2)
    connection.connection_lost(OSError("reset"))
    for task in waiting:
        with pytest.raises(ConnectionError, match="reset"):
            await task
    with pytest.raises(ConnectionError, match="is closed"):
        await connection.ask(ASK)


async def test_an_answer_to_someone_who_has_left_is_passed_over() -> None:
    connection, _ = opened()
    first, second = await asking(connection, 2)
    first.cancel()
    await asyncio.sleep(0)
    connection.data_received(answer(1, b"one") + answer(2, b"two"))
    assert await second == b"two"
