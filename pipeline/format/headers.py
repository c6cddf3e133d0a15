"""Binary mode: an event's attributes as headers, on Kafka (``ce_id``) and over HTTP (``ce-id``), its data as the body.

Sources: cloudevents/spec v1.0.2 ``bindings/kafka-protocol-binding.md`` and ``bindings/http-protocol-binding.md``.

Rules. No data is a null value on Kafka, a tombstone; it carries ``method: DELETE`` so that every reader, HTTP ones too,
can tell it from empty data. Over HTTP an empty body without ``ce-method: DELETE`` is empty data, never a tombstone:
nothing is deleted by leaving something out. A record that does not claim to be a CloudEvent (no ``ce_specversion``) is
taken as it lies: the attributes it has, the caller's defaults for the others.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

from pipeline.errors import EventInvalid
from pipeline.event import AttributeValue, Event, is_media_type
from pipeline.format.envelope import event_from_json, event_of
from pipeline.format.media import is_event_json
from pipeline.record import Headers, Record

KAFKA_PREFIX = "ce_"
HTTP_PREFIX = "ce-"
CONTENT_TYPE = "content-type"
DELETE = "DELETE"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# 9999-12-31T23:59:59.999Z, the last moment RFC 3339 can write; Kafka says -1 for a record without a timestamp.
_TIMESTAMP_MS_MAX = 253_402_300_799_999
_OPTIONAL = ("subject", "time", "dataschema")
# HTTP binding §3.1.3.2: U+0021 to U+007E stand as they are, but for the double quote and the percent sign.
_PLAIN = re.compile(r"[!#$&-~]*\Z")
_PLAIN_BYTES = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


def event_to_kafka(event: Event) -> tuple[bytes | None, Headers]:
    """Value and headers of the record for ``event``; no data is a null value, which deletes on a compacted topic."""
    headers = [(KAFKA_PREFIX + name, text.encode()) for name, text in _texts(event).items()]
    if event.datacontenttype is not None:
        headers.append((CONTENT_TYPE, event.datacontenttype.encode()))
    return event.data, tuple(headers)


def event_from_kafka(record: Record, *, default_source: str, default_type: str, default_id: str) -> Event:
    """The event that lies on the log as ``record``, in binary or structured mode.

    Raises `EventInvalid` or `FormatUnreadable` only for a record that claims to be a CloudEvent (``ce_specversion``, or
    a structured content type) or names an attribute, and then is or has none; of all others something can be made.
    """
    content_type = _content_type(record.header(CONTENT_TYPE))
    if record.value is not None and content_type is not None and is_event_json(content_type):
        return event_from_json(record.value)
    attributes: dict[str, str] = {}
    for name, value in record.headers:
        if not name.startswith(KAFKA_PREFIX):
            continue
        attributes.pop(name[3:], None)
        if value is not None:
            attributes[name[3:]] = _utf8(name, value)
    claimed = attributes.pop("specversion", None)
    if claimed not in (None, "1.0"):
        raise EventInvalid("ce_specversion", claimed, "1.0")
    if "datacontenttype" in attributes:
        raise EventInvalid("ce_datacontenttype", attributes["datacontenttype"], "the header content-type in its place")
    if claimed is None:
        attributes = {"source": default_source, "type": default_type, "id": default_id} | attributes
        time = record_time(record)
        if time is not None:
            attributes.setdefault("time", time)
    if content_type is not None:
        attributes["datacontenttype"] = content_type
    if record.value is None:
        attributes.setdefault("method", DELETE)
    return event_of(attributes, record.value, field=KAFKA_PREFIX)


def event_to_http(event: Event) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body of the HTTP message for ``event``; the headers are printable ASCII."""
    headers = [(HTTP_PREFIX + name, http_header_value(text)) for name, text in _texts(event).items()]
    if event.datacontenttype is not None:
        headers.append((CONTENT_TYPE, event.datacontenttype))
    return headers, event.data or b""


def event_from_http(headers: Mapping[str, str], body: bytes) -> Event:
    """The event of an HTTP message in binary mode (names in small letters). `EventInvalid` names the header."""
    if headers.get("ce-specversion") != "1.0":
        raise EventInvalid("ce-specversion", headers.get("ce-specversion", "absent"), "1.0")
    if "ce-datacontenttype" in headers:
        raise EventInvalid("ce-datacontenttype", headers["ce-datacontenttype"], "the header content-type in its place")
    attributes = {
        name[3:]: decode_http_header_value(value, field=name)
        for name, value in headers.items()
        if name.startswith(HTTP_PREFIX) and name != "ce-specversion"
    }
    if CONTENT_TYPE in headers:
        if not is_media_type(headers[CONTENT_TYPE]):
            raise EventInvalid(CONTENT_TYPE, headers[CONTENT_TYPE], "a media type such as application/json")
        attributes["datacontenttype"] = headers[CONTENT_TYPE]
    deletes = not body and attributes.get("method") == DELETE
    return event_of(attributes, None if deletes else body, field=HTTP_PREFIX)


def http_header_value(value: str) -> str:
    """``value`` percent-encoded for an HTTP header (HTTP binding §3.1.3.2)."""
    return value if _PLAIN.match(value) else quote_from_bytes(value.encode(), safe=_PLAIN_BYTES)


def decode_http_header_value(text: str, *, field: str = "header") -> str:
    """What a header's value stands for: quoted strings opened first, then one round of percent-decoding.

    A ``%`` without two hexadecimal digits stands for itself. Raises `EventInvalid` for bytes that are not UTF-8 and for
    characters beyond ASCII, which a sender must encode.
    """
    if not text.isascii():
        raise EventInvalid(field, text, "printable ASCII, other characters percent-encoded as UTF-8")
    if '"' in text:
        text = _QUOTED.sub(lambda match: _ESCAPED.sub(r"\1", match[1]), text)
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise EventInvalid(field, text, "percent-encoded UTF-8") from None


def attribute_text(value: AttributeValue) -> str:
    """The canonical string of an attribute (spec.md, Type System)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _texts(event: Event) -> dict[str, str]:
    """All attributes but the content type, as text."""
    texts = {"specversion": "1.0", "id": event.id, "source": event.source, "type": event.type}
    for name in _OPTIONAL:
        value = getattr(event, name)
        if value is not None:
            texts[name] = value
    for name, value in event.extensions.items():
        texts[name] = attribute_text(value)
    if event.data is None:
        texts.setdefault("method", DELETE)
    return texts


def _content_type(raw: bytes | None) -> str | None:
    """The content type a record states, None where what it states is no media type: then its bytes are just bytes."""
    if raw is None or not raw.isascii():
        return None
    text = raw.decode().strip()
    return text if is_media_type(text) else None


def record_time(record: Record) -> str | None:
    """The record's Kafka timestamp as RFC 3339 in UTC with milliseconds; None for one that is none."""
    if not 0 <= record.timestamp_ms <= _TIMESTAMP_MS_MAX:
        return None
    second, millisecond = divmod(record.timestamp_ms, 1000)
    return f"{_second_text(second)}.{millisecond:03d}Z"


@lru_cache(256)
def _second_text(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).isoformat()[:19]


def _utf8(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise EventInvalid(name, value, "UTF-8 text") from None
