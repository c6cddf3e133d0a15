"""The consumer: handlers by decorator, started alone (`run`) or inside a loop of yours (``async with``)."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import uvloop

from pipeline.consume.caller import DONE_STATUS, Call, Caller
from pipeline.consume.handlers import CONCURRENCY, TIMEOUT_S, Handler
from pipeline.consume.house import House
from pipeline.consume.incoming import Incoming
from pipeline.consume.troubles import Troubles
from pipeline.errors import DeclarationInvalid, PipelineError
from pipeline.hooks import Hooks
from pipeline.kafka.client import KafkaSettings
from pipeline.names import DEFAULT_NAMESPACE, check_namespace, group_of
from pipeline.push.parts import BridgeSettings
from pipeline.push.reading import Reading
from pipeline.record import Record
from pipeline.subscription import RetryPolicy
from pipeline.verify import HistoryWriter, Received

F = TypeVar("F", bound=Call)
Defaults = Callable[[str], tuple[str, str]]
# `concurrency` is a bound, not a wish: attempts that hang do not leave it for a cap of their own.
NEVER_SLOW_S = 86_400.0
log = logging.getLogger("pipeline.consume")


class HandlerStopped(PipelineError):
    """A handler cannot go on (its topic is gone, its pointer is missing); the text says why. Starting again after
    mending the cause resumes it.
    """

    code = "handler-stopped"


class Consumer:
    """Handlers of one service. ``name`` begins its groups, ``<name>.<handler>``; processes with the same name share
    the work, one partition in one process at a time.

    ``drain_s``: how long attempts under way may take when the process ends or a partition moves; below
    ``session_timeout_s``, after which a process not heard of loses its partitions. ``security``: librdkafka properties
    (see `KafkaSettings`). ``hooks`` are told of every moment; by default troubles are logged. ``instant``, for tests:
    what waits (retries, an open breaker) waits no time. ``history_file``: attempts, successes, dead letters and commits
    of the one handler are written there, for `pipeline verify`; processes on one machine may share it.
    """

    def __init__(
        self,
        name: str,
        *,
        bootstrap_servers: str = "127.0.0.1:9092",
        security: Mapping[str, str] | None = None,
        session_timeout_s: float = 15.0,
        drain_s: float = 8.0,
        instant: bool = False,
        hooks: Hooks | None = None,
        history_file: Path | None = None,
    ) -> None:
        if check_namespace(name) == DEFAULT_NAMESPACE:
            raise DeclarationInvalid("name", name, "a name of its own: that is the bridge's namespace")
        self.name, self._hooks, self._instant = name, hooks or Troubles(), instant
        self._history_file = history_file
        self._history: HistoryWriter | None = None
        self._kafka = KafkaSettings(
            bootstrap_servers=bootstrap_servers, client_id=f"consume-{name}", security=dict(security or {})
        )
        self._settings = BridgeSettings(
            namespace=name,
            instance=_instance(),
            session_timeout_s=session_timeout_s,
            drain_s=drain_s,
            record_attempts=False,
            slow_after_s=NEVER_SLOW_S,
            no_waiting=instant,
        )
        self._handlers: dict[str, Handler] = {}
        self._house: House | None = None
        self._stopped: asyncio.Future[None] | None = None

    def on(
        self,
        *topics: str,
        name: str = "",
        filters: tuple[dict[str, Any], ...] = (),
        concurrency: int = CONCURRENCY,
        retry: RetryPolicy | None = None,
        on_dead_letter: str = "continue",
        ordering: str = "key",
        start: str = "earliest",
        rate_per_s: float | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Callable[[F], F]:
        """Call the decorated coroutine function for every event of ``topics``; see `Handler`.

        Returning is success; what it raises decides the rest: `Reject` buries at once, `RetryLater` waits, anything
        else follows the ``retry`` schedule. Raises `DeclarationInvalid`; two handlers need two names.
        """

        def register(call: F) -> F:
            handler = Handler(
                call=call, topics=topics, name=name, filters=filters, concurrency=concurrency,
                retry=retry or RetryPolicy(), on_dead_letter=on_dead_letter, ordering=ordering, start=start,
                rate_per_s=rate_per_s, timeout_s=timeout_s,
            )  # fmt: skip
            if handler.name in self._handlers:
                raise DeclarationInvalid("name", handler.name, "a name per handler; it names the handler's group")
            self._handlers[handler.name] = handler
            return call

        return register

    def under_test(self, bootstrap_servers: str, *, name: str = "") -> Consumer:
        """One with the same handlers on another Kafka, where nothing waits; ``name``: its own by default."""
        made = Consumer(name or self.name, bootstrap_servers=bootstrap_servers, hooks=self._hooks, instant=True)
        made._handlers = dict(self._handlers)
        return made

    # -- its life ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Consume until SIGTERM or SIGINT, then drain. Raises `HandlerStopped`, and what `start` raises."""
        uvloop.run(self._main())

    async def start(self) -> None:
        """Connect and begin. Raises `DeclarationInvalid` without handlers, `TopicNotFound`, `BrokerUnavailable`…"""
        if not self._handlers:
            raise DeclarationInvalid("handlers", "none", "at least one, by @consumer.on(…)")
        if self._house is not None:
            raise DeclarationInvalid("consumer", self.name, "started once")
        if self._history_file is not None and len(self._handlers) > 1:
            raise DeclarationInvalid("history_file", str(self._history_file), "one handler: a history is of one group")
        self._stopped = asyncio.get_running_loop().create_future()
        if self._history_file is not None:
            self._history = HistoryWriter(self._history_file, self._settings.instance)
        house = House(self._kafka, self._settings, self._hooks, self._history)
        await house.start(self._handlers, partial(self._caller, house.defaults), self._stop_by)
        self._house = house

    async def stop(self) -> None:
        """Begin nothing more, wait up to ``drain_s`` for what is under way, commit."""
        house, self._house = self._house, None
        if house is not None:
            await house.stop()

    async def wait(self) -> None:
        """Until a handler cannot go on: raises `HandlerStopped` then. Cancel it at will."""
        assert self._stopped is not None, "start it first"
        await asyncio.shield(self._stopped)

    def is_healthy(self) -> bool:
        """Whether it is started and at work; for a liveness probe."""
        worker = None if self._house is None else self._house.worker
        told = self._stopped is not None and self._stopped.done()
        return worker is not None and worker.is_healthy() and not told

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _main(self) -> None:
        loop, ending = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ending.set)
        async with self:
            stopped = asyncio.ensure_future(self.wait())
            ended = asyncio.ensure_future(ending.wait())
            await asyncio.wait({stopped, ended}, return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            if not stopped.done():
                stopped.cancel()
                return
        await stopped

    # -- what the worker asks ----------------------------------------------------------------------------------------

    def _caller(self, defaults: Defaults, reading: Reading, id_prefix: Callable[[str], str]) -> Caller:
        handler = self._handlers[reading.spec.name]
        if reading.is_shadow:
            raise DeclarationInvalid("endpoint", "a shadow", "none: what a service replays, its own handler gets")

        def make(record: Record, attempt: int) -> Incoming:
            return Incoming(
                record,
                attempt,
                delivery_id=f"{id_prefix(record.topic)}{record.partition}_{record.offset}",
                run_id=reading.run_id,
                defaults=defaults(record.topic),
            )

        call = handler.call if self._history is None else heard(handler.call, self._history)
        return Caller(call, make, handler.timeout_s, waits=not self._instant)

    def _stop_by(self, name: str, state: str, reason: str) -> None:
        group = group_of(self.name, name)
        log.error("%s stopped: %s: %s", group, state, reason)
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_exception(HandlerStopped(f"{group} is {state}: {reason}"))
            self._stopped.exception()  # seen: whoever waits is told, and nobody has to wait


def heard(call: Call, history: HistoryWriter) -> Call:
    """``call``, whose successes are written down before they are told."""

    async def called(event: Incoming) -> None:
        await call(event)
        key = None if event.key is None else event.key.decode("utf-8", "backslashreplace")
        history.write(Received(at=history.now(), by=history.by, id=event.delivery_id, status=DONE_STATUS, key=key))

    return called


def _instance() -> str:
    """Host name and process id, in the letters pointers may have."""
    return f"{re.sub(r'[^A-Za-z0-9_-]', '-', socket.gethostname())[:60]}-{os.getpid()}"
