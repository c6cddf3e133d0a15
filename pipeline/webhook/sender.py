"""Send a run's records to its endpoint over a few kept-alive connections, and say what came of each.

Rules: every `Sender.send` ends in exactly one call of its ``done``, on the loop, never before `send` returns, never
after `Sender.abort_all`. No attempt is repeated here. Nothing is queued beyond ``in_flight_max``: the caller counts.
One timer per sender sweeps over its few connections, so an attempt costs no timer of its own; it ends up to a sweep later
than its time-out says.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.errors import AddressBlocked
from pipeline.guard import Guard
from pipeline.record import Position, Record
from pipeline.signing import Signer
from pipeline.subscription import Subscription
from pipeline.webhook.connect import ConnectFailed, Connector, tls_context
from pipeline.webhook.request import DeliveryWriter, Undecodable
from pipeline.webhook.transport import Connection, Memo

T = TypeVar("T")
Done = Callable[[Any, Reply | Fault], None]
SWEEP_S_MIN, SWEEP_S_MAX = 0.02, 0.5


class SenderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one sender.

    ``connections_max``: None takes the subscription's ``in_flight_max``. ``idle_s``: unused connections are closed after
    this, below the 5 s after which common servers (Node, uvicorn) close theirs, which would cost an attempt.
    ``ca_file``: authorities trusted instead of the system's.
    """

    connections_max: int | None = None
    idle_s: float = 4.0
    response_body_bytes_max: int = 16_384
    ca_file: str | None = None


class _Attempt:
    """One `Sender.send`: what is sent, since when it runs and who is told."""

    __slots__ = ("arg", "done", "number", "origin", "record", "started")

    def __init__(self, record: Record, number: int, done: Done, arg: Any, origin: Position | None) -> None:
        self.record, self.number, self.done, self.arg, self.origin = record, number, done, arg, origin
        self.started = time.monotonic()


class _Line(Connection):
    """A connection and the attempt it is busy with."""

    __slots__ = ("attempt", "idle_until")

    def __init__(self, sender: Sender, body_bytes_max: int, memo: Memo) -> None:
        super().__init__(sender, body_bytes_max, memo)
        self.attempt: _Attempt | None = None
        self.idle_until = 0.0


