"""Dead letters and parked keys as people get to see them, over HTTP and on the command line: one form. Pure."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from pipeline.moment import rfc3339_from_ms
from pipeline.parking import ParkedKey
from pipeline.redrive.fates import FiledLetter
from pipeline.redrive.judging import Foreign
from pipeline.redrive.selection import text_header

NO_KEY = "~"
_ATTRIBUTES = ("id", "type", "source", "subject")


def letter_shown(filed: FiledLetter) -> dict[str, Any]:
    """Where it lies, why it died, what became of it, and which event it is; not the event itself."""
    letter, fate = filed.letter, filed.fate
    event = {name: text_header(letter.record, f"ce_{name}") for name in _ATTRIBUTES}
    shown: dict[str, Any] = {
        "id": letter.id,
        "webhook_id": filed.webhook_id,
        "partition": filed.place.partition,
        "offset": filed.place.offset,
        "buried_at": rfc3339_from_ms(filed.at_ms) if filed.at_ms >= 0 else None,
        "reason": letter.reason,
        "http_status": letter.http_status,
        "attempts": letter.attempts,
        "first_failed_at": letter.first_failed_at,
        "last_failed_at": letter.last_failed_at,
        "error": letter.error,
        "redrives": letter.redrives,
        "state": fate.state,
        "taken_by": fate.run,
        "note": fate.note or None,
        "origin": letter.origin._asdict(),
        "key": text_of(letter.record.key),
        "event": {name: text for name, text in event.items() if text is not None},
    }
    if letter.edit is not None:
        shown["edit"] = msgspec.to_builtins(letter.edit)
    return shown


def letter_whole(filed: FiledLetter) -> dict[str, Any]:
    """The same with the event: headers, and the value as ``value`` where it is text, else ``value_base64``. A null
    value (tombstone) is ``value: null``.
    """
    record = filed.letter.record
    headers = [[name, text_of(value)] for name, value in record.headers]
    return letter_shown(filed) | {"headers": headers} | _bytes("value", record.value) | _raw_key(record.key)


def foreign_shown(foreign: Foreign) -> dict[str, Any]:
    """What lies there that is no dead letter of the subscription: a claim, never to be believed."""
    return {
        "partition": foreign.place.partition,
        "offset": foreign.place.offset,
        "trusted": False,
        "why": foreign.why,
        "claims": msgspec.to_builtins(foreign.claim),
    }


def parked_shown(one: ParkedKey) -> dict[str, Any]:
    """``id`` names the key in a path: base64url of its bytes, ``~`` for events without a key."""
    return {
        "id": key_id(one.key),
        "key": text_of(one.key),
        "topic": one.topic,
        "partition": one.partition,
        "policy": one.policy,
        "reason": one.reason,
        "offset": one.offset,
        "since": rfc3339_from_ms(one.at_ms) if one.at_ms else None,
    }


def key_id(key: bytes | None) -> str:
    return NO_KEY if key is None else base64.urlsafe_b64encode(key).rstrip(b"=").decode()


def text_of(raw: bytes | None) -> str | None:
    """Bytes for people: what is no UTF-8 shows as escapes."""
    return None if raw is None else raw.decode("utf-8", "backslashreplace")


def _bytes(name: str, raw: bytes | None) -> dict[str, str | None]:
    if raw is None:
        return {name: None}
    try:
        return {name: raw.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(raw).decode()}


def _raw_key(key: bytes | None) -> dict[str, str | None]:
    """The key's bytes where its text would not give them back."""
    found = _bytes("key", key)
    return {} if "key" in found else found
