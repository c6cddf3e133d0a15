from __future__ import annotations

import contextlib
import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.event import Event
from pipeline.format.envelope import json_value
from pipeline.format.headers import (
    decode_http_header_value,
    event_from_http,
    event_from_kafka,
    event_to_http,
    event_to_kafka,
    http_header_value,
)
from pipeline.format.json_codec import check_json
from pipeline.format.json_fault import find_fault
from pipeline.format.structured import (
    batch_from_json,
    batch_to_json,
    event_from_json,
    event_to_json,
    record_to_json,
)
from pipeline.record import Record
from tests.property.event_strategies import (
    ANY_RECORD,
    HOSTILE,
    JSON_TEXTS,
    JSON_VALUES,
    TEXTS,
    events,
    on_the_wire,
)

DEFAULTS = {"default_source": "/app/orders", "default_type": "orders.record", "default_id": "evt_x_3_1042"}
EXTRA: dict[str, str | int] = {"sequence": "00000000000000001042", "kafkapartition": 3}


def lie(event: Event) -> Record:
    value, headers = event_to_kafka(event)
    return Record("orders", 3, 1042, 0, b"k", value, headers)


@given(events())
def test_an_event_comes_back_from_kafka(event: Event) -> None:
    assert event_from_kafka(lie(event), **DEFAULTS) == on_the_wire(event)


@given(events())
def test_an_event_comes_back_from_http(event: Event) -> None:
    headers, body = event_to_http(event)
    assert event_from_http(dict(headers), body) == on_the_wire(event)
    assert all(value.isascii() and value.isprintable() for _, value in headers)


@given(events(data=st.none() | JSON_TEXTS | st.binary(max_size=40)))
def test_an_event_comes_back_from_json_in_one_line(event: Event) -> None:
    """But for spacing in its data, the type of bytes attributes, and the type that data without one then has."""
    text = event_to_json(event)
    back = event_from_json(text)
    assert b"\n" not in text
    if event.data is None or back.data is None:
        assert back.data is event.data is None
    else:
        assert back.data == event.data or orjson.loads(back.data) == orjson.loads(event.data)
    assert (back.id, back.source, back.type, back.subject) == (event.id, event.source, event.type, event.subject)
    assert (back.time, back.dataschema) == (event.time, event.dataschema)
    assert back.datacontenttype in (event.datacontenttype, event.datacontenttype or "application/json")
    plain = {name: value for name, value in event.extensions.items() if not isinstance(value, bytes)}
    assert {name: back.extensions[name] for name in plain} == plain


@given(st.lists(events(), max_size=4))
def test_a_batch_is_its_events(batch: list[Event]) -> None:
    texts = [event_to_json(event) for event in batch]
    assert batch_from_json(batch_to_json(texts)) == [event_from_json(text) for text in texts]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_from_a_header(text: str) -> None:
    assert decode_http_header_value(http_header_value(text)) == text


@given(st.text())
def test_reading_a_header_value_fails_by_our_errors_only(text: str) -> None:
    with contextlib.suppress(InputError):
        decode_http_header_value(text)


def meaning(text: bytes) -> dict[str, Any]:
    members: dict[str, Any] = orjson.loads(text)
    return members


@given(events() | events(values=TEXTS.filter(str.isascii)))
def test_the_quick_way_to_json_says_what_the_long_way_says(event: Event) -> None:
    record = lie(event)
    long = event_to_json(event_from_kafka(record, **DEFAULTS), extra=EXTRA)
    for _ in range(2):  # the header names are new, then known
        quick = record_to_json(record, **DEFAULTS, extra=EXTRA)
        assert meaning(quick) == meaning(long)


@given(ANY_RECORD)
def test_any_record_becomes_one_line_of_json_that_is_an_event(record: Record) -> None:
    """And the same as the long way wherever that does not refuse."""
    try:
        expected: bytes | None = event_to_json(event_from_kafka(record, **DEFAULTS), extra=EXTRA)
    except InputError:
        expected = None
    for _ in range(2):
        text = record_to_json(record, **DEFAULTS, extra=EXTRA)
        members = json.loads(text)
        assert b"\n" not in text
        assert b"\r" not in text
        assert members["specversion"] == "1.0"
        assert members["kafkapartition"] == 3
        assert all(members[name] for name in ("id", "source", "type"))
        if expected is None:
            assert members["unreadable"]
        else:
            assert json.loads(expected) == members


@given(HOSTILE, st.sampled_from([b"application/json", b"text/plain", b"x/y"]))
def test_data_never_becomes_attributes(value: bytes, content_type: bytes) -> None:
    headers = (("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"t"))
    record = Record("t", 0, 0, 0, None, value, (*headers, ("content-type", content_type)))
    members = json.loads(record_to_json(record, **DEFAULTS, extra=None))
    assert members.keys() - {"data", "data_base64"} == {"specversion", "id", "source", "type", "datacontenttype"}
    assert members["id"] == "1"


@given(HOSTILE | JSON_TEXTS | JSON_VALUES.map(orjson.dumps))
def test_reading_events_fails_by_our_errors_only(body: bytes) -> None:
    for read in (event_from_json, batch_from_json, check_json):
        with contextlib.suppress(InputError):
            read(body)


@given(
    st.dictionaries(
        st.sampled_from(
            ["specversion", "id", "source", "type", "time", "data", "data_base64", "datacontenttype", "x", "X"]
        ),
        JSON_VALUES | st.sampled_from(["1.0", "application/json", "text/plain", "AA=="]),
    )
)
def test_any_object_is_an_event_or_refused_by_our_errors(members: dict[str, Any]) -> None:
    members.setdefault("specversion", "1.0")
    try:
        event = event_from_json(json.dumps(members).encode())
    except InputError:
        return
    assert event_from_json(event_to_json(event)).id == event.id


@given(JSON_TEXTS)
def test_strict_json_means_what_the_standard_library_says(text: bytes) -> None:
    assert check_json(text) == json.loads(text)
    assert find_fault(text.decode(), 64) is None
    value = json_value(text)
    assert value is not None
    assert json.loads(value) == json.loads(text)


@given(
    st.binary(max_size=30)
    | JSON_TEXTS.map(lambda text: text[1:])
    | st.text('[]{}:,"\\ue1aNulltrfs-. ', max_size=12).map(str.encode)
)
def test_the_search_for_a_fault_agrees_with_the_check(text: bytes) -> None:
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        return
    try:
        check_json(text)
    except InputError:
        assert find_fault(decoded, 64) is not None
    else:
        assert find_fault(decoded, 64) is None
