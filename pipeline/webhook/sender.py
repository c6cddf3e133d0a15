"""Send a run's records to its endpoint over a few kept-alive connections, and say what came of each.

Rules: every `Sender.send` ends in exactly one call of its ``done``, on the loop, never before `send` returns, never
after it was aborted. No attempt is repeated here. What finds no connection waits in line, bounded by what the caller
lets be in flight. One timer per sender sweeps over its few connections, so an attempt costs no timer of its own and may
end a sweep later than its time-out says.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.errors import AddressBlocked
from pipeline.guard import Guard
from pipeline.record import Position, Record
from pipeline.signing import Signer
from pipeline.subscription import Subscription
from pipeline.webhook.bundle import Bundle
from pipeline.webhook.connect import ConnectFailed, Connector, tls_context
from pipeline.webhook.credential import Authorization, Credential, Try
from pipeline.webhook.lines import Undecodable
from pipeline.webhook.naming import Names
from pipeline.webhook.settings import SenderSettings
from pipeline.webhook.transport import Connection, Memo
from pipeline.webhook.untried import Faults, Waiting, owner
from pipeline.webhook.writers import writer_of

__all__ = ["Authorization", "Sender", "SenderSettings"]

T = TypeVar("T")
SWEEP_S_MIN, SWEEP_S_MAX = 0.02, 0.5


class Sender:
    """Delivers for one run. Make it on the running loop; `close` it.

    ``guard``: what may be called; a URL it refuses makes every attempt end in a BLOCKED_ADDRESS fault. ``wall_clock``:
    unix seconds. ``topic_prefixes``, ``defaults``, ``run_id``: see `Names`. ``authorization``: as whom; closed with the
    sender. ``tls``: the endpoint's own context, else that of ``settings``. ``on_connection`` is called for every
    connection opened.
    """

    def __init__(  # noqa: PLR0913 - its parts, each named at the call
        self,
        subscription: Subscription,
        *,
        signer: Signer,
        guard: Guard,
        topic_prefixes: Callable[[str], str],
        defaults: Callable[[str], tuple[str, str]],
        wall_clock: Callable[[], float],
        run_id: str | None = None,
        settings: SenderSettings | None = None,
        authorization: Authorization | None = None,
        tls: ssl.SSLContext | None = None,
        on_connection: Callable[[], None] | None = None,
    ) -> None:
        endpoint = subscription.endpoint
        self._loop = asyncio.get_running_loop()
        self._wall_clock = wall_clock
        self._settings = settings = settings or SenderSettings()
        self._timeout_s = endpoint.timeout_s
        self._sweep_s = min(max(endpoint.timeout_s / 30, SWEEP_S_MIN), SWEEP_S_MAX)
        self._connections_max = settings.connections_max or subscription.in_flight_max * 5
        self._idle: list[Connection] = []
        self._connections: set[Connection] = set()
        self._waiting: deque[Waiting] = deque()
        self._faults = Faults()
        self._connecting: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._memo: Memo = {}
        self._second, self._timestamp = -1, b""
        self._stopped = False
        self._all_lost = asyncio.Event()
        self._on_connection = on_connection
        self._credential: Credential | None = None
        self._blocked = ""
        try:
            target = guard.check_url(endpoint.url)
        except AddressBlocked as error:
            self._blocked = str(error)
            return
        if target.tls and tls is None:
            tls = tls_context(settings.ca_file)
        connect_s = endpoint.connect_timeout_s
        self._connector = Connector(target, guard, timeout_s=connect_s, tls=tls, proxy=settings.proxy)
        writer = writer_of(
            subscription,
            self._connector.asked,
            signer,
            Names(topic_prefixes, defaults, run_id),
            more_lines=self._connector.extra_lines,
            public_url=settings.public_url,
        )
        self._write = writer.write
        if authorization is not None:
            self._credential = Credential(authorization, writer, send=self._send_try, timeout_s=self._timeout_s)
            self._write = self._credential.write

    def send(
        self,
        content: Record | Bundle,
        attempt: int,
        done: Callable[[T, Reply | Fault], None],
        arg: T,
        origin: Position | None = None,
    ) -> None:
        """Deliver `content` as attempt number `attempt` (from 1); ``done(arg, outcome)`` says what came of it. A bundle
        is for ``format: batch`` only.

        ``origin``: the position the event first had, when `content` is its dead letter; the event's id derives from it.
        """
        if self._credential is not None and type(arg) is not Try:
            if not self._stopped:
                self._credential.begin(Try(content, attempt, done, arg, origin))
            return
        idle, now = self._idle, monotonic()
        while idle:
            connection = idle.pop()
            if connection.reusable and now < connection.idle_until:
                try:
                    data = self._write(content, attempt, self._stamp(), origin)
                except Undecodable as error:
                    idle.append(connection)
                    self._faults.tell_soon(done, arg, Fault(FaultKind.UNDECODABLE, str(error), 0.0))
                    return
                connection.request(data, now, done, arg)
                return
            connection.close()
        if self._stopped:
            return
        if self._blocked:
            self._faults.tell_soon(done, arg, Fault(FaultKind.BLOCKED_ADDRESS, self._blocked, 0.0))
        else:
            self._waiting.append(Waiting(content, attempt, done, arg, origin, now))
            self._connect_if_needed()

    def abort(self, arg: object) -> None:
        """Break off the attempt sent with this very `arg`, if there is one; its ``done`` is not called any more."""
        for connection in [connection for connection in self._connections if owner(connection.arg) is arg]:
            connection.forget()
        for attempt in [attempt for attempt in self._waiting if owner(attempt.arg) is arg]:
            self._waiting.remove(attempt)
        self._faults.forget(arg)
        if self._credential is not None:
            self._credential.abort(arg)

    def abort_all(self) -> None:
        """Break off everything at once; no ``done`` is called any more and nothing is sent."""
        self._stopped = True
        self._waiting.clear()
        self._faults.clear()
        self._idle.clear()
        for task in self._connecting:
            task.cancel()
        for connection in list(self._connections):
            connection.forget()
        if self._sweeping is not None:
            self._sweeping.cancel()
        if not self._blocked:
            self._connector.close()
        if self._credential is not None:
            self._credential.close()

    async def close(self) -> None:
        """`abort_all`, and wait until the connections are gone."""
        self.abort_all()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        if self._connections:
            await self._all_lost.wait()

    # What connections tell (`Exchange`).

    def ended(self, connection: Connection, now: float) -> None:
        if not connection.reusable:
            return
        while self._waiting:
            if self._begin(connection, self._waiting.popleft()):
                return
        idle_s = self._settings.idle_s
        if connection.keep_alive_s is not None:
            idle_s = min(idle_s, connection.keep_alive_s - 1.0)  # be first: theirs would meet our next request half way
        connection.idle_until = now + idle_s
        self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if self._stopped and not self._connections:
            self._all_lost.set()
        self._connect_if_needed()

    # Inside.

    def _send_try(self, attempt: Try) -> None:
        assert self._credential is not None
        self.send(attempt.content, attempt.number, self._credential.judge, attempt, attempt.origin)

    def _begin(self, connection: Connection, attempt: Waiting) -> bool:
        """Send what waited; False when it cannot be written."""
        try:
            data = self._write(attempt.content, attempt.number, self._stamp(), attempt.origin)
        except Undecodable as error:
            self._faults.tell_soon(attempt.done, attempt.arg, Fault(FaultKind.UNDECODABLE, str(error), 0.0))
            return False
        connection.request(data, attempt.started, attempt.done, attempt.arg)
        return True

    def _stamp(self) -> bytes:
        now = int(self._wall_clock())
        if now != self._second:
            self._second, self._timestamp = now, b"%d" % now
        return self._timestamp

    def _connect_if_needed(self) -> None:
        if self._stopped or len(self._connecting) >= len(self._waiting):
            return
        if len(self._connections) + len(self._connecting) < self._connections_max:
            self._connecting.add(self._loop.create_task(self._connect()))
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(self._sweep_s, self._sweep)

    async def _connect(self) -> None:
        """Open one connection for the attempt that waits longest; a failure is that attempt's."""
        task = asyncio.current_task()
        assert task is not None
        body_bytes_max = self._settings.response_body_bytes_max
        try:
            connection = await self._connector.open(lambda: Connection(self, body_bytes_max, self._memo))
            if not connection.reusable:
                raise ConnectFailed(FaultKind.RESET, "the connection was closed before a request")
        except ConnectFailed as failed:
            if self._waiting:
                waited = self._waiting.popleft()
                fault = Fault(failed.kind, failed.detail, monotonic() - waited.started)
                self._faults.tell_soon(waited.done, waited.arg, fault)
        else:
            self._connections.add(connection)
            if self._on_connection is not None:
                self._on_connection()
            self.ended(connection, monotonic())
        finally:
            self._connecting.discard(task)
            self._connect_if_needed()

    def _sweep(self) -> None:
        """End what is over time, close what is idle too long, and come back while there is anything to watch."""
        watching = self._connections or self._waiting
        self._sweeping = self._loop.call_later(self._sweep_s, self._sweep) if watching else None
        now = monotonic()
        late = now - self._timeout_s
        while self._waiting and self._waiting[0].started <= late:
            waited = self._waiting.popleft()
            fault = Fault(FaultKind.TIMEOUT, "no connection became free", now - waited.started)
            self._faults.tell_soon(waited.done, waited.arg, fault)
        for connection in list(self._connections):
            if connection.busy_since is None:
                if connection.idle_until <= now:
                    connection.close()
            elif connection.busy_since <= late:
                connection.expire()
        self._idle = [connection for connection in self._idle if connection.reusable]
