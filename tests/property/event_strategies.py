"""Events, records and JSON as Hypothesis draws them: all the specification allows, and what hostile producers send."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from pipeline.event import CORE_ATTRIBUTES, AttributeValue, Event
from pipeline.format.headers import attribute_text
from pipeline.record import Record

# spec.md, Type System, String; controls, surrogates and noncharacters are out.
_NONCHARACTERS = {chr(plane * 0x10000 + last) for plane in range(17) for last in (0xFFFE, 0xFFFF)}
_NONCHARACTERS |= {chr(code) for code in range(0xFDD0, 0xFDF0)}
CHARACTERS = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters=sorted(_NONCHARACTERS))
TEXTS = st.text(CHARACTERS, min_size=1, max_size=20)
NAMES = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(
    lambda name: name not in CORE_ATTRIBUTES and name not in ("data", "method", "database64")
)
INT32 = st.integers(-(2**31), 2**31 - 1)
VALUES: st.SearchStrategy[AttributeValue] = TEXTS | INT32 | st.booleans() | st.binary(max_size=20)
TIMES = st.datetimes().map(lambda moment: moment.isoformat() + "Z")
TYPES = st.sampled_from(
    [
        None,
        "application/json",
        "application/vnd.shop+json; charset=utf-8",
        "text/plain",
        "text/plain; charset=iso-8859-1",
        "text/plain; charset=koi8-r",
        "application/xml",
        "application/octet-stream",
        "application/avro",
    ]
)
JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5).filter(str.isascii), inner, max_size=4)
    ),
    max_leaves=12,
)
JSON_TEXTS = st.builds(
    lambda value, indent, ascii_only: json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode(),
    JSON_VALUES,
    st.sampled_from([None, 0, 2]),
    st.booleans(),
)
HOSTILE = (
    st.binary(max_size=60)
    | JSON_TEXTS.map(lambda text: text[:-1])
    | st.sampled_from(
        [b"", b"null", b'1,"id":"x"', b"NaN", b'"\\ud800"', b"[" * 200, b"1e999", b"\xef\xbb\xbf{}", b'{"a":1,"a":2}']
    )
)
DATA = st.none() | st.binary(max_size=40) | JSON_TEXTS


def events(
    values: st.SearchStrategy[Any] = VALUES, data: st.SearchStrategy[bytes | None] = DATA
) -> st.SearchStrategy[Event]:
    return st.builds(
        Event,
        id=TEXTS,
        source=TEXTS,
        type=TEXTS,
        subject=st.none() | TEXTS,
        time=st.none() | TIMES,
        dataschema=st.none() | TEXTS,
        datacontenttype=TYPES,
        data=data,
        extensions=st.dictionaries(NAMES, values, max_size=4),
    )


_HEADER_NAMES = st.sampled_from(
    [f"ce_{name}" for name in (*sorted(CORE_ATTRIBUTES), "tenant", "method", "Bad", "", "data", "sequence")]
    + ["content-type", "traceparent", "dlq.id", "producer-dlq.x", "x"]
)
_HEADER_VALUES = (
    st.none()
    | st.binary(max_size=12)
    | TEXTS.map(str.encode)
    | st.sampled_from(
        [
            b"1.0",
            b"",
            b"2026-11-20T22:00:00Z",
            b"2026-02-30T00:00:00Z",
            b"application/json",
            b"application/cloudevents+json",
            b"application/cloudevents-batch+json",
            b"text/plain",
            b"json",
            b"\xff",
        ]
    )
)
ANY_RECORD = st.builds(
    Record,
    topic=st.just("orders"),
    partition=st.integers(0, 11),
    offset=st.integers(0, 2**63 - 1),
    timestamp_ms=st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2**41),
    key=st.none() | st.binary(max_size=8),
    value=st.none() | HOSTILE | JSON_TEXTS,
    headers=st.lists(st.tuples(_HEADER_NAMES, _HEADER_VALUES), max_size=10).map(tuple),
)


def on_the_wire(event: Event) -> Event:
    """``event`` as binary mode can say it: extensions are text there, and no data is a DELETE."""
    extensions: dict[str, AttributeValue] = {name: attribute_text(value) for name, value in event.extensions.items()}
    if event.data is None:
        extensions.setdefault("method", "DELETE")
    return _with(event, extensions)


def _with(event: Event, extensions: dict[str, AttributeValue]) -> Event:
    return Event(
        id=event.id,
        source=event.source,
        type=event.type,
        subject=event.subject,
        time=event.time,
        dataschema=event.dataschema,
        datacontenttype=event.datacontenttype,
        data=event.data,
        extensions=extensions,
    )
