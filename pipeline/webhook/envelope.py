"""Records as CloudEvents JSON: the whole event, or a notice of it that says where its data lies.

Each carries ``sequence`` and ``partitionkey`` (CloudEvents extensions of those names) unless its producer set them; a
tombstone says ``method: DELETE``. A thin event leaves ``data`` out and has ``dataref`` (where it is), ``datasize`` (how
many bytes) and ``datadigest``: SHA-256 as RFC 9530 writes it. The signature covers the notice, and by the digest the
data: without it, whoever answers for ``dataref`` could give out anything. It costs what the signature of the data would
have.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256

import msgspec

from pipeline.errors import InputError
from pipeline.event import Event
from pipeline.format.headers import event_from_kafka
from pipeline.format.structured import event_to_json, record_to_json
from pipeline.record import Position, Record
from pipeline.webhook.lines import key_text
from pipeline.webhook.naming import TopicFacts


def whole(
    record: Record, facts: TopicFacts, webhook_id: bytes, offset: int, more: Mapping[str, str] | None = None
) -> bytes:
    """The event with its data, and the attributes ``more``."""
    extra = {**_extra(record, offset), **(more or {})}
    if record.value is None:
        extra["method"] = "DELETE"
    return record_to_json(
        record,
        default_source=facts.source,
        default_type=facts.type,
        default_id=webhook_id.decode(),
        extra=extra,
    )


def thin(record: Record, facts: TopicFacts, webhook_id: bytes, at: Position, public_url: str) -> bytes:
    """The event without its data, which lies ``at`` that position."""
    own_id = webhook_id.decode()
    extra = _extra(record, at.offset)
    try:
        event = event_from_kafka(record, default_source=facts.source, default_type=facts.type, default_id=own_id)
    except InputError:
        # As the gateway gives it out: bare bytes, with what is known without them.
        event = Event(id=own_id, source=facts.source, type=facts.type, data=record.value)
    if event.data is None:
        extra["method"] = "DELETE"
        return event_to_json(event, extra=extra)
    extra["dataref"] = f"{public_url}/v1/topics/{at.topic}/partitions/{at.partition}/records/{at.offset}"
    extra["datasize"] = str(len(event.data))
    extra["datadigest"] = f"sha-256=:{b64encode(sha256(event.data).digest()).decode()}:"
    return event_to_json(msgspec.structs.replace(event, data=None), extra=extra)


def _extra(record: Record, offset: int) -> dict[str, str]:
    names = {name for name, _ in record.headers}
    extra = {} if "ce_sequence" in names else {"sequence": f"{offset:020d}"}
    key = key_text(record.key) if record.key and "ce_partitionkey" not in names else None
    if key is not None:
        extra["partitionkey"] = key
    return extra