class Sender:
    """Delivers for one run.

    ``signer``, ``guard``: who signs and what may be called; a URL the guard refuses makes every attempt end in a
    BLOCKED_ADDRESS fault. ``topic_prefixes``, ``defaults``, ``run_id``: see `DeliveryWriter`. ``wall_clock``: unix seconds.
    Make it on the running loop; `close` it.
    """

    def __init__(
        self,
        subscription: Subscription,
        *,
        signer: Signer,
        guard: Guard,
        topic_prefixes: Callable[[str], str],
        defaults: Callable[[str], tuple[str, str]],
        wall_clock: Callable[[], float],
        run_id: str | None = None,
        settings: SenderSettings = SenderSettings(),
    ) -> None:
        endpoint = subscription.endpoint
        self._loop = asyncio.get_running_loop()
        self._wall_clock = wall_clock
        self._settings = settings
        self._timeout_s = endpoint.timeout_s
        self._sweep_s = min(max(endpoint.timeout_s / 30, SWEEP_S_MIN), SWEEP_S_MAX)
        self._connections_max = settings.connections_max or subscription.in_flight_max
        self._idle: list[_Line] = []
        self._lines: set[_Line] = set()
        self._waiting: deque[_Attempt] = deque()
        self._connecting: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._memo: Memo = {}
        self._second, self._timestamp = -1, b""
        self._stopped = False
        self._blocked = ""
        try:
            target = guard.check_url(endpoint.url)
        except AddressBlocked as error:
            self._blocked = str(error)
            return
        self._writer = DeliveryWriter(
            subscription, target, signer=signer, topic_prefixes=topic_prefixes, defaults=defaults, run_id=run_id
        )
        tls = tls_context(settings.ca_file) if target.tls else None
        self._connector = Connector(target, guard, timeout_s=endpoint.connect_timeout_s, tls=tls)

    def send(
        self,
        record: Record,
        attempt: int,
        done: Callable[[T, Reply | Fault], None],
        arg: T,
        origin: Position | None = None,
    ) -> None:
        """Deliver `record` as attempt number `attempt` (from 1); ``done(arg, outcome)`` says what came of it.

        ``origin``: the position the event first had, when `record` is its dead letter; the event's id derives from it.
        """
        begun = _Attempt(record, attempt, done, arg, origin)
        idle = self._idle
        while idle:
            line = idle.pop()
            if line.reusable and begun.started < line.idle_until:
                self._begin(line, begun)
                return
            line.close()
        if self._stopped or self._blocked:
            fault = Fault(FaultKind.BLOCKED_ADDRESS, self._blocked, 0.0)
            self._loop.call_soon(self._end, begun, fault)
            return
        self._waiting.append(begun)
        self._connect_if_needed()

    def abort_all(self) -> None:
        """Break off everything at once; no ``done`` is called any more and nothing can be sent."""
        self._stopped = True
        self._waiting.clear()
        self._idle.clear()
        for task in self._connecting:
            task.cancel()
        for line in list(self._lines):
            line.forget()
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    async def close(self) -> None:
        """`abort_all`, and wait until the connections being opened are gone."""
        self.abort_all()
        await asyncio.gather(*self._connecting, return_exceptions=True)

    # What connections tell (`Exchange`).

    def replied(self, line: Connection, status: int, retry_after: str | None, excerpt: bytes) -> None:
        assert isinstance(line, _Line)
        attempt = line.attempt
        assert attempt is not None
        now = time.monotonic()
        line.attempt = None
        if line.reusable:
            self._free(line, now)
        attempt.done(attempt.arg, Reply(status, retry_after, now - attempt.started, excerpt))

    def broke(self, line: Connection, kind: FaultKind, detail: str) -> None:
        assert isinstance(line, _Line)
        attempt = line.attempt
        assert attempt is not None
        line.attempt = None
        self._end(attempt, Fault(kind, detail, time.monotonic() - attempt.started))

    def lost(self, line: Connection) -> None:
        assert isinstance(line, _Line)
        self._lines.discard(line)
        self._connect_if_needed()

    # Inside.

    def _begin(self, line: _Line, attempt: _Attempt) -> None:
        now = int(self._wall_clock())
        if now != self._second:
            self._second, self._timestamp = now, b"%d" % now
        try:
            data = self._writer.write(attempt.record, attempt.number, self._timestamp, attempt.origin)
        except Undecodable as error:
            self._free(line, time.monotonic())
            self._loop.call_soon(self._end, attempt, Fault(FaultKind.UNDECODABLE, str(error), 0.0))
            return
        line.attempt = attempt
        line.request(data)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(self._sweep_s, self._sweep)

    def _free(self, line: _Line, now: float) -> None:
        if self._waiting:
            self._begin(line, self._waiting.popleft())
            return
        idle_s = self._settings.idle_s
        if line.keep_alive_s is not None:
            idle_s = min(idle_s, line.keep_alive_s - 1.0)  # be first: theirs would meet our next request half way
        line.idle_until = now + idle_s
        self._idle.append(line)

    def _end(self, attempt: _Attempt, fault: Fault) -> None:
        if not self._stopped:
            attempt.done(attempt.arg, fault)

    def _connect_if_needed(self) -> None:
        if self._stopped or len(self._connecting) >= len(self._waiting):
            return
        if len(self._lines) + len(self._connecting) < self._connections_max:
            task = self._loop.create_task(self._connect())
            self._connecting.add(task)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(self._sweep_s, self._sweep)

    async def _connect(self) -> None:
        """Open one connection for the attempt that waits longest; a failure is that attempt's."""
        task = asyncio.current_task()
        assert task is not None
        settings = self._settings
        try:
            line = await self._connector.open(lambda: _Line(self, settings.response_body_bytes_max, self._memo))
        except ConnectFailed as failed:
            self._connecting.discard(task)
            if self._waiting:
                attempt = self._waiting.popleft()
                self._end(attempt, Fault(failed.kind, failed.detail, time.monotonic() - attempt.started))
            return
        finally:
            self._connecting.discard(task)
        self._lines.add(line)
        if line.reusable:
            self._free(line, time.monotonic())

    def _sweep(self) -> None:
        """End what is over time, close what is idle too long, and come back while there is anything to watch."""
        self._sweeping = None
        now = time.monotonic()
        late = now - self._timeout_s
        for line in [line for line in self._lines if line.attempt is not None and line.attempt.started <= late]:
            line.expire()
        while self._waiting and self._waiting[0].started <= late:
            attempt = self._waiting.popleft()
            self._end(attempt, Fault(FaultKind.TIMEOUT, "no connection became free", now - attempt.started))
        for line in [line for line in self._idle if line.idle_until <= now]:
            self._idle.remove(line)
            line.close()
        if (self._lines or self._waiting) and not self._stopped and self._sweeping is None:
            self._sweeping = self._loop.call_later(self._sweep_s, self._sweep)
