"""The receiver itself: what it answers, and how it is started and stopped."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from pipeline.errors import SignatureInvalid
from pipeline.receiver.connection import Connection
from pipeline.receiver.received import Headers, Received, ReceiverSettings, received_of
from pipeline.signing import Verifier


class Receiver:
    """Verifies with any of `secrets`; `trust` adds one later. ``also_verify`` is asked too and refuses by raising."""

    def __init__(
        self,
        secrets: Sequence[str] = (),
        *,
        settings: ReceiverSettings | None = None,
        also_verify: Callable[[Headers, bytes], object] | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings or ReceiverSettings()
        self.history: deque[Received] = deque(maxlen=self.settings.history_max)
        self.statuses: Counter[int] = Counter()
        self._secrets = list(secrets)
        self._verifier = Verifier(self._secrets) if secrets else None
        self._also_verify, self._wall_clock = also_verify, wall_clock
        self._failing_until = 0.0
        self._delivered: dict[str, None] = {}
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Transport] = set()
        self.url = ""

    def trust(self, secret: str) -> None:
        """Accept deliveries signed with `secret` too. Raises `SignatureInvalid` for a malformed one."""
        self._verifier = Verifier([*self._secrets, secret])
        self._secrets.append(secret)

    def fail_for(self, seconds: float) -> None:
        """Answer ``fail_status`` to everything from now on for this long."""
        self._failing_until = time.monotonic() + seconds

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> str:
        """Listen; the base URL, also as ``url``. Port 0 takes a free one."""
        self.fail_for(self.settings.fail_for_s)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self.answer, self.settings, self._connections), host, port
        )
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        return self.url

    async def stop(self) -> None:
        """Stop listening and close what is open."""
        if self._server is not None:
            self._server.close()
            for transport in list(self._connections):
                transport.abort()
            await self._server.wait_closed()
            self._server = None

    def answer(self, method: str, path: str, headers: Headers, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer; a delivery is remembered."""
        if path == "/received" and method in ("GET", "DELETE"):
            if method == "DELETE":
                self.history.clear()
                return 204, b""
            return 200, msgspec.json.encode({"received": list(self.history)})
        if method == "GET":
            return (200, b'{"status":"ok"}') if path == "/healthz" else (404, b"")
        if method not in ("POST", "PUT"):
            return 405, b""
        received = self._take(path, headers, body)
        self.history.append(received)
        self.statuses[received.status] += 1
        return received.status, received.problem.encode()

    def _take(self, path: str, headers: Headers, body: bytes) -> Received:
        problem = self._problem(headers, body)
        at = self._wall_clock()
        received = received_of(headers, body, at=at, path=path, status=204, problem=problem)
        if problem:
            return replace(received, status=401)
        repeated = received.id in self._delivered
        if time.monotonic() < self._failing_until:
            return replace(received, status=self.settings.fail_status, repeated=repeated)
        if self.settings.poison & {received.id, received.event}:
            return replace(received, status=self.settings.poison_status, repeated=repeated)
        self._delivered[received.id] = None
        if len(self._delivered) > self.settings.history_max:
            del self._delivered[next(iter(self._delivered))]
        return replace(received, repeated=repeated)

    def _problem(self, headers: Headers, body: bytes) -> str:
        if self._verifier is None:
            return "no secret is trusted yet"
        try:
            self._verifier.verify(headers, body, self._wall_clock())
        except SignatureInvalid as error:
            return str(error)
        if self._also_verify is not None:
            try:
                self._also_verify(headers, body)
            except Exception as error:  # noqa: BLE001 - whatever the caller's own check raises means no
                return f"{type(error).__name__}: {error}"
        return ""


async def serve(receiver: Receiver, *, port: int, host: str = "127.0.0.1", on_ready: Callable[[str], object]) -> None:
    """Run until SIGINT or SIGTERM; ``on_ready(url)`` once it listens."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    on_ready(await receiver.start(port, host))
    try:
        await stop.wait()
    finally:
        await receiver.stop()
