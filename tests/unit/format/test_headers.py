from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import EventInvalid, FormatUnreadable
from pipeline.event import Event
from pipeline.format.headers import (
    decode_http_header_value,
    event_from_http,
    event_from_kafka,
    event_to_http,
    event_to_kafka,
    http_header_value,
)
from pipeline.record import Headers, Record
from tests.vectors.reading import vectors

VALUES = vectors("cloudevents/header_values.json")
EVENT = Event(
    id="1",
    source="/shop",
    type="order.placed",
    subject="größe 42",
    time="2026-11-20T22:00:00Z",
    datacontenttype="application/json",
    dataschema="https://shop.example/order",
    data=b'{"a":1}',
    extensions={"partitionkey": "42", "count": 5, "urgent": True, "hash": b"\x00\xff"},
)
CLAIMED: Headers = (("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/shop"), ("ce_type", b"order.placed"))


def record(value: bytes | None, *headers: tuple[str, bytes | None], timestamp_ms: int = 0) -> Record:
    return Record("orders", 3, 1042, timestamp_ms, b"k", value, headers)


def read(found: Record) -> Event:
    return event_from_kafka(
        found, default_source="/app/orders", default_type="orders.record", default_id="evt_x_3_1042"
    )


@pytest.mark.parametrize("case", VALUES["both_ways"], ids=lambda case: case["header"])
def test_header_values_are_encoded_as_the_binding_says(case: dict[str, Any]) -> None:
    assert http_header_value(case["text"]) == case["header"]
    assert decode_http_header_value(case["header"]) == case["text"]


@pytest.mark.parametrize("case", VALUES["read_only"], ids=lambda case: case["why"])
def test_header_values_are_read_as_older_senders_wrote_them(case: dict[str, Any]) -> None:
    assert decode_http_header_value(case["header"]) == case["text"]


@pytest.mark.parametrize("case", VALUES["refused"], ids=lambda case: case["why"])
def test_header_values_that_are_no_utf8_are_refused(case: dict[str, Any]) -> None:
    with pytest.raises(EventInvalid) as caught:
        decode_http_header_value(case["header"], field="ce-subject")
    assert caught.value.field == "ce-subject"


def test_line_breaks_cannot_get_into_an_http_header() -> None:
    """Threat S14: the value is encoded, and an event with one cannot be made."""
    assert http_header_value("a\r\nx-evil: 1\0") == "a%0D%0Ax-evil:%201%00"
    with pytest.raises(EventInvalid):
        event_from_http({**dict(event_to_http(EVENT)[0]), "ce-subject": "a%0D%0Ax-evil: 1"}, b"")


def test_on_kafka_attributes_are_utf8_headers_and_data_is_the_value() -> None:
    value, headers = event_to_kafka(EVENT)
    assert value == b'{"a":1}'
    assert headers == (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"1"),
        ("ce_source", b"/shop"),
        ("ce_type", b"order.placed"),
        ("ce_subject", "größe 42".encode()),
        ("ce_time", b"2026-11-20T22:00:00Z"),
        ("ce_dataschema", b"https://shop.example/order"),
        ("ce_partitionkey", b"42"),
        ("ce_count", b"5"),
        ("ce_urgent", b"true"),
        ("ce_hash", b"AP8="),
        ("content-type", b"application/json"),
    )


def test_an_event_without_data_is_a_tombstone_that_says_delete() -> None:
    value, headers = event_to_kafka(Event(id="1", source="/s", type="t"))
    assert value is None
    assert ("ce_method", b"DELETE") in headers
    assert read(record(value, *headers)).data is None


def test_an_event_that_names_its_own_method_keeps_it() -> None:
    _, headers = event_to_kafka(Event(id="1", source="/s", type="t", extensions={"method": "PUT"}))
    assert dict(headers)["ce_method"] == b"PUT"


def test_empty_data_is_no_tombstone() -> None:
    value, headers = event_to_kafka(Event(id="1", source="/s", type="t", data=b""))
    assert value == b""
    assert "ce_method" not in dict(headers)
    assert read(record(b"", *headers)).data == b""


def test_a_tombstone_of_any_producer_reads_as_delete() -> None:
    event = read(record(None))
    assert (event.data, event.extensions["method"]) == (None, "DELETE")


def test_a_structured_event_without_data_is_no_tombstone() -> None:
    body = b'{"specversion":"1.0","id":"1","source":"/s","type":"t"}'
    event = read(record(body, ("content-type", b"application/cloudevents+json")))
    assert event.data is None
    assert "method" not in event.extensions


def test_a_null_value_is_a_tombstone_whatever_its_content_type() -> None:
    event = read(record(None, *CLAIMED, ("content-type", b"application/cloudevents+json")))
    assert (event.id, event.data, event.extensions["method"]) == ("1", None, "DELETE")


def test_a_record_that_is_no_cloud_event_gets_the_defaults_and_its_timestamp() -> None:
    event = read(record(b"x", timestamp_ms=1_795_219_200_123))
    assert event == Event(
        id="evt_x_3_1042",
        source="/app/orders",
        type="orders.record",
        time="2026-11-21T00:00:00.123Z",
        data=b"x",
    )


def test_milliseconds_have_three_digits() -> None:
    assert read(record(b"x", timestamp_ms=1_795_219_200_007)).time == "2026-11-21T00:00:00.007Z"


