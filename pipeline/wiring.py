"""Wiring: builds every part from the configuration, starts them in order, stops them in reverse. It decides nothing.

Long because it knows every part; there is one such file, so that no other has to.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from functools import cached_property
from pathlib import Path

import msgspec

from pipeline.config import Config
from pipeline.errors import DeclarationInvalid, PipelineError
from pipeline.gateway.app import build_app
from pipeline.gateway.parts import GatewayParts
from pipeline.guard import Guard
from pipeline.kafka.admin import Admin
from pipeline.kafka.catalog import Catalog
from pipeline.kafka.journal import Journal
from pipeline.kafka.table import LogTable, Tables
from pipeline.kafka.view import LogView
from pipeline.names import state_topic_of
from pipeline.publish import Publisher
from pipeline.pull import CursorKeeper, KeeperSettings, NamedCursors, Reader, Rendering
from pipeline.push import ackmaps, attempts, audit, lookout
from pipeline.push.ackmaps import ACKMAPS_CONFIG
from pipeline.push.attempt_search import Attempts
from pipeline.push.audit import Audit
from pipeline.push.clock import SYSTEM_CLOCK
from pipeline.push.facts import RecordFacts
from pipeline.push.happenings import EVENTS_CONFIG, Happenings, topics_by
from pipeline.push.history import offsets_and_producer, recorded
from pipeline.push.lookout import Lookout
from pipeline.push.parts import BridgeSettings, WorkerParts
from pipeline.push.reading import Reading
from pipeline.push.senders import make_sender
from pipeline.push.worker import Worker
from pipeline.record import Record
from pipeline.redrive import DeadLetters, Discards, Edits, ParkedKeys, Redrives, WriteBacks
from pipeline.registry.face import Registry
from pipeline.registry.local import LocalRegistry
from pipeline.registry.remote import RemoteRegistry, RemoteSettings
from pipeline.replay import Replays
from pipeline.runs import Runs
from pipeline.sealing import KeyRing, parse_key
from pipeline.subscription import StoredSubscription
from pipeline.subscriptions import Beside, Ledgers, Probing, Resets, Subscriptions, SubscriptionTables, Trials
from pipeline.telemetry.logs import LoggingHooks, warn_of_openings
from pipeline.telemetry.metrics import Metrics
from pipeline.telemetry.tracing import otlp_tracing
from pipeline.topic import Topic
from pipeline.topics.declarations import load_schemas, load_topics
from pipeline.verify import HistoryWriter
from pipeline.webhook.admission import Admission
from pipeline.webhook.outbound import Outbound
from pipeline.webhook.own import listed, of_url, own_places
from pipeline.webhook.proxy import proxy_from
from pipeline.webhook.sender import Sender
from pipeline.webhook.settings import SenderSettings

SUBSCRIPTIONS, RUNS, CURSORS, SCHEMAS, PARKED = "subscriptions", "runs", "cursors", "schemas", "parked"


class Node:
    """One process' parts over one Kafka. Make it on the running loop, `start`, take what you need, `stop`."""

    def __init__(self, config: Config) -> None:
        settings = config.settings
        self.config, self.settings = config, settings
        self.metrics = Metrics()
        self._tracing = otlp_tracing(settings.namespace) if settings.telemetry.traces else None
        self.hooks = LoggingHooks(self.metrics, traces=self._tracing)
        self.guard = make_guard(config)
        webhook = settings.webhook
        self.proxy = proxy_from(webhook.proxy_url, resolves=webhook.proxy_resolves)
        self.outbound = Outbound(self.guard, proxy=self.proxy, ca_file=self._ca_file())
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
        self.publisher = Publisher(
            self.producer,
            self.catalog,
            self.declared,
            self.registry,
            traced=None if self._tracing is None else self._tracing.publishing,
        )
        self.reader = Reader(
            self.view, self.catalog, self.admin, Rendering(settings.namespace, self.event_type, self.registry)
        )
        self._journal = Journal(settings.kafka, self.hooks)
        self._undo = contextlib.AsyncExitStack()
        self.worker: Worker | None = None

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
        await asyncio.gather(*(self.table(name).start() for name in (SUBSCRIPTIONS, RUNS, CURSORS, PARKED)))
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
        """Stop what runs, in reverse; the worker drains and commits first."""
        if self.worker is not None:
            await self.worker.stop()
            self.worker = None
        await self._undo.aclose()

    def table(self, name: str) -> LogTable:
        """One of this namespace's tables."""
        return self.tables.table(state_topic_of(self.settings.namespace, name))

    # -- parts over the started ones ---------------------------------------------------------------------------------

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

    @cached_property
    def attempts(self) -> Attempts:
        """What was tried, newest first."""
        return Attempts(self.view, self.admin, state_topic_of(self.settings.namespace, attempts.TABLE))

    @cached_property
    def subscriptions(self) -> Subscriptions:
        return Subscriptions(
            SubscriptionTables(self.table(SUBSCRIPTIONS), self.table(CURSORS)),
            self.admin,
            self.offsets,
            keyring=self.keyring,
            guard=self.guard,
            namespace=self.settings.namespace,
            beside=Beside(
                ledgers=Ledgers(self.audit, self.happenings),
                runs=self.runs,
                log=self.view,
                admission=self.admission,
                is_avro=self._is_avro,
            ),
        )

    @cached_property
    def admission(self) -> Admission:
        """What is asked of an endpoint before its subscription is stored."""
        origin = self.settings.webhook.origin
        return Admission(self.guard, self.outbound, origin=origin, proxy=self.proxy, ca_file=self._ca_file())

    @cached_property
    def resets(self) -> Resets:
        bridge_group = f"{self.settings.namespace}._bridge"
        return Resets(self.subscriptions, self.admin, self.offsets, bridge_group=bridge_group)

    @cached_property
    def probing(self) -> Probing:
        """Which endpoints workers find down, whatever process they run in."""
        return Probing(self.view, self.admin, self.happenings.topic)

    @cached_property
    def trials(self) -> Trials:
        return Trials(
            self.subscriptions,
            sender_of=self._trial_sender,
            namespace=self.settings.namespace,
            now_ms=_now_ms,
            random_hex=lambda: secrets.token_hex(8),
        )

    @cached_property
    def cursors(self) -> NamedCursors:
        return NamedCursors(
            self.table(CURSORS),
            self.offsets,
            self.admin,
            self.reader,
            namespace=self.settings.namespace,
            taken=lambda name: self.table(SUBSCRIPTIONS).get(name) is not None,
            now_ms=_now_ms,
            notes=self.audit,
        )

    @cached_property
    def runs(self) -> Runs:
        return Runs(
            self.table(RUNS),
            self.offsets,
            admin=self.admin,
            namespace=self.settings.namespace,
            now_ms=_now_ms,
            random_hex=lambda: secrets.token_hex(4),
            settings=self.settings.runs,
            tells=self.happenings,
            notes=self.audit,
            parked=self.table(PARKED),
        )

    @cached_property
    def dead_letters(self) -> DeadLetters:
        return DeadLetters(
            self.reader,
            self.runs,
            log=self.view,
            topics_of=self._topics_of,
            facts_of=self._facts_of,
            is_avro=self._is_avro,
        )

    @cached_property
    def redrives(self) -> Redrives:
        return Redrives(self.runs, self.dead_letters, self._stored)

    @cached_property
    def discards(self) -> Discards:
        return Discards(self.runs, self.dead_letters)

    @cached_property
    def edits(self) -> Edits:
        return Edits(self.runs, self.dead_letters, self.producer)

    @cached_property
    def write_backs(self) -> WriteBacks:
        return WriteBacks(
            self.runs,
            self.dead_letters,
            self._stored,
            admin=self.admin,
            offsets=self.offsets,
            producer=self.producer,
        )

    @cached_property
    def parked_keys(self) -> ParkedKeys:
        return ParkedKeys(self.table(PARKED), self.runs, self.dead_letters, self.redrives)

    @cached_property
    def replays(self) -> Replays:
        return Replays(
            self.runs,
            self.admin,
            self._stored,
            log=self.view,
            offsets=self.offsets,
            guard=self.guard,
            now_ms=_now_ms,
            is_avro=self._is_avro,
        )

    def _is_avro(self, topic: str) -> bool:
        declared: Topic | None = self.declared.get(topic)
        return declared is not None and declared.schema is not None and declared.encoding == "avro"

    def event_type(self, topic: str) -> str:
        """The CloudEvents type of records of ``topic`` that name none."""
        declared: Topic | None = self.declared.get(topic)
        return declared.event_type if declared is not None and declared.event_type else f"{topic}.record"

    @cached_property
    def worker_parts(self) -> WorkerParts:
        """What a worker stands on; a trial of an endpoint takes its sender from the same."""
        return WorkerParts(
            kafka=self.settings.kafka,
            view=self.view,
            offsets=self.offsets,
            catalog=self.catalog,
            admin=self.admin,
            producer=self.producer,
            journal=self._journal,
            subscriptions=self.table(SUBSCRIPTIONS),
            runs=self.table(RUNS),
            parked=self.table(PARKED),
            keyring=self.keyring,
            guard=self.guard,
            hooks=self.hooks,
            defaults=lambda topic: (f"/{self.settings.namespace}/{topic}", self.event_type(topic)),
            sending=SenderSettings(
                ca_file=self._ca_file(), proxy=self.proxy, public_url=self.settings.gateway.public_url
            ),
            happenings=self.happenings,
            outbound=self.outbound,
            origin=self.settings.webhook.origin,
        )

    async def start_worker(self) -> Worker:
        """Join the bridge and deliver."""
        await self._journal.start()
        self._undo.push_async_callback(self._journal.stop)
        make = make_sender if self._history is None else recorded(make_sender, self._history)
        self.worker = Worker(self.worker_parts, named_instance(self.settings.bridge), sender_of=make)
        await self.worker.start()
        self._watch(self.worker)
        return self.worker

    def _watch(self, worker: Worker) -> None:
        """Look after the worker's runs for those who ask how they are."""
        looks = lookout.Parts(self.view, self.admin, self.hooks, self.happenings, SYSTEM_CLOCK)
        watching = Lookout(looks, lambda: worker.keepers, self.settings.bridge.lag_check_s)
        watching.start()
        self._undo.push_async_callback(watching.stop)
        self.metrics.watch(watching.run_states, watching.place_states)

    def gateway_app(self) -> Callable[..., object]:
        """The HTTP surface over this node, as ASGI."""
        return build_app(
            GatewayParts(
                namespace=self.settings.namespace,
                publisher=self.publisher,
                reader=self.reader,
                log=self.view,
                catalogue=self.catalog,
                admin=self.admin,
                default_type=self.event_type,
                cursors=self.cursors,
                subscriptions=self.subscriptions,
                replays=self.replays,
                redrives=self.redrives,
                runs=self.runs,
                dead_letters=self.dead_letters,
                discards=self.discards,
                edits=self.edits,
                parked_keys=self.parked_keys,
                resets=self.resets,
                trials=self.trials,
                attempts=self.attempts,
                probing=self.probing,
                ready=self._not_ready,
                healthy=self._not_healthy,
                metrics=self.metrics.text,
                limits=self.settings.limits,
            )
        )

    async def _not_ready(self) -> list[str]:
        try:
            await self.admin.cluster_id()
        except PipelineError as error:
            return [str(error)]
        return self._not_healthy()

    def _not_healthy(self) -> list[str]:
        if self.worker is not None and not self.worker.is_healthy():
            return ["the bridge's worker has ended"]
        return []

    def cursor_keeper(self) -> CursorKeeper:
        """Keeps named cursors from expiring on the broker; run it beside a gateway."""
        return CursorKeeper(
            self.cursors, KeeperSettings(), jitter=lambda: secrets.randbelow(1000) / 1000, hooks=self.hooks
        )

    def _trial_sender(self, row: StoredSubscription, id_prefix: str) -> Sender:
        """What a worker would send ``row``'s deliveries with, under ids that are no event's."""
        parts = self.worker_parts
        return make_sender(Reading(self.settings.namespace, row, None, parts.defaults), parts, lambda _: id_prefix)

    def _ca_file(self) -> str | None:
        file = self.settings.webhook.ca_file
        return None if file is None else str(self.config.path(file))

    def _stored(self, name: str) -> StoredSubscription:
        return self.subscriptions.get(name)[0]

    def _topics_of(self, name: str) -> tuple[str, ...] | None:
        return self._stored(name).spec.topics if self.table(SUBSCRIPTIONS).get(name) is not None else None

    def _facts_of(self, record: Record) -> RecordFacts:
        return RecordFacts(record, self.worker_parts.defaults)

    def _registry(self) -> Registry:
        if self.settings.registry.url:
            return RemoteRegistry(
                RemoteSettings(url=self.settings.registry.url, timeout_s=self.settings.registry.timeout_s),
                Outbound(Guard.for_operators()),
            )
        return LocalRegistry(self.table(SCHEMAS))


