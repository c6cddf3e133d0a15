"""Publisher: check an event against its topic, encode it, append it; nothing is written that does not check.

The key, which decides partition and order, is the one the publisher names; else what the topic's declaration says
(``key``: the event's ``partitionkey`` or ``subject``, or none). A topic nobody declares works as it lies on the
broker, keyed by ``partitionkey``. On a topic with a schema, JSON data is checked and stored as Avro in the Confluent
frame under `AVRO_CONTENT_TYPE`; an event without data passes (it is a tombstone).

Limits (`PublishLimits`): bytes of one record, events in a batch, how long a batch waits for room in the append queue.
"""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from pipeline.errors import (
    BrokerUnavailable,
    EventInvalid,
    InputError,
    PayloadTooLarge,
    PipelineError,
    RegistryError,
)
from pipeline.event import AttributeValue, Event
from pipeline.faces import Catalogue
from pipeline.format import frame
from pipeline.format.avro_codec import AvroCodec
from pipeline.format.headers import event_to_kafka
from pipeline.format.media import kind_of
from pipeline.record import Headers, Position
from pipeline.registry.face import Registry
from pipeline.topic import Topic

AVRO_CONTENT_TYPE = "application/avro"
_CODECS_MAX = 1_000
_ROOM_POLL_S = 0.005


class PublishLimits(msgspec.Struct, frozen=True, kw_only=True):
    """``event_bytes_max``: key, value and headers of one record. ``batch_events_max``: events of one call.

    ``room_wait_s``: how long the rest of a batch waits for room in a full append queue; then it is `BrokerUnavailable`.
    """

    event_bytes_max: int = 1_000_000
    batch_events_max: int = 1_000
    room_wait_s: float = 5.0


