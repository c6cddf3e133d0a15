"""The JSON format of CloudEvents: one event as an object, several as an array.

Source: cloudevents/spec v1.0.2 ``formats/json-format.md``. Data declared JSON (no type at all means JSON) stands
inline, byte for byte as it came, so numbers keep their digits; text stands as a string; anything else, and what is not
what its type says, as ``data_base64``. Every member that is no core attribute is an extension; ``null`` means unset.
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import orjson

from pipeline.errors import EventInvalid, FormatUnreadable, PayloadTooLarge
from pipeline.event import CORE_ATTRIBUTES, AttributeValue, Event
from pipeline.format.json_codec import DEPTH_MAX, check_json
from pipeline.format.json_fault import too_deep
from pipeline.format.media import codec_of, kind_of

BATCH_EVENTS_MAX = 10_000
_DATA, _DATA_BASE64 = b'"data":', b'"data_base64":'
_DATA_MEMBERS = ("data", "data_base64")
# What `json_value` need not look at: all but opening brackets, line breaks and what is not ASCII.
_ORDINARY = bytes(code for code in range(0x80) if code not in b"[{\n\r")
# As numbers: looking for a byte's number is ten times faster than looking for a text of one byte.
_NEWLINE, _RETURN = b"\n\r"
_TO_ONE_LINE = bytes.maketrans(b"\n\r", b"  ")


class _Data(msgspec.Struct):
    data: msgspec.Raw


_RAW: msgspec.json.Decoder[msgspec.Raw] = msgspec.json.Decoder(msgspec.Raw)
_RAW_DATA = msgspec.json.Decoder(_Data)
_RAW_LIST = msgspec.json.Decoder(list[msgspec.Raw])


def event_to_json(event: Event, *, extra: Mapping[str, str | int] | None = None) -> bytes:
    """``event`` as one line of JSON; ``extra`` attributes (such as ``sequence``) win over the event's own."""
    members: dict[str, Any] = {"specversion": "1.0", "id": event.id, "source": event.source, "type": event.type}
    for name in ("subject", "time", "datacontenttype", "dataschema"):
        value = getattr(event, name)
        if value is not None:
            members[name] = value
    for name, value in event.extensions.items():
        members[name] = b64encode(value).decode() if isinstance(value, bytes) else value
    members |= extra or {}
    if event.data is not None:
        member, inline = data_member(event.data, event.datacontenttype)
        return b"".join((orjson.dumps(members)[:-1], b",", member, inline, b"}"))
    return orjson.dumps(members)


def data_member(data: bytes, content_type: str | None) -> tuple[bytes, bytes]:
    """The JSON of the member that holds ``data``, name (with its colon) and value: inline, a string, or base64."""
    kind = kind_of(content_type)
    if kind == "json":
        inline = json_value(data)
        if inline is not None:
            return _DATA, inline
    if kind == "text":
        try:
            return _DATA, orjson.dumps(data.decode(codec_of(content_type or "") or "utf-8"))
        except UnicodeDecodeError:
            pass
    return _DATA_BASE64, b'"' + b64encode(data) + b'"'


def json_value(data: bytes) -> bytes | None:
    """``data`` as it may stand inside other JSON, on one line, or None when it is no JSON text.

    Checked is the grammar (lone surrogates are refused too) and UTF-8, which keeps a payload from forging members
    around it; nothing is built. Line breaks can only be spacing there, and one event must stay one line (SSE, NDJSON).
    """
    special = data.translate(None, _ORDINARY)
    try:
        _RAW.decode(data)
        if not special.isascii():
            data.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if len(special) > DEPTH_MAX and too_deep(data.decode(), DEPTH_MAX):
        return None
    return data.translate(_TO_ONE_LINE) if _NEWLINE in special or _RETURN in special else data


def event_from_json(body: bytes, *, field: str = "") -> Event:
    """The event that ``body`` is. Raises `FormatUnreadable` (no strict JSON, bad data) or `EventInvalid` (an
    attribute).

    ``field`` is the JSON pointer of ``body`` in what the caller was given; errors name their place below it.
    """
    members = check_json(body, field, depth_max=DEPTH_MAX + 1)
    if not isinstance(members, dict):
        raise FormatUnreadable(field or "/", body[:80], "a JSON object, one CloudEvent")
    if members.get("specversion") != "1.0":
        raise EventInvalid(f"{field}/specversion", members.get("specversion", "absent"), '"1.0"')
    data = _data_of(members, body, field)
    attributes = {name: value for name, value in members.items() if value is not None and name not in _DATA_MEMBERS}
    if "data" in members:
        # §3.1.2: data without a type is JSON, and says so from here on.
        attributes.setdefault("datacontenttype", "application/json")
    return event_of(attributes, data, field=field + "/")


def event_of(attributes: Mapping[str, Any], data: bytes | None, *, field: str) -> Event:
    """The event with these attributes; what is wrong is named ``field`` + attribute."""
    for name in ("id", "source", "type"):
        if name not in attributes:
            raise EventInvalid(field + name, "absent", f"the required attribute {name}")
    core = {name: value for name, value in attributes.items() if name in CORE_ATTRIBUTES and name != "specversion"}
    extensions: dict[str, AttributeValue] = {
        name: value for name, value in attributes.items() if name not in CORE_ATTRIBUTES
    }
    try:
        return Event(**core, data=data, extensions=extensions)
    except EventInvalid as error:
        raise EventInvalid(field + error.field.removeprefix("ce-"), error.value, error.expected) from None


def batch_to_json(events: Iterable[bytes]) -> bytes:
    """Events already rendered, as one JSON array."""
    return b"[" + b",".join(events) + b"]"


def batch_from_json(body: bytes) -> list[Event]:
    """The events of a batch, in order; errors name the place (``/3/type``). Over 10,000: `PayloadTooLarge`."""
    try:
        members = _RAW_LIST.decode(body)
    except (msgspec.DecodeError, RecursionError):
        check_json(body, depth_max=DEPTH_MAX + 2)
        raise FormatUnreadable("/", body[:80], "a JSON array of CloudEvents") from None
    if len(members) > BATCH_EVENTS_MAX:
        raise PayloadTooLarge("/", f"{len(members)} events", f"at most {BATCH_EVENTS_MAX} events in a batch")
    return [event_from_json(bytes(member), field=f"/{number}") for number, member in enumerate(members)]


def _data_of(members: Mapping[str, Any], body: bytes, field: str) -> bytes | None:
    if members.get("data_base64") is not None:
        if "data" in members:
            raise FormatUnreadable(f"{field}/data_base64", "both", "either data or data_base64")
        return _from_base64(members["data_base64"], field)
    if "data" not in members:
        return None
    content_type = members.get("datacontenttype")
    if not isinstance(content_type, str) or kind_of(content_type) == "json":
        return bytes(_RAW_DATA.decode(body).data)
    codec = codec_of(content_type)
    if codec is None or not isinstance(members["data"], str):
        raise FormatUnreadable(f"{field}/data", members["data"], f"a string, or data_base64, for {content_type}")
    try:
        return str(members["data"]).encode(codec)
    except UnicodeEncodeError:
        raise FormatUnreadable(f"{field}/data", members["data"], f"characters that {content_type} has") from None


def _from_base64(text: object, field: str) -> bytes:
    expected = "base64 with padding (RFC 4648 §4)"
    if not isinstance(text, str):
        raise FormatUnreadable(f"{field}/data_base64", text, expected)
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise FormatUnreadable(f"{field}/data_base64", text, expected) from None
