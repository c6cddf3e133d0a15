"""The CloudEvents Python SDK (PyPI `cloudevents`) judges: what we write it reads, what it writes we read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.event import Event
from pipeline.format.headers import event_from_http, event_from_kafka, event_to_http, event_to_kafka
from pipeline.format.structured import event_from_json, event_to_json
from pipeline.record import Record

pytest.importorskip("cloudevents.core", reason="the CloudEvents SDK judges here: pip install cloudevents")

from cloudevents.core.bindings import http, kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

ATTRIBUTES: dict[str, Any] = {
    "id": "8f1c-4 %2 \"q\" 'é' 日本 😀",
    "source": "/shop/größe",
    "type": "order.placed",
    "specversion": "1.0",
    "subject": "42 100%",
    "datacontenttype": "application/json",
    "dataschema": "https://shop.example/order",
    "partitionkey": "42",
}
DATA = {"order": 42, "items": [{"price": 1.5, "note": "é"}], "paid": True}
OURS = Event(
    id=ATTRIBUTES["id"],
    source=ATTRIBUTES["source"],
    type=ATTRIBUTES["type"],
    subject=ATTRIBUTES["subject"],
    time="2026-11-20T22:00:00Z",
    datacontenttype="application/json",
    dataschema=ATTRIBUTES["dataschema"],
    data=json.dumps(DATA).encode(),
    extensions={"partitionkey": "42"},
)
THEIRS = CloudEvent({**ATTRIBUTES, "time": datetime(2026, 11, 20, 22, tzinfo=UTC)}, DATA)


def check_theirs(event: Any) -> None:
    assert event.get_attributes() == THEIRS.get_attributes()
    assert event.get_data() == DATA


def check_ours(event: Event) -> None:
    assert event.data is not None
    assert json.loads(event.data) == DATA
    assert (event.id, event.source, event.type, event.subject) == (OURS.id, OURS.source, OURS.type, OURS.subject)
    assert (event.time, event.dataschema, event.datacontenttype) == (OURS.time, OURS.dataschema, OURS.datacontenttype)
    assert event.extensions == OURS.extensions


def test_http_binary() -> None:
    headers, body = event_to_http(OURS)
    check_theirs(http.from_http_event(http.HTTPMessage(dict(headers), body)))
    written = http.to_binary_event(THEIRS)
    check_ours(event_from_http({name.lower(): value for name, value in written.headers.items()}, written.body))


def test_structured() -> None:
    message = http.HTTPMessage({"content-type": "application/cloudevents+json"}, event_to_json(OURS))
    check_theirs(http.from_http_event(message))
    check_ours(event_from_json(http.to_structured_event(THEIRS).body))


def test_structured_bytes() -> None:
    given = {
        "id": "1",
        "source": "/s",
        "type": "t",
        "specversion": "1.0",
        "datacontenttype": "application/octet-stream",
    }
    ours = event_from_json(JSONFormat().write(CloudEvent(given, b"\x00\xff")))
    assert ours.data == b"\x00\xff"
    theirs = JSONFormat().read(CloudEvent, event_to_json(ours))
    assert theirs.get_data() == b"\x00\xff"


def test_kafka_binary() -> None:
    value, headers = event_to_kafka(OURS)
    assert value is not None
    sent = kafka.KafkaMessage({name: text for name, text in headers if text is not None}, b"42", value)
    check_theirs(kafka.from_binary(sent, JSONFormat(), CloudEvent))
    written = kafka.to_binary(THEIRS, JSONFormat())
    record = Record("orders", 0, 0, 0, b"42", written.value, tuple(written.headers.items()))
    check_ours(event_from_kafka(record, default_source="/d", default_type="d", default_id="d"))


def test_kafka_structured() -> None:
    written = kafka.to_structured(THEIRS, JSONFormat())
    record = Record("orders", 0, 0, 0, b"42", written.value, tuple(written.headers.items()))
    check_ours(event_from_kafka(record, default_source="/d", default_type="d", default_id="d"))
