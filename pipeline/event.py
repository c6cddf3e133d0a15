"""Event: a CloudEvents 1.0 envelope that checks itself when made.

Source: cloudevents/spec v1.0.2 ``spec.md``, sections Context Attributes, Type System and
Naming Conventions. ``data`` is the payload as bytes, whatever its content type; ``None``
means the event has no data (on Kafka: a tombstone).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from types import MappingProxyType

import msgspec

from pipeline.errors import EventInvalid

CORE_ATTRIBUTES = frozenset({"specversion", "id", "source", "type", "datacontenttype", "dataschema", "subject", "time"})
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

# spec.md, Naming Conventions. The spec recommends at most 20 characters; we allow 64 so that nobody's event is lost for
# style.
_NAME = re.compile(r"[a-z0-9]{1,64}\Z")
# spec.md, Type System, String: no control characters, no surrogates, no noncharacters (the last two of every plane
# too).
_LAST_TWO = "".join(f"{chr(plane * 0x10000 + 0xFFFE)}-{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(17))
_FORBIDDEN = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_LAST_TWO}]")
# RFC 3339 §5.6. Days 29 to 31 pass here only to be looked up in the calendar; `T` and `Z` may be small.
_TIME = re.compile(
    r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8]|(29|30|31))"
    r"[Tt](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)\Z",
    re.ASCII,
)
# RFC 2046 and RFC 9110 §8.3.1: type "/" subtype, then parameters, which are kept as they are.
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(rf"{_WORD}/{_WORD}[ \t]*(?:;[\x20-\x7e]*)?\Z")

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
        if self.datacontenttype is not None and not is_media_type(self.datacontenttype):
            raise EventInvalid("ce-datacontenttype", self.datacontenttype, "a media type such as application/json")
        if self.time is not None:
            _check_time(self.time)
        for name, value in self.extensions.items():
            _check_extension(name, value)
        msgspec.structs.force_setattr(self, "extensions", MappingProxyType(dict(self.extensions)))


def is_media_type(text: str) -> bool:
    """Whether ``text`` can be a ``datacontenttype``: ``type/subtype`` and parameters in printable ASCII."""
    return _MEDIA_TYPE.match(text) is not None


def is_time(text: str) -> bool:
    """Whether ``text`` is an RFC 3339 timestamp of a day that exists."""
    match = _TIME.match(text)
    if match is None:
        return False
    if match[1] is None:
        return True
    try:
        date.fromisoformat(text[:10])
    except ValueError:
        return False
    return True


def is_attribute_name(name: str) -> bool:
    """Whether an extension may be called so: lower-case letters and digits, no core attribute's name, not ``data``."""
    return _NAME.match(name) is not None and name not in CORE_ATTRIBUTES and name != "data"


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise EventInvalid(f"ce-{name}", value, "a non-empty string")
    if _FORBIDDEN.search(value):
        raise EventInvalid(f"ce-{name}", value, "text without control characters, surrogates or Unicode noncharacters")


def _check_time(value: object) -> None:
    if not isinstance(value, str) or not is_time(value):
        raise EventInvalid("ce-time", value, "an RFC 3339 timestamp with a zone, such as 2026-11-20T22:00:00Z")


def _check_extension(name: str, value: object) -> None:
    if not is_attribute_name(name):
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
