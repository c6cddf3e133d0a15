"""Dialects: what the dead letters of others say of themselves, for people who look through a topic.

Kafka Connect writes ``__connect.errors.…`` as text (``DeadLetterQueueReporter``), Spring ``kafka_dlt-…`` with
big-endian numbers (``DeadLetterPublishingRecoverer``), share groups ``__dlq.errors.…`` as text (KIP-1191, and the draft
KIP-1317 with ``_dlq.errors.original.…``). All of it is claims: whoever may append to the topic may write anything, so
nothing is delivered and no topic is chosen by them (threat S31).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from pipeline.deadletter.letter import one_line
from pipeline.record import Record

NAME_BYTES_MAX = 249


class Claim(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a record says of its death; ``dialect`` is ``pipeline``, ``connect``, ``spring``, ``share-group`` or
    ``none``. What it does not say, or says unreadably, is None.
    """

    dialect: str
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    group: str | None = None
    reason: str | None = None
    error: str | None = None


class _Dialect(NamedTuple):
    """``names``: header (behind one of ``prefixes``) of each member of a claim, the first that is there counts."""

    name: str
    prefixes: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]]
    number: Callable[[bytes], int | None]


def _text_number(raw: bytes) -> int | None:
    return int(raw) if raw.isdigit() and len(raw) < 20 else None


def _big_endian(raw: bytes) -> int | None:
    number = int.from_bytes(raw, "big", signed=True) if len(raw) in (4, 8) else -1
    return number if number >= 0 else _text_number(raw)


_DIALECTS = (
    _Dialect(
        "pipeline",
        ("dlq.",),
        {
            "topic": ("origin.topic",),
            "partition": ("origin.partition",),
            "offset": ("origin.offset",),
            "group": ("group",),
            "reason": ("reason",),
            "error": ("error",),
        },
        _text_number,
    ),
    _Dialect(
        "connect",
        ("__connect.errors.",),
        {
            "topic": ("topic",),
            "partition": ("partition",),
            "offset": ("offset",),
            "group": ("connector.name",),
            "reason": ("exception.class.name",),
            "error": ("exception.message",),
        },
        _text_number,
    ),
    _Dialect(
        "spring",
        ("kafka_dlt-",),
        {
            "topic": ("original-topic",),
            "partition": ("original-partition",),
            "offset": ("original-offset",),
            "group": ("original-consumer-group",),
            "reason": ("exception-cause-fqcn", "exception-fqcn"),
            "error": ("exception-message",),
        },
        _big_endian,
    ),
    _Dialect(
        "share-group",
        ("__dlq.errors.", "_dlq.errors."),
        {
            "topic": ("topic", "original.topic"),
            "partition": ("partition", "original.partition"),
            "offset": ("offset", "original.offset"),
            "group": ("group",),
            "reason": ("disposition",),
            "error": ("message",),
        },
        _text_number,
    ),
)
_NUMBERS = ("partition", "offset")


def claim_of(record: Record) -> Claim:
    """What ``record`` claims, texts made one line; never raises."""
    for dialect in _DIALECTS:
        for prefix in dialect.prefixes:
            found = {
                name[len(prefix) :]: value
                for name, value in record.headers
                if name.startswith(prefix) and value is not None
            }
            if found:
                return _claim(dialect, found)
    return Claim(dialect="none")


def _claim(dialect: _Dialect, found: Mapping[str, bytes]) -> Claim:
    texts: dict[str, str | None] = {}
    numbers: dict[str, int | None] = {}
    for member, names in dialect.names.items():
        raw = next((found[name] for name in names if name in found), None)
        if member in _NUMBERS:
            numbers[member] = None if raw is None else dialect.number(raw)
        elif member in ("topic", "group"):
            texts[member] = None if raw is None else one_line(raw.decode("utf-8", "replace"), NAME_BYTES_MAX)
        else:
            texts[member] = None if raw is None else one_line(raw.decode("utf-8", "replace"))
    return Claim(
        dialect=dialect.name,
        topic=texts["topic"],
        group=texts["group"],
        reason=texts["reason"],
        error=texts["error"],
        **numbers,
    )
