"""Reports: what happened to one run, told to everybody who is told of such things: hooks, audit, operational events."""

from __future__ import annotations

from pipeline.delivery.breaker import CLOSED, BreakerState
from pipeline.delivery.lanes import Lane
from pipeline.errors import PipelineError
from pipeline.faces import What
from pipeline.names import state_topic_of
from pipeline.push import audit
from pipeline.push.audit import Audit
from pipeline.push.burial import told_of
from pipeline.push.parked import shown_key
from pipeline.push.parts import BridgeSettings, WorkerParts
from pipeline.push.reading import Place, Reading
from pipeline.record import Record


class Reports:
    """One method per thing that happens; nothing is waited for."""

    def __init__(self, reading: Reading, parts: WorkerParts, settings: BridgeSettings) -> None:
        self._group, self._name, self._instance = reading.group, reading.spec.name, settings.instance
        # A side run says which it is.
        self._run = {} if reading.run_id is None else {"run": reading.run_id}
        self._hooks, self._happenings = parts.hooks, parts.happenings
        self._audit = Audit(parts.producer, state_topic_of(settings.namespace, audit.TABLE), settings.instance)

    def gap(self, place: Place, first: int, until: int) -> None:
        """Offsets of ``place`` were gone before they were delivered."""
        topic, partition = place
        self._hooks.on_gap(topic, partition, first, until)
        self._audit.tell("gap", self._group, topic=topic, partition=partition, first=first, until=until)
        self._tell("gap", topic=topic, partition=partition, first=first, until=until)

    def buried(self, record: Record, lane: Lane, reason: str) -> None:
        self._hooks.on_buried(self._group, reason)
        self._tell("dead-lettered", **told_of(record, lane, reason))

    def bury_failed(self, error: PipelineError) -> None:
        self._hooks.on_bury_failed(self._group, error)

    def released(self, place: Place, key: bytes | None) -> None:
        self._tell("released", topic=place[0], partition=place[1], key=shown_key(key))

    def fenced(self, place: Place) -> None:
        """A newer owner of ``place`` committed: this worker lets go."""
        topic, partition = place
        self._hooks.on_fenced(self._group)
        self._audit.tell("fenced", self._group, topic=topic, partition=partition)
        self._tell("fenced", topic=topic, partition=partition, worker=self._instance)

    def moved(self, place: Place, offset: int) -> None:
        """Somebody else put the pointer of ``place`` to ``offset``."""
        topic, partition = place
        self._hooks.on_moved(self._group, topic, partition, offset)
        self._audit.tell("cursor-moved", self._group, topic=topic, partition=partition, to=offset)
        self._tell("pointer-moved", topic=topic, partition=partition, to=offset)

    def rewritten(self, place: Place) -> None:
        """The pointer of ``place`` was gone, and is written again from memory."""
        self._audit.tell("pointer-rewritten", self._group, topic=place[0], partition=place[1])

    def breaker(self, before: BreakerState, now: BreakerState) -> None:
        """It was ``before`` and is ``now``; an outage that only goes on is no news to operators."""
        self._hooks.on_breaker(self._group, now.value)
        if CLOSED in (before, now):
            self._tell("recovered" if now is CLOSED else "probing", worker=self._instance)

    def failed(self, error: PipelineError) -> None:
        """Something could not be done just now; it is tried again."""
        self._hooks.on_consumer_error(error)

    def _tell(self, what: What, **facts: object) -> None:
        self._happenings.tell(what, self._name, **self._run, **facts)
