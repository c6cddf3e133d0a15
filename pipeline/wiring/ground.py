"""What everything in a process stands on: connections to Kafka, tables, the log's view, what was declared."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import cached_property

from pipeline.config import Config
from pipeline.guard import Guard
from pipeline.kafka.admin import Admin
from pipeline.kafka.catalog import Catalog
from pipeline.kafka.journal import Journal
from pipeline.kafka.table import LogTable, Tables
from pipeline.kafka.view import LogView
from pipeline.names import state_topic_of
from pipeline.periodic import Periodic
from pipeline.push import ackmaps, attempts, audit
from pipeline.push.ackmaps import ACKMAPS_CONFIG
from pipeline.push.audit import Audit
from pipeline.push.happenings import EVENTS_CONFIG, Happenings, topics_by
from pipeline.push.history import offsets_and_producer
from pipeline.registry.face import Registry
from pipeline.registry.local import LocalRegistry
from pipeline.registry.remote import RemoteRegistry, RemoteSettings
from pipeline.sealing import KeyRing
from pipeline.telemetry.logs import LoggingHooks, warn_of_openings
from pipeline.telemetry.metrics import Metrics
from pipeline.telemetry.tracing import otlp_tracing
from pipeline.topic import Topic
from pipeline.topics.declarations import load_schemas, load_topics
from pipeline.webhook.outbound import Outbound
from pipeline.webhook.own import listed, of_url, own_places
from pipeline.webhook.proxy import proxy_from
from pipeline.wiring import own_brokers
from pipeline.wiring.configured import ca_file_of, make_guard, named_instance, open_history
from pipeline.wiring.keys import make_keyring
from pipeline.wiring.own_brokers import OwnBrokers

SUBSCRIPTIONS, RUNS, CURSORS, SCHEMAS, PARKED = "subscriptions", "runs", "cursors", "schemas", "parked"
TALLIES = "tallies"


class Ground:
    """Connections, declarations and tables. Make it on the running loop, `start`, take what you need, `stop`."""

    def __init__(self, config: Config) -> None:
        settings = config.settings
        self.config, self.settings = config, settings
        self.metrics = Metrics()
        self._tracing = otlp_tracing(settings.namespace) if settings.telemetry.traces else None
        self.hooks = LoggingHooks(self.metrics, traces=self._tracing)
        self.guard = make_guard(config)
        webhook = settings.webhook
        self.proxy = proxy_from(webhook.proxy_url, resolves=webhook.proxy_resolves)
        self.outbound = Outbound(self.guard, proxy=self.proxy, ca_file=ca_file_of(config))
        self.schemas = load_schemas(config.path(settings.files.schemas))
        self.declared = {topic.name: topic for topic in load_topics(config.path(settings.files.topics), self.schemas)}
        self.admin = Admin(settings.kafka)
        self.catalog = Catalog(self.admin)
        self._history = open_history(config)
        self.offsets, self.producer = offsets_and_producer(
            settings.kafka, self.hooks, self._history, self.catalog.id_of
        )
        self.tables = Tables(settings.kafka, self.producer, self.admin, self.hooks)
        self.view = LogView(settings.kafka, settings.view, self.hooks)
        self.registry: Registry = self._registry()
        self._journal = Journal(settings.kafka, self.hooks)
        self._undo = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Connect, read the tables. Raises LogError when the broker does not answer; what was started is stopped
        then.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        if self._tracing is not None:
            self._undo.push_async_callback(asyncio.to_thread, self._tracing.close)
        self._undo.callback(self.admin.close)
        self._undo.callback(self.offsets.close)
        await self.admin.cluster_id()
        await self._guard_ourselves()
        await self.producer.start()
        self._undo.push_async_callback(self.producer.stop)
        self._undo.push_async_callback(self.tables.stop)
        await asyncio.gather(*(self.table(name).start() for name in (SUBSCRIPTIONS, RUNS, CURSORS, PARKED, TALLIES)))
        if not self.settings.registry.url:
            await self.table(SCHEMAS).start()
        self._undo.push_async_callback(self.registry.close)
        await self.view.start()
        self._undo.push_async_callback(self.view.stop)
        await self._make_told_topics()

    async def _guard_ourselves(self) -> None:
        """Nothing sent may reach our own gateway, brokers or registry; what an operator opened is said aloud."""
        settings, gateway = self.settings, self.settings.gateway
        kafka = [*listed(settings.kafka.bootstrap_servers), *await self.admin.brokers()]
        self.guard.deny(await own_places([(gateway.host, gateway.port), *kafka, *of_url(settings.registry.url)]))
        self.go_round(OwnBrokers(self.guard, self.admin.brokers, kafka).look, own_brokers.EVERY_S)
        warn_of_openings(
            {
                "webhook.allow": list(settings.webhook.allow),
                "webhook.allow_loopback": settings.webhook.allow_loopback,
                "webhook.allow_http": settings.webhook.allow_http,
                "webhook.proxy_resolves": settings.webhook.proxy_resolves,
            }
        )

    async def _make_told_topics(self) -> None:
        """Make the topics that are appended to and are no tables, where they are missing."""
        wanted = {
            self.happenings.topic: EVENTS_CONFIG,
            state_topic_of(self.settings.namespace, audit.TABLE): None,
            state_topic_of(self.settings.namespace, attempts.TABLE): None,
            state_topic_of(self.settings.namespace, ackmaps.TABLE): ACKMAPS_CONFIG,
        }
        found = await self.admin.describe(list(wanted))
        for topic in wanted.keys() - found.keys():
            await self.admin.create(topic, 1, wanted[topic])
        self._undo.callback(self.happenings.close)

    async def stop(self) -> None:
        """Stop what runs, in reverse."""
        await self._undo.aclose()

    def go_round(self, act: Callable[[], Awaitable[object]], every_s: float) -> None:
        """Do ``act`` every ``every_s`` seconds until `stop`; what it raises is told through the hooks."""
        rounds = Periodic(act, every_s, self.hooks.on_consumer_error)
        rounds.start()
        self._undo.push_async_callback(rounds.stop)

    def table(self, name: str) -> LogTable:
        """One of this namespace's tables."""
        return self.tables.table(state_topic_of(self.settings.namespace, name))

    @cached_property
    def keyring(self) -> KeyRing:
        return make_keyring(self.config)

    @cached_property
    def happenings(self) -> Happenings:
        """Where operational events are told."""
        return Happenings(self.producer, self.settings.namespace, topics_of=topics_by(self.table(SUBSCRIPTIONS)))

    @cached_property
    def audit(self) -> Audit:
        """Where every change is told, by this process' name where nobody else is named."""
        who = named_instance(self.settings.bridge).instance
        return Audit(self.producer, state_topic_of(self.settings.namespace, audit.TABLE), who)

    def event_type(self, topic: str) -> str:
        """The CloudEvents type of records of ``topic`` that name none."""
        declared: Topic | None = self.declared.get(topic)
        return declared.event_type if declared is not None and declared.event_type else f"{topic}.record"

    def _is_avro(self, topic: str) -> bool:
        declared: Topic | None = self.declared.get(topic)
        return declared is not None and declared.schema is not None and declared.encoding == "avro"

    def _registry(self) -> Registry:
        if self.settings.registry.url:
            return RemoteRegistry(
                RemoteSettings(url=self.settings.registry.url, timeout_s=self.settings.registry.timeout_s),
                Outbound(Guard.for_operators()),
            )
        return LocalRegistry(self.table(SCHEMAS))
