"""Structured mode: events as CloudEvents JSON, and records on the log straight to it.

`record_to_json` is what readers are sent, once per record; it must stay cheap (100 events in 300 µs) and must not fail,
or one bad record would stall a feed. Its quick path takes records in binary mode whose header names were seen before
and whose values are plain ASCII, and puts the bytes together without making an `Event`; everything else goes the long
way, which gives the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
import orjson

from pipeline.errors import InputError
from pipeline.event import Event, is_attribute_name, is_media_type, is_time
from pipeline.format.envelope import (
    batch_from_json,
    batch_to_json,
    data_member,
    event_from_json,
    event_to_json,
    json_value,
)
from pipeline.format.headers import event_from_kafka, record_time
from pipeline.format.media import Mode, is_event_json, kind_of, mode_of
from pipeline.record import Record

__all__ = ["Mode", "batch_from_json", "batch_to_json", "event_from_json", "event_to_json", "mode_of", "record_to_json"]

Extra = Mapping[str, str | int]

_SHAPES_MAX = 256
_SHAPE_NAMES_MAX = 32
_TYPE_BYTES_MAX = 256
_NO_HEADERS: tuple[tuple[str, ...], tuple[bytes | None, ...]] = ((), ())
_CORE = ("specversion", "id", "source", "type", "subject", "time", "dataschema")
# Bytes that stand in a JSON string as they are and that no attribute forbids: printable ASCII but for quote and
# backslash.
_PLAIN = bytes(code for code in range(0x20, 0x7F) if code not in b'"\\')
# Times as nearly everybody writes them, which the standard library reads in a tenth of the time the grammar takes.
_TO_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_TIMES = frozenset({b"0000-00-00T00:00:00Z", b"0000-00-00T00:00:00.000Z", b"0000-00-00T00:00:00.000000Z"})
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


def record_to_json(
    record: Record, *, default_source: str, default_type: str, default_id: str, extra: Extra | None = None
) -> bytes:
    """``record`` as one line of CloudEvents JSON, the same as ``event_to_json(event_from_kafka(…), extra=…)``.

    A record that claims to be a CloudEvent and is none is rendered as it lies, with the defaults and an attribute
    ``unreadable`` that says what is wrong with it. ``extra`` attributes win over the record's own. JSON data is checked
    to be JSON and passed on as it is. The defaults are the caller's own and must be attributes.
    """
    extra = extra or {}
    quick = _quick(record, extra, _Defaults(default_id, default_source, default_type))
    if quick is not None:
        return quick
    _learn(tuple(name for name, _ in record.headers))
    try:
        event = event_from_kafka(
            record, default_source=default_source, default_type=default_type, default_id=default_id
        )
    except InputError as error:
        event = Event(
            source=default_source,
            type=default_type,
            id=default_id,
            data=record.value,
            extensions={"unreadable": _plain(str(error))},
        )
    return event_to_json(event, extra=extra)


class _Defaults(NamedTuple):
    id: str
    source: str
    type: str


class _Shape(msgspec.Struct, frozen=True, gc=False):
    """What the header names of a record say: which values to take and the JSON that goes around them."""

    picked: Callable[[tuple[Any, ...]], tuple[bytes, ...]]
    json: bytes
    is_claimed: bool
    names: frozenset[str]
    time_at: int | None
    content_type_at: int | None


_shapes: dict[tuple[str, ...], _Shape | None] = {}


def _quick(record: Record, extra: Extra, defaults: _Defaults) -> bytes | None:
    """The JSON of a record with nothing unusual about it, or None. Written flat: calls are what it costs."""
    value, headers = record.value, record.headers
    if value is None:
        return None
    names, values = zip(*headers, strict=True) if headers else _NO_HEADERS
    shape = _shapes.get(names)
    if shape is None or not shape.names.isdisjoint(extra):
        return None
    picked = shape.picked(values)
    if not all(picked) or b"".join(picked).translate(None, _PLAIN):
        return None
    if not shape.is_claimed:
        extra = {**_filled(record, shape, defaults), **extra}
    elif picked[0] != b"1.0":
        return None
    if shape.time_at is not None and not _is_time(picked[shape.time_at]):
        return None
    content_type = picked[shape.content_type_at] if shape.content_type_at is not None else None
    comma = b"," if extra else b""
    if content_type is None or (len(content_type) <= _TYPE_BYTES_MAX and _is_json(content_type)):
        data = json_value(value)
        if data is not None:
            more = orjson.dumps(extra, default=dict)[1:-1]
            return b"".join((shape.json % picked, more, comma, b'"data":', data, b"}"))
    if content_type is None or not _is_usual(content_type):
        return None
    member = data_member(value, content_type.decode())
    return b"".join((shape.json % picked, orjson.dumps(extra, default=dict)[1:-1], comma, *member, b"}"))


def _filled(record: Record, shape: _Shape, defaults: _Defaults) -> dict[str, str | int]:
    """What a record that does not claim to be a CloudEvent is given for what it does not say."""
    filled: dict[str, str | int] = {"id": defaults.id, "source": defaults.source, "type": defaults.type}
    time = record_time(record)
    if time is not None:
        filled["time"] = time
    return {name: value for name, value in filled.items() if name not in shape.names}


def _is_time(raw: bytes) -> bool:
    if raw.translate(_TO_ZEROS) not in _TIMES:
        return is_time(raw.decode())
    try:
        datetime.fromisoformat(raw.decode())
    except ValueError:
        return False
    return True


def _picker(places: list[int]) -> Callable[[tuple[Any, ...]], tuple[bytes, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    # An itemgetter of one gives no tuple.
    return (lambda values: (values[places[0]],)) if places else (lambda _: ())


@lru_cache(1024)
def _is_json(content_type: bytes) -> bool:
    return _is_usual(content_type) and kind_of(content_type.decode()) == "json"


def _is_usual(content_type: bytes) -> bool:
    """Whether this is the type of data in binary mode, written as an event keeps it."""
    text = content_type.decode()
    return text == text.strip() and is_media_type(text) and not is_event_json(text)


def _learn(names: tuple[str, ...]) -> None:
    """Remembers the shape of these header names, if it is one of few and short names."""
    if names in _shapes or len(names) > _SHAPE_NAMES_MAX or sum(map(len, names)) > 64 * _SHAPE_NAMES_MAX:
        return
    if len(_shapes) >= _SHAPES_MAX:
        _shapes.clear()
    _shapes[names] = _shape_of(names)


def _shape_of(names: tuple[str, ...]) -> _Shape | None:
    places = {name: place for place, name in enumerate(names)}
    is_claimed = "ce_specversion" in places
    if is_claimed and not places.keys() >= {"ce_id", "ce_source", "ce_type"}:
        return None
    ordered = [f"ce_{name}" for name in _CORE if f"ce_{name}" in places]
    for name in names:
        if name.startswith("ce_") and name not in ordered:
            if not is_attribute_name(name[3:]):
                return None
            ordered.append(name)
    members = [name[3:] for name in ordered]
    if "content-type" in places:
        ordered.append("content-type")
        members.append("datacontenttype")
    head = b"{" if is_claimed else b'{"specversion":"1.0",'
    return _Shape(
        picked=_picker([places[name] for name in ordered]),
        json=head + b"".join(b'"%b":"%%b",' % member.encode() for member in members),
        is_claimed=is_claimed,
        names=frozenset(members),
        time_at=ordered.index("ce_time") if "ce_time" in ordered else None,
        content_type_at=len(ordered) - 1 if "content-type" in places else None,
    )


def _plain(text: str) -> str:
    """``text`` as an attribute may hold it."""
    return _CONTROLS.sub(" ", text.encode("ascii", "backslashreplace").decode())[:512]
