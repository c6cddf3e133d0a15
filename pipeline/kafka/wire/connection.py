"""Connection: one broker, requests in flight one behind the other, answers in the same order."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Generator
from typing import cast

from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.wire import requests
from pipeline.kafka.wire.requests import Request
from pipeline.kafka.wire.security import LoginRefused, plain, scram, tls_context

ANSWER_BYTES_MAX = 64 * 1024 * 1024
_SIZE_BYTES = 4


class Connection(asyncio.Protocol):
    """Made by `connected`. When it is lost, everything under way fails with `ConnectionError`."""

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._waiting: deque[tuple[int, asyncio.Future[bytes]]] = deque()
        self._correlation = 0
        self.is_open = False

    async def ask(self, request: Request) -> bytes:
        """The answer's body."""
        if self._transport is None or not self.is_open:
            raise ConnectionError("the connection is closed")
        self._correlation = (self._correlation + 1) % 2**31
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._correlation, answer))
        self._transport.write(request.framed(self._correlation, self._client_id))
        return await answer

    def close(self) -> None:
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its class
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        while len(received) >= _SIZE_BYTES:
            size = int.from_bytes(received[:_SIZE_BYTES])
            if not _SIZE_BYTES <= size <= ANSWER_BYTES_MAX:
                self.close()  # not a Kafka broker (TLS port spoken to in plain, for one)
                return
            if len(received) < _SIZE_BYTES + size:
                return
            answer = bytes(received[_SIZE_BYTES : _SIZE_BYTES + size])
            del received[: _SIZE_BYTES + size]
            self._answered(int.from_bytes(answer[:_SIZE_BYTES]), answer[_SIZE_BYTES:])

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        waiting, self._waiting = self._waiting, deque()
        for _, answer in waiting:
            if not answer.done():
                answer.set_exception(ConnectionError(f"the broker closed the connection{f': {exc}' if exc else ''}"))

    def _answered(self, correlation: int, body: bytes) -> None:
        if not self._waiting or self._waiting[0][0] != correlation:
            self.close()  # whoever still waits hears of it by connection_lost
            return
        _, answer = self._waiting.popleft()
        if not answer.done():
            answer.set_result(body)


async def connected(settings: KafkaSettings, host: str, port: int, role: str) -> Connection:
    """A connection, logged in. Raises `OSError` (`ConnectionError`, TLS failures) and `LoginRefused`."""
    context = tls_context(settings.security)
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(f"{settings.client_id}-{role}"),
        host,
        port,
        ssl=context,
        server_hostname=host if context else None,
    )
    try:
        await _log_in(connection, settings)
    except BaseException:
        connection.close()
        raise
    return connection


async def _log_in(connection: Connection, settings: KafkaSettings) -> None:
    name = settings.sasl_mechanism
    if name is None:
        return
    error, offered = requests.sasl_mechanisms(await connection.ask(requests.sasl_handshake(name)))
    if error:
        raise LoginRefused(f"the broker does not take {name}, but {', '.join(offered)}")
    exchange = _exchange(name, settings)
    token: bytes | None = next(exchange)
    while token is not None:
        error, text, answer = requests.sasl_answer(await connection.ask(requests.sasl_authenticate(token)))
        if error:
            raise LoginRefused(text or f"the broker refused the login ({error})")
        try:
            token = exchange.send(answer)
        except StopIteration:
            token = None


def _exchange(name: str, settings: KafkaSettings) -> Generator[bytes, bytes, None]:
    username = settings.security.get("sasl.username", "")
    password = settings.security.get("sasl.password", "")
    if name == "PLAIN":
        return plain(username, password)
    return scram(name, username, password, secrets.token_urlsafe(24))
