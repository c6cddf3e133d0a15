"""Records as the events that readers get: structured CloudEvents JSON that says where each lies on the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.errors import FormatUnreadable, SchemaNotFound
from pipeline.faces import TopicFacts
from pipeline.format import frame
from pipeline.format.avro_codec import AvroCodec
from pipeline.format.structured import record_to_json
from pipeline.record import Record
from pipeline.registry.face import Registry
from pipeline.webhookid import id_prefix

AVRO = b"application/avro"
CODECS_MAX = 1000


class Rendering:
    """Renders the records of any topic.

    ``sequence`` is the offset with 20 digits (text that sorts as numbers do; CloudEvents integers end at 31 bits),
    ``kafkapartition`` the partition, ``partitionkey`` the record's key where it is text and the event names none. A
    record that is no CloudEvent gets source ``/<namespace>/<topic>``, the type its topic declares, and the id of its
    place on the log. Avro in the Confluent frame is given as the JSON it was made from.
    """

    def __init__(self, namespace: str, default_type: Callable[[str], str], registry: Registry | None = None) -> None:
        self._namespace, self._default_type, self._registry = namespace, default_type, registry
        self._codecs: dict[int, AvroCodec] = {}

    async def __call__(self, topic: TopicFacts, records: Sequence[Record]) -> list[bytes]:
        """One JSON text for each record. Raises `RegistryError` when a schema is needed and cannot be asked for."""
        source, kind = f"/{self._namespace}/{topic.name}", self._default_type(topic.name)
        prefix = id_prefix(topic.topic_id)
        texts = []
        for found in records:
            framed = found.value is not None and found.value[:1] == b"\0" and found.header("content-type") == AVRO
            record = await self._decoded(found) if framed else found
            text = record_to_json(
                record,
                default_source=source,
                default_type=kind,
                default_id=f"{prefix}{record.partition}_{record.offset}",
                extra=_place(record),
            )
            texts.append(text)
        return texts

    async def _decoded(self, record: Record) -> Record:
        """``record`` with JSON for its Avro; one that cannot be decoded is given as it lies."""
        assert record.value is not None
        try:
            schema_id, body = frame.unwrap(record.value)
            codec = await self._codec(schema_id)
            value = codec.decode_to_json(body) if codec is not None else None
        except (FormatUnreadable, SchemaNotFound):
            return record
        if value is None:
            return record
        headers = tuple(
            (name, b"application/json" if name == "content-type" else text) for name, text in record.headers
        )
        return record.holding(record.key, value, headers)

    async def _codec(self, schema_id: int) -> AvroCodec | None:
        codec = self._codecs.get(schema_id)
        if codec is None and self._registry is not None:
            codec = AvroCodec(await self._registry.by_id(schema_id))
            if len(self._codecs) >= CODECS_MAX:
                del self._codecs[next(iter(self._codecs))]
            self._codecs[schema_id] = codec
        return codec


def _place(record: Record) -> dict[str, str | int]:
    place: dict[str, str | int] = {"sequence": f"{record.offset:020d}", "kafkapartition": record.partition}
    if record.key:
        for name, _ in record.headers:
            if name == "ce_partitionkey":
                return place
        if key := _text(record.key):
            place["partitionkey"] = key
    return place


def _text(key: bytes) -> str | None:
    """``key`` as an attribute, None where it is none: not UTF-8, or with controls (spec.md, Type System)."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None
