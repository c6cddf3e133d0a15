"""The parts a consumer stands on: the bridge's worker over one Kafka, in a namespace that is the consumer's name.

So a consumer is operated like a bridge: its handlers are rows of ``_pipeline-<name>-subscriptions``, their pointers
groups without members, which stock tools read, measure and reset while it runs; ``pipeline lag``, ``dlq``, ``replay``
and ``redrive`` work on them under that namespace. Partitions are shared by the members of ``<name>._members``.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Mapping
from functools import partial

from pipeline.consume.handlers import Handler
from pipeline.consume.own_rows import NoRows, OwnRows
from pipeline.errors import VersionConflict
from pipeline.faces import StoredRow
from pipeline.guard import Guard
from pipeline.hooks import Hooks
from pipeline.kafka.admin import Admin
from pipeline.kafka.catalog import Catalog
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.journal import Journal
from pipeline.kafka.membership import Listener, Membership, MembershipSettings
from pipeline.kafka.table import LogTable, Tables
from pipeline.kafka.view import LogView
from pipeline.names import state_topic_of
from pipeline.push.clock import SYSTEM_CLOCK
from pipeline.push.counting import CountingHooks, RunCounts, bounded
from pipeline.push.delivers import Delivers
from pipeline.push.history import offsets_and_producer, recorded
from pipeline.push.parts import BridgeSettings, WorkerParts
from pipeline.push.reading import Reading
from pipeline.push.worker import Worker
from pipeline.sealing import KEY_BYTES, KeyRing
from pipeline.subscription import stored_subscription
from pipeline.subscriptions import Subscriptions, SubscriptionTables
from pipeline.verify import HistoryWriter

Stopped = Callable[[str, str, str], None]
TRIES = 5
CallerOf = Callable[[Reading, Callable[[str], str]], Delivers]


class House:
    """Make it on the running loop; `start` it with the handlers; `stop` drains and commits."""

    def __init__(
        self, kafka: KafkaSettings, settings: BridgeSettings, hooks: Hooks, history: HistoryWriter | None = None
    ) -> None:
        self._kafka, self._settings, self._hooks, self._history = kafka, settings, hooks, history
        self._admin = Admin(kafka)
        self._catalog = Catalog(self._admin)
        self._offsets, self._producer = offsets_and_producer(kafka, hooks, history, self._catalog.id_of)
        self._tables = Tables(kafka, self._producer, self._admin, hooks)
        self._view = LogView(kafka, None, hooks)
        self._journal = Journal(kafka, hooks)
        # Rows hold signing secrets, and nothing of a consumer is ever signed: sealed under a key that is thrown away.
        self._keyring = KeyRing([("consume", secrets.token_bytes(KEY_BYTES))])
        self._guard = Guard(allow_http=True)
        self._undo = contextlib.AsyncExitStack()
        self.worker: Worker | None = None

    async def start(self, handlers: Mapping[str, Handler], caller_of: CallerOf, on_stop: Stopped) -> None:
        """``on_stop`` is told the name, the state and the reason of a handler that cannot go on, in whichever process.

        Raises `PipelineError` (no broker, a topic that is missing, a filter that does not compile); what was started
        is stopped then.
        """
        try:
            await self._start_parts()
            for handler in handlers.values():
                await self._declare(handler)
            rows = OwnRows(self._table("subscriptions"), handlers)
            self._undo.callback(rows.watch(partial(_tell_stopped, rows, on_stop)))
            await self._begin(rows, caller_of)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        if self.worker is not None:
            await self.worker.stop()
            self.worker = None
        await self._undo.aclose()

    async def _start_parts(self) -> None:
        undo = self._undo
        if self._history is not None:
            undo.callback(self._history.close)
        undo.callback(self._admin.close)
        undo.callback(self._offsets.close)
        await self._admin.cluster_id()
        await self._producer.start()
        undo.push_async_callback(self._producer.stop)
        undo.push_async_callback(self._tables.stop)
        for name in ("subscriptions", "runs", "parked", "tallies"):
            await self._table(name).start()
        await self._view.start()
        undo.push_async_callback(self._view.stop)
        await self._journal.start()
        undo.push_async_callback(self._journal.stop)

    async def _declare(self, handler: Handler) -> None:
        """Its row, dead-letter topic and start positions, made once and by one process only. What stopped by itself
        goes on: starting the service again is the operator's word. One that was paused stays so.
        """
        rows = Subscriptions(
            SubscriptionTables(self._table("subscriptions"), NoRows()),
            self._admin,
            self._offsets,
            keyring=self._keyring,
            guard=self._guard,
            namespace=self._settings.namespace,
        )
        for left in reversed(range(TRIES)):
            try:
                await rows.put(handler.name, handler.declared())
                if rows.get(handler.name)[0].state in ("blocked", "gone"):
                    await rows.resume(handler.name)
            except VersionConflict:
                # Processes that start together write the same row; whoever came second finds it made.
                if not left:
                    raise
            else:
                return

    async def _begin(self, rows: OwnRows, caller_of: CallerOf) -> None:
        counts = RunCounts(
            self._table("tallies"),
            self._table("runs"),
            self._settings.instance,
            SYSTEM_CLOCK,
            self._hooks.on_consumer_error,
        )
        self.worker = self._worker(rows, caller_of, CountingHooks(self._hooks, counts))
        await self.worker.start()
        counts.start(partial(bounded, self.worker.keepers))
        self._undo.push_async_callback(counts.stop)

    def _worker(self, rows: OwnRows, caller_of: CallerOf, hooks: Hooks) -> Worker:
        parts = WorkerParts(
            kafka=self._kafka,
            view=self._view,
            offsets=self._offsets,
            catalog=self._catalog,
            admin=self._admin,
            producer=self._producer,
            journal=self._journal,
            subscriptions=rows,
            runs=self._table("runs"),
            parked=self._table("parked"),
            keyring=self._keyring,
            guard=self._guard,
            hooks=hooks,
            defaults=self.defaults,
        )

        def made(reading: Reading, _: WorkerParts, id_prefix: Callable[[str], str]) -> Delivers:
            return caller_of(reading, id_prefix)

        make = made if self._history is None else recorded(made, self._history)
        return Worker(parts, self._settings, join=_join, sender_of=make)

    def defaults(self, topic: str) -> tuple[str, str]:
        """CloudEvents source and type of records that carry none."""
        return f"/{self._settings.namespace}/{topic}", f"{topic}.record"

    def _table(self, name: str) -> LogTable:
        return self._tables.table(state_topic_of(self._settings.namespace, name))


def _tell_stopped(rows: OwnRows, on_stop: Stopped, name: str, _row: StoredRow | None) -> None:
    row = rows.get(name)
    if row is not None:
        stored = stored_subscription(row.value)
        if stored.state in ("blocked", "gone"):
            on_stop(name, stored.state, stored.reason)


def _join(
    kafka: KafkaSettings, group: str, settings: MembershipSettings, listener: Listener, hooks: Hooks
) -> Membership:
    # The bridge would call it `<namespace>._bridge`; this one is no bridge.
    return Membership(kafka, f"{group.rsplit('.', 1)[0]}._members", settings, listener, hooks)
