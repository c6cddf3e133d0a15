"""Event: a CloudEvents 1.0 envelope that checks itself when made.

Source: cloudevents/spec v1.0.2 ``spec.md``, sections Context Attributes, Type System and
Naming Conventions. ``data`` is the payload as bytes, whatever its content type; ``None``
means the event has no data (on Kafka: a tombstone).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

import msgspec

from pipeline.errors import EventInvalid

CORE_ATTRIBUTES = frozenset({"specversion", "id", "source", "type", "datacontenttype", "dataschema", "subject", "time"})
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

# Names: lower-case ASCII letters and digits. The spec recommends at most 20 characters; we allow 64 so that nobody's event is lost for style.
_NAME = re.compile(r"[a-z0-9]{1,64}\Z")
# spec.md, Type System, String: no control characters, no surrogates, no Unicode noncharacters.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)\Z")

AttributeValue = str | int | bool | bytes


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event. Making one with an attribute the spec forbids raises `EventInvalid` naming it."""

    id: str
    source: str
    type: str
    data: bytes | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    subject: str | None = None
    time: str | None = None
    extensions: Mapping[str, AttributeValue] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("id", "source", "type"):
            _check_text(name, getattr(self, name))
        for name in ("datacontenttype", "dataschema", "subject"):
            if getattr(self, name) is not None:
                _check_text(name, getattr(self, name))
        if self.time is not None:
            _check_time(self.time)
        for name, value in self.extensions.items():
            _check_extension(name, value)
        msgspec.structs.force_setattr(self, "extensions", MappingProxyType(dict(self.extensions)))


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise EventInvalid(f"ce-{name}", value, "a non-empty string")
    found = _FORBIDDEN.search(value)
    if found or any(ord(char) & 0xFFFE == 0xFFFE for char in value if char > "\uffff"):
        raise EventInvalid(f"ce-{name}", value, "text without control characters, surrogates or Unicode noncharacters")


def _check_time(value: object) -> None:
    if isinstance(value, str) and _RFC3339.match(value):
        try:
            datetime.fromisoformat(value[:19].upper().replace(":60", ":59"))
        except ValueError:
            pass
        else:
            return
    raise EventInvalid("ce-time", value, "an RFC 3339 timestamp with a zone, such as 2026-11-20T22:00:00Z")


def _check_extension(name: str, value: object) -> None:
    if not _NAME.match(name) or name in CORE_ATTRIBUTES or name == "data":
        raise EventInvalid(
            f"ce-{name}",
            value,
            "an extension named by 1 to 64 lower-case letters and digits, not a core attribute's name",
        )
    if isinstance(value, bool | bytes):
        return
    if isinstance(value, int):
        if not INT32_MIN <= value <= INT32_MAX:
            raise EventInvalid(f"ce-{name}", value, "an integer of 32 bits; send larger numbers as strings")
        return
    if not isinstance(value, str):
        raise EventInvalid(f"ce-{name}", value, "a string, integer, boolean or bytes")
    if value:
        _check_text(name, value)