class Appends(Protocol):
    """The verbs of `pipeline.kafka.producer.Producer` that are used here."""

    async def append(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> Position: ...

    def append_soon(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        done: Callable[[Position | PipelineError], None] | None = None,
    ) -> bool: ...


Traced = Callable[[str, Event], contextlib.AbstractContextManager[Event]]
"""For the length of a block, a span of publishing an event to a topic; gives the event that carries its trace."""


def _untraced(_topic: str, event: Event) -> contextlib.AbstractContextManager[Event]:
    return contextlib.nullcontext(event)


class _Ready(NamedTuple):
    """A record that has passed every check."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class Publisher:
    """One per process, used on one event loop. ``topics`` are the declared ones by name; it may change while we run.
    ``traced``: who makes spans.
    """

    def __init__(
        self,
        producer: Appends,
        catalog: Catalogue,
        topics: Mapping[str, Topic],
        registry: Registry | None = None,
        limits: PublishLimits | None = None,
        *,
        traced: Traced | None = None,
    ) -> None:
        self._traced = traced or _untraced
        self._producer, self._catalog, self._topics, self._registry = producer, catalog, topics, registry
        self._limits = limits or PublishLimits()
        self._codecs: dict[int, AvroCodec] = {}

    async def publish(self, topic: str, event: Event, *, key: bytes | None = None) -> Position:
        """Where the event lies, once every in-sync replica has it.

        Raises with nothing written: `TopicNotFound`, `InputError` (its ``field`` names what is wrong: an attribute, a
        path in ``/data``, a size), `AppendFailed`; `RegistryError` when the schema cannot be asked for. After
        `BrokerUnavailable` the event may or may not be on the log; publishing it again under the same id is right.
        """
        await self._catalog.get(topic)
        with self._traced(topic, event) as traced:
            ready = await self._checked(topic, traced, key)
            return await self._producer.append(topic, key=ready.key, value=ready.value, headers=ready.headers)

    async def publish_batch(
        self, topic: str, events: Sequence[tuple[Event, bytes | None]]
    ) -> list[Position | PipelineError]:
        """Check every event, then append all in order; each with its position or its error, in the order given.

        ``events`` are pairs of event and key (None: the topic's rule). Raises as `publish` does for the first event
        that does not check, its field preceded by ``/<number>/``; then nothing is written.
        """
        await self._catalog.get(topic)
        if len(events) > self._limits.batch_events_max:
            expected = f"at most {self._limits.batch_events_max} events at once"
            raise PayloadTooLarge("batch", f"{len(events)} events", expected)
        ready = []
        with contextlib.ExitStack() as tracing:
            for number, (event, key) in enumerate(events):
                try:
                    ready.append(await self._checked(topic, tracing.enter_context(self._traced(topic, event)), key))
                except InputError as error:
                    raise type(error)(f"/{number}/{error.field.lstrip('/')}", error.value, error.expected) from None
            return await self._append_all(topic, ready)

    async def publish_raw(
        self, topic: str, value: bytes | None, content_type: str | None, key: bytes | None
    ) -> Position:
        """Append bytes that are no CloudEvent, under their content type; raises as `publish` does.

        On a topic with a schema they must be JSON that fits it.
        """
        await self._catalog.get(topic)
        value, content_type = await self._encoded(topic, value, content_type)
        headers: Headers = () if content_type is None else (("content-type", content_type.encode()),)
        ready = self._sized(topic, _Ready(key, value, headers))
        return await self._producer.append(topic, key=ready.key, value=ready.value, headers=ready.headers)

    async def _checked(self, topic: str, event: Event, key: bytes | None) -> _Ready:
        declared = self._topics.get(topic)
        data, content_type = await self._encoded(topic, event.data, event.datacontenttype)
        if data is not event.data:
            event = msgspec.structs.replace(event, data=data, datacontenttype=content_type)
        value, headers = event_to_kafka(event)
        return self._sized(topic, _Ready(key_of(event, declared) if key is None else key, value, headers))

    def _sized(self, topic: str, ready: _Ready) -> _Ready:
        """``ready`` if it is small enough and has a key where the topic keeps events by key."""
        size = len(ready.key or b"") + len(ready.value or b"")
        size += sum(len(name) + len(value or b"") for name, value in ready.headers)
        if size > self._limits.event_bytes_max:
            expected = f"at most {self._limits.event_bytes_max} bytes of key, data and attributes"
            raise PayloadTooLarge("event", f"{size} bytes", expected)
        declared = self._topics.get(topic)
        if ready.key is None and declared is not None and "compact" in declared.config.get("cleanup.policy", ""):
            field = "ce-subject" if declared.key == "subject" else "ce-partitionkey"
            raise EventInvalid(field, "", f"a key: topic {topic} keeps the last event of each key")
        return ready

    async def _encoded(
        self, topic: str, data: bytes | None, content_type: str | None
    ) -> tuple[bytes | None, str | None]:
        """``data`` as it is stored, and its content type; unchanged where the topic has no schema."""
        declared = self._topics.get(topic)
        if declared is None or declared.schema is None or data is None:
            return data, content_type
        if kind_of(content_type) != "json":
            expected = f"a JSON type such as application/json: topic {topic} has the schema {declared.schema}"
            raise EventInvalid("datacontenttype", content_type, expected)
        schema_id, codec = await self._codec(topic, declared.schema)
        avro = codec.encode_json(data)
        if declared.encoding == "json":
            return data, content_type
        return frame.wrap(schema_id, avro), AVRO_CONTENT_TYPE

    async def _codec(self, topic: str, subject: str) -> tuple[int, AvroCodec]:
        if self._registry is None:
            raise RegistryError(f"topic {topic} has the schema {subject}, but no schema registry is set up")
        latest = await self._registry.latest(subject)
        codec = self._codecs.get(latest.id)
        if codec is None:
            if len(self._codecs) >= _CODECS_MAX:
                del self._codecs[next(iter(self._codecs))]
            codec = self._codecs[latest.id] = AvroCodec(latest.schema)
        return latest.id, codec

    async def _append_all(self, topic: str, ready: Sequence[_Ready]) -> list[Position | PipelineError]:
        # append_soon keeps the order of the calls; tasks that await append each would not when the queue is full.
        loop = asyncio.get_running_loop()
        reports: list[asyncio.Future[Position | PipelineError]] = [loop.create_future() for _ in ready]
        queued = 0
        try:
            for record in ready:
                await self._append_soon(topic, record, reports[queued])
                queued += 1
        except PipelineError as error:
            # What could not be queued ends the batch: the later events must not overtake it.
            for report in reports[queued:]:
                report.set_result(error)
        return list(await asyncio.gather(*reports))

    async def _append_soon(self, topic: str, record: _Ready, report: asyncio.Future[Position | PipelineError]) -> None:
        """Queue ``record``, waiting for room if there is none."""
        waited_s = 0.0
        while not self._producer.append_soon(
            topic,
            key=record.key,
            value=record.value,
            headers=record.headers,
            done=lambda result: _settle(report, result),
        ):
            if waited_s >= self._limits.room_wait_s:
                raise BrokerUnavailable(f"the append queue has been full for {waited_s:g} s")
            await asyncio.sleep(_ROOM_POLL_S)
            waited_s += _ROOM_POLL_S


def key_of(event: Event, topic: Topic | None) -> bytes | None:
    """The key that the topic's declaration takes from the event; None where it has no such attribute.

    An attribute that is no text counts in its canonical string form (CloudEvents 1.0.2, Type System).
    """
    rule = topic.key if topic is not None else "partitionkey"
    if rule == "none":
        return None
    value: AttributeValue | None = event.subject if rule == "subject" else event.extensions.get("partitionkey")
    if value is None:
        return None
    if isinstance(value, bytes):
        return b64encode(value)
    if isinstance(value, bool):
        return b"true" if value else b"false"
    return str(value).encode()


def _settle(report: asyncio.Future[Position | PipelineError], result: Position | PipelineError) -> None:
    if not report.done():  # the caller may have left
        report.set_result(result)
