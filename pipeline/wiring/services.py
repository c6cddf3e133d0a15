"""What the verbs of API and command line are made of, and what a worker stands on."""

from __future__ import annotations

import secrets
import time
from functools import cached_property

from pipeline.names import state_topic_of
from pipeline.publish import Publisher
from pipeline.pull import NamedCursors, Reader, Rendering
from pipeline.push import attempts
from pipeline.push.attempt_search import Attempts
from pipeline.push.facts import RecordFacts
from pipeline.push.parts import WorkerParts
from pipeline.push.reading import Reading
from pipeline.push.senders import make_sender
from pipeline.record import Record
from pipeline.redrive import DeadLetters, Discards, Edits, ParkedKeys, Redrives, WriteBacks
from pipeline.replay import Replays
from pipeline.runs import Runs
from pipeline.subscription import StoredSubscription
from pipeline.subscriptions import Beside, Ledgers, Probing, Resets, Subscriptions, SubscriptionTables, Trials
from pipeline.webhook.admission import Admission
from pipeline.webhook.sender import Sender
from pipeline.webhook.settings import SenderSettings
from pipeline.wiring.configured import ca_file_of
from pipeline.wiring.ground import CURSORS, PARKED, RUNS, SUBSCRIPTIONS, TALLIES, Ground


class Services(Ground):
    """Every verb's part, made when first asked for, over what is started."""

    @cached_property
    def publisher(self) -> Publisher:
        return Publisher(
            self.producer,
            self.catalog,
            self.declared,
            self.registry,
            traced=None if self._tracing is None else self._tracing.publishing,
        )

    @cached_property
    def reader(self) -> Reader:
        rendering = Rendering(self.settings.namespace, self.event_type, self.registry)
        return Reader(self.view, self.catalog, self.admin, rendering)

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
        return Admission(self.guard, self.outbound, origin=origin, proxy=self.proxy, ca_file=ca_file_of(self.config))

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
        made = Runs(
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
        made.tallies = self.table(TALLIES)
        return made

    @cached_property
    def dead_letters(self) -> DeadLetters:
        return DeadLetters(
            self.reader,
            self.runs,
            log=self.view,
            catalogue=self.catalog,
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

    @cached_property
    def attempts(self) -> Attempts:
        """What was tried, newest first."""
        return Attempts(self.view, self.admin, state_topic_of(self.settings.namespace, attempts.TABLE))

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
                ca_file=ca_file_of(self.config), proxy=self.proxy, public_url=self.settings.gateway.public_url
            ),
            happenings=self.happenings,
            outbound=self.outbound,
            origin=self.settings.webhook.origin,
        )

    def _trial_sender(self, row: StoredSubscription, id_prefix: str) -> Sender:
        """What a worker would send ``row``'s deliveries with, under ids that are no event's."""
        parts = self.worker_parts
        return make_sender(Reading(self.settings.namespace, row, None, parts.defaults), parts, lambda _: id_prefix)

    def _stored(self, name: str) -> StoredSubscription:
        return self.subscriptions.get(name)[0]

    def _topics_of(self, name: str) -> tuple[str, ...] | None:
        return self._stored(name).spec.topics if self.table(SUBSCRIPTIONS).get(name) is not None else None

    def _facts_of(self, record: Record) -> RecordFacts:
        return RecordFacts(record, self.worker_parts.defaults)


def _now_ms() -> int:
    return int(time.time() * 1000)