@pytest.mark.parametrize("timestamp_ms", [-1, 253_402_300_800_000, -(2**63), 2**63 - 1])
def test_a_timestamp_that_is_none_gives_no_time(timestamp_ms: int) -> None:
    assert read(record(b"x", timestamp_ms=timestamp_ms)).time is None


def test_a_record_that_names_some_attributes_keeps_them() -> None:
    event = read(record(b"x", ("ce_type", b"order.placed"), ("ce_tenant", b"a")))
    assert (event.type, event.id, dict(event.extensions)) == ("order.placed", "evt_x_3_1042", {"tenant": "a"})


def test_a_cloud_event_without_time_is_given_none() -> None:
    assert read(record(b"x", *CLAIMED, timestamp_ms=1)).time is None


def test_of_several_headers_the_last_counts_and_null_is_absent() -> None:
    event = read(
        record(b"", *CLAIMED, ("ce_subject", b"a"), ("ce_subject", b"b"), ("ce_tenant", b"a"), ("ce_tenant", None))
    )
    assert event.subject == "b"
    assert dict(event.extensions) == {}


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ((("ce_specversion", b"1.0"),), "ce_id"),
        ((*CLAIMED[1:], ("ce_specversion", b"0.3")), "ce_specversion"),
        ((*CLAIMED, ("ce_time", b"yesterday")), "ce_time"),
        ((*CLAIMED, ("ce_subject", b"\xff")), "ce_subject"),
        ((*CLAIMED, ("ce_subject", b"a\nb")), "ce_subject"),
        ((*CLAIMED, ("ce_Tenant", b"a")), "ce_Tenant"),
        ((*CLAIMED, ("ce_", b"a")), "ce_"),
        ((*CLAIMED, ("ce_data", b"a")), "ce_data"),
        ((*CLAIMED, ("ce_datacontenttype", b"text/plain")), "ce_datacontenttype"),
    ],
)
def test_a_record_that_claims_to_be_an_event_and_is_none_is_refused(headers: Headers, field: str) -> None:
    with pytest.raises(EventInvalid) as caught:
        read(record(b"x", *headers))
    assert caught.value.field == field


@pytest.mark.parametrize("content_type", [b"json", b"\xff", b"", b"text/plain\n"])
def test_a_content_type_that_is_none_makes_the_value_just_bytes(content_type: bytes) -> None:
    event = read(record(b"x", ("content-type", content_type)))
    assert event.datacontenttype in (None, "text/plain")


def test_an_event_format_we_do_not_read_is_passed_on_as_it_is() -> None:
    event = read(record(b"\x02\x06", ("content-type", b"application/cloudevents+avro")))
    assert (event.data, event.datacontenttype) == (b"\x02\x06", "application/cloudevents+avro")


def test_a_structured_record_that_is_no_json_is_refused() -> None:
    with pytest.raises(FormatUnreadable):
        read(record(b"{", ("content-type", b"application/cloudevents+json")))


def test_over_http_headers_are_printable_ascii() -> None:
    headers, body = event_to_http(EVENT)
    assert dict(headers)["ce-subject"] == "gr%C3%B6%C3%9Fe%2042"
    assert dict(headers)["content-type"] == "application/json"
    assert "ce-datacontenttype" not in dict(headers)
    assert all(value.isascii() and value.isprintable() and " " not in value for _, value in headers)
    assert body == b'{"a":1}'


def test_over_http_an_empty_body_deletes_only_when_it_says_so() -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
    assert event_from_http(headers, b"").data == b""
    assert event_from_http({**headers, "ce-method": "DELETE"}, b"").data is None
    assert event_from_http({**headers, "ce-method": "DELETE"}, b"x").data == b"x"


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("ce-specversion", "0.3", "ce-specversion"),
        ("ce-specversion", None, "ce-specversion"),
        ("ce-id", None, "ce-id"),
        ("ce-id", "", "ce-id"),
        ("ce-source", None, "ce-source"),
        ("ce-time", "2026-11-20", "ce-time"),
        ("ce-type", "%C0%A0", "ce-type"),
        ("ce-my-ext", "a", "ce-my-ext"),
        ("ce-datacontenttype", "text/plain", "ce-datacontenttype"),
        ("content-type", "json", "content-type"),
        ("ce-subject", "a%00b", "ce-subject"),
    ],
)
def test_over_http_what_is_wrong_is_named_by_its_header(name: str, value: str | None, field: str) -> None:
    headers = dict(event_to_http(EVENT)[0])
    if value is None:
        del headers[name]
    else:
        headers[name] = value
    with pytest.raises(EventInvalid) as caught:
        event_from_http(headers, b"{}")
    assert caught.value.field == field


@pytest.mark.parametrize("case", vectors("cloudevents/bindings.json"), ids=lambda case: case["name"])
def test_reads_the_messages_of_the_conformance_suite(case: dict[str, Any]) -> None:
    names = {**case["attributes"]} if case["mode"] == "binary" else {}
    headers = [(f"ce_{name}", text.encode()) for name, text in names.items()]
    event = read(record(case["body"].encode(), *headers, ("content-type", case["content_type"].encode())))
    found = {"id": event.id, "type": event.type, "source": event.source, "time": event.time, "specversion": "1.0"}
    assert found == case["attributes"]
    assert event.datacontenttype == case["datacontenttype"]
    assert event.data is not None
    assert b"Hello World!" in event.data
    if case["mode"] == "binary":
        http = {f"ce-{name}": text for name, text in names.items()} | {"content-type": case["content_type"]}
        assert event_from_http(http, case["body"].encode()) == event
