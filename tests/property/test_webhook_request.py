"""Requests under hostile records: whatever a producer wrote, one well-formed request with one reading."""

from __future__ import annotations

import json
import re

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import EventInvalid
from pipeline.format.headers import decode_http_header_value, event_from_http, event_from_kafka
from pipeline.guard import Guard
from pipeline.record import Headers, Record
from pipeline.signing import Signer, Verifier, new_v1_secret
from pipeline.subscription import Endpoint, Subscription
from pipeline.webhook.bundle import EventRenderer
from pipeline.webhook.credential import Writes
from pipeline.webhook.lines import HeaderLines, Undecodable
from pipeline.webhook.naming import Names
from pipeline.webhook.writers import writer_of

KEY = bytes(32)
KNOWN_NAMES = re.findall(
    r"\S+",
    "ce_id ce_type ce_source ce_specversion ce_time ce_sequence ce_partitionkey ce_method content-type traceparent"
    " tracestate ce_data ce_datacontenttype Content-Length ce_Host",
)
NAMES = st.one_of(
    st.sampled_from(KNOWN_NAMES),
    st.from_regex(r"ce_[a-z0-9]{1,8}", fullmatch=True),
    st.text(max_size=12),
)
VALUES = st.one_of(
    st.none(),
    st.sampled_from([b"", b"1.0", b"application/json", b"application/cloudevents+json", b"a\r\nx: y", b"a b", b"%41"]),
    st.binary(max_size=12),
    st.text(max_size=8).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
HEADERS: st.SearchStrategy[Headers] = st.lists(st.tuples(NAMES, VALUES), max_size=8).map(tuple)
RECORDS = st.builds(
    Record,
    topic=st.just("orders"),
    partition=st.integers(0, 9999),
    offset=st.integers(0, 2**63 - 1),
    timestamp_ms=st.integers(-1, 2**62),
    key=st.none() | st.binary(max_size=12) | st.text(max_size=8).map(str.encode),
    value=st.none() | st.binary(max_size=64),
    headers=HEADERS,
)


def writer(format_: str) -> Writes:
    subscription = Subscription(
        name="s",
        topics=("orders",),
        endpoint=Endpoint(url="https://r.example/hook", headers={"x-own": "1"}),
        format=format_,  # type: ignore[arg-type] # drawn from FORMATS
    )
    names = Names(lambda _: "evt_aaaaaaaaaa_", lambda topic: (f"/app/{topic}", f"{topic}.record"), "r1")
    target = Guard().check_url("https://r.example/hook")
    return writer_of(subscription, target, Signer([KEY]), names, more_lines="", public_url="https://p.example")


FORMATS = ["binary", "structured", "raw", "thin", "batch"]


def read(request: bytes) -> tuple[dict[str, str], bytes]:
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=1_000_000)
    server.receive_data(request)
    head = server.next_event()
    assert isinstance(head, h11.Request)
    body = b""
    while isinstance(event := server.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert server.trailing_data == (b"", False)
    headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
    assert len(headers) == len(list(head.headers)), "no header twice"
    return headers, body


@given(RECORDS, st.sampled_from(FORMATS), st.integers(1, 99))
def test_any_record_is_one_request_that_verifies_or_undecodable(record: Record, format_: str, attempt: int) -> None:
    try:
        request = writer(format_).write(record, attempt, b"1795219200")
    except Undecodable as error:
        assert error.args[0].isprintable()
        return
    headers, body = read(request)
    head, _, sent_body = request.partition(b"\r\n\r\n")
    assert sent_body == body
    assert not re.search(rb"[^\x20-\x7e\r\n]|\r(?!\n)|(?<!\r)\n", head), "printable ASCII in whole lines"
    assert headers["webhook-id"] == f"evt_aaaaaaaaaa_{record.partition}_{record.offset}"
    assert headers["webhook-attempt"] == str(attempt)
    assert (headers["x-own"], headers["host"]) == ("1", "r.example")
    Verifier([new_v1_secret(KEY)]).verify(headers, body, 1_795_219_200)
    if format_ in ("binary", "raw"):
        assert body == (record.value or b"")
    else:
        told = json.loads(body)
        assert isinstance(told, list) == (format_ == "batch")
        [event] = told if format_ == "batch" else [told]
        assert format_ != "thin" or not {"data", "data_base64"} & set(event)
        if record.value is None:
            assert event["method"] == "DELETE"
    if record.value is None and format_ != "batch":
        assert headers["ce-method"] == "DELETE"


@given(st.lists(RECORDS, min_size=1, max_size=5))
def test_a_batch_of_any_records_is_one_array_of_events_that_each_have_their_own_id(records: list[Record]) -> None:
    renderer = EventRenderer(lambda _: "evt_aaaaaaaaaa_", lambda topic: (f"/app/{topic}", f"{topic}.record"))
    request = writer("batch").write([renderer.rendered(record) for record in records], 1, b"1795219200")
    headers, body = read(request)
    ids = [f"evt_aaaaaaaaaa_{record.partition}_{record.offset}" for record in records]
    assert [event["webhookid"] for event in json.loads(body)] == ids
    Verifier([new_v1_secret(KEY)]).verify(headers, body, 1_795_219_200)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("name", ["ce_tenant", "ce_id", "ce_type", "content-type", "traceparent", "tracestate", "x"])
@pytest.mark.parametrize("value", [b"a\r\nx-own: 2", b"\x00", b"\xff\xfe", "\u2028ä".encode(), b"", b"\n", None])
def test_hostile_header_values_are_written_safely_or_undecodable(format_: str, name: str, value: bytes | None) -> None:
    record = Record("orders", 0, 7, 0, b"k", b"{}", (("ce_specversion", b"1.0"), (name, value)))
    try:
        headers, _ = read(writer(format_).write(record, 1, b"1795219200"))
    except Undecodable:
        return
    assert headers["x-own"] == "1"


@given(st.lists(HEADERS, max_size=6))
def test_what_was_learnt_from_other_records_changes_no_line(series: list[Headers]) -> None:
    """The quick way and the one-by-one way write the same lines, or refuse the same records."""
    used = HeaderLines()
    for headers in series * 2:
        assert outcome(used.of, headers) == outcome(HeaderLines()._one_by_one, headers)


@given(RECORDS)
def test_a_receiver_reads_the_event_that_lies_on_the_log(record: Record) -> None:
    """CloudEvents in binary mode: attributes decode to what the Kafka binding says the record's are."""
    try:
        event = event_from_kafka(record, default_source="/app/orders", default_type="orders.record", default_id="x")
        headers, body = read(writer("binary").write(record, 1, b"1795219200"))
    except (EventInvalid, Undecodable):
        return
    except Exception as error:
        if type(error).__name__ == "FormatUnreadable":
            return
        raise
    if headers.get("content-type", "").lower().startswith("application/cloudevents"):
        return
    if record.header("ce_id") is None:
        assert headers["ce-id"] == headers["webhook-id"]
    else:
        assert decode_http_header_value(headers["ce-id"]) == event.id
    read_back = event_from_http(headers, body)
    assert (read_back.source, read_back.type, read_back.time) == (event.source, event.type, event.time)
    assert read_back.data == event.data
    for name, value in event.extensions.items():
        tombstone_says = "DELETE" if name == "method" and record.value is None else value
        assert read_back.extensions[name] == tombstone_says


def outcome(of: object, headers: Headers) -> object:
    assert callable(of)
    try:
        lines, seen = of(headers)
    except Undecodable as error:
        return str(error)
    return sorted(lines.split(b"\r\n")), seen
