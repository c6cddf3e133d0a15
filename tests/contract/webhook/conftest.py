"""Endpoints on loopback that behave as badly as asked, and a sender to try them; on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipeline.delivery.verdict import Fault, Reply
from pipeline.guard import Guard
from pipeline.record import Position, Record
from pipeline.signing import Signer
from pipeline.subscription import Endpoint, Subscription
from pipeline.webhook.credential import Authorization
from pipeline.webhook.sender import Sender, SenderSettings

KEY = bytes(32)
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def pytest_asyncio_loop_factories(config: Any, item: Any) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def record(offset: int = 0, value: bytes | None = b"{}") -> Record:
    return Record("orders", 0, offset, 0, b"k", value, (("content-type", b"application/json"),))


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of the next request."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head, await reader.readexactly(length)


class Toxic:
    """Endpoints that behave as `behaviour` says, once per connection."""

    def __init__(self) -> None:
        self.connections = 0
        self._more = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, behaviour: Behaviour, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> str:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            self._more.set()
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                    await behaviour(reader, writer)
            except asyncio.CancelledError:
                pass
            finally:
                self._tasks.discard(task)
                writer.close()

        server = await asyncio.start_server(connected, host, 0, ssl=tls)
        self._servers.append(server)
        return f"{'https' if tls else 'http'}://{host}:{server.sockets[0].getsockname()[1]}/hook"

    async def connected(self, count: int) -> None:
        """Return when so many connections have come."""
        while self.connections < count:
            self._more.clear()
            await self._more.wait()

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()


class Tried:
    """A sender and what came of its attempts."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self.outcomes: list[tuple[object, Reply | Fault]] = []

    def begin(
        self, sent: Record, arg: object = None, attempt: int = 1, origin: Position | None = None
    ) -> asyncio.Future[Reply | Fault]:
        future: asyncio.Future[Reply | Fault] = asyncio.get_running_loop().create_future()
        sending = True

        def done(told: object, outcome: Reply | Fault) -> None:
            assert not sending, "done was called before send returned"
            assert told is arg
            self.outcomes.append((arg, outcome))
            future.set_result(outcome)  # raises when called twice

        self.sender.send(sent, attempt, done, arg, origin)
        sending = False
        return future

    async def send(self, sent: Record | None = None) -> Reply | Fault:
        return await asyncio.wait_for(self.begin(sent or record()), 10)


MakeSender = Callable[..., Tried]


@pytest.fixture
async def toxic() -> AsyncIterator[Toxic]:
    made = Toxic()
    yield made
    await made.stop()


@pytest.fixture
async def make_sender() -> AsyncIterator[MakeSender]:
    senders: list[Sender] = []

    def make(
        url: str,
        *,
        guard: Guard | None = None,
        settings: SenderSettings | None = None,
        authorization: Authorization | None = None,
        tls: ssl.SSLContext | None = None,
        **endpoint: Any,
    ) -> Tried:
        subscription = Subscription(
            name="s",
            topics=("orders",),
            endpoint=Endpoint(url=url, **{"timeout_s": 5.0, "connect_timeout_s": 2.0} | endpoint),
        )
        sender = Sender(
            subscription,
            signer=Signer([KEY]),
            guard=guard or Guard(allow_loopback=True),
            topic_prefixes=lambda _: "evt_aaaaaaaaaa_",
            defaults=lambda topic: (f"/app/{topic}", f"{topic}.record"),
            wall_clock=lambda: 1_795_219_200.5,
            settings=settings,
            authorization=authorization,
            tls=tls,
        )
        senders.append(sender)
        return Tried(sender)

    yield make
    for sender in senders:
        await sender.close()


class Authority(NamedTuple):
    """A certificate authority of the test's own: its certificate, and a server's TLS for a name or address."""

    ca_file: str
    server_tls: Callable[[str], ssl.SSLContext]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    ca = certificate(ca_name, ca_name, ca_key, ca_key, None)
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))

    def server_tls(host: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        made = certificate(x509.Name([]), ca_name, key, ca_key, host)
        pem = tmp_path / "server.pem"
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        pem.write_bytes(made.public_bytes(encoding) + key.private_bytes(encoding, form, serialization.NoEncryption()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context

    return Authority(str(ca_file), server_tls)


def certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    host: str | None,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
    )
    if host is not None:
        try:
            alternative: x509.GeneralName = x509.IPAddress(ip_address(host))
        except ValueError:
            alternative = x509.DNSName(host)
        builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=not list(subject))
    return builder.sign(issuer_key, hashes.SHA256())