@contextlib.asynccontextmanager
async def started(config: Config) -> AsyncIterator[Node]:
    """A started node for the length of a block."""
    node = Node(config)
    await node.start()
    try:
        yield node
    finally:
        await node.stop()


def open_history(config: Config) -> HistoryWriter | None:
    """What `pipeline verify` reads, where the configuration names a file for it."""
    bridge = config.settings.bridge
    if not bridge.history_file:
        return None
    return HistoryWriter(config.path(bridge.history_file), named_instance(bridge).instance)


def named_instance(bridge: BridgeSettings) -> BridgeSettings:
    """``bridge`` with a name of its own where none was given: host name and process id."""
    if bridge.instance:
        return bridge
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:60]
    return msgspec.structs.replace(bridge, instance=f"{host}-{os.getpid()}")


def make_guard(config: Config) -> Guard:
    webhook = config.settings.webhook
    return Guard(
        allow=webhook.allow,
        allow_loopback=webhook.allow_loopback,
        allow_http=webhook.allow_http,
        ports=frozenset(webhook.ports) or None,
    )


def make_keyring(config: Config) -> KeyRing:
    """The keys that seal secrets. Raises `DeclarationInvalid` saying how to make one where there is none."""
    given = config.settings.secrets
    if given.keys:
        return KeyRing([parse_key(text) for text in given.keys])
    file = config.path(given.key_file)
    if not file.exists():
        raise DeclarationInvalid("secrets.keys", "", f"a sealing key here or in {file}; `pipeline dev` makes one")
    return KeyRing([parse_key(line) for line in file.read_text(encoding="utf-8").split()])


def ensure_key_file(file: Path) -> None:
    """Make a sealing key, never readable by anybody but its owner, unless there is one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(made, "w", encoding="utf-8") as out:  # noqa: PTH123 - a descriptor, not a path
            out.write(f"local:{base64.b64encode(secrets.token_bytes(32)).decode()}\n")


def _now_ms() -> int:
    return int(time.time() * 1000)
