from __future__ import annotations

import json
from typing import Any

import h11
import pytest

import pipeline
from pipeline.errors import DeclarationInvalid
from pipeline.guard import Guard
from pipeline.record import Headers, Position, Record
from pipeline.signing import Signer, Verifier, new_v1_secret, v1a_public
from pipeline.subscription import Endpoint, Signing, Subscription
from pipeline.webhook.naming import Names
from pipeline.webhook.request import DeliveryWriter

KEY, SEED = bytes(32), bytes(range(32))
EVENT: Headers = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"8f1c"),
    ("ce_source", b"/shop"),
    ("ce_type", b"order.placed"),
    ("content-type", b"application/json"),
)
NOW = b"1795219200"


def writer(signer: Signer | None = None, run_id: str | None = None, **spec: Any) -> DeliveryWriter:
    endpoint = spec.pop("endpoint", Endpoint(url="https://receiver.example/hook?a=1"))
    subscription = Subscription(name="s", topics=("orders",), endpoint=endpoint, **spec)
    return DeliveryWriter(
        subscription,
        Guard().check_url(endpoint.url),
        signer=signer or Signer([KEY]),
        names=Names(
            lambda topic: {"orders": "evt_aaaaaaaaaa_", "other": "evt_bbbbbbbbbb_"}[topic],
            lambda topic: (f"/app/{topic}", f"{topic}.record"),
            run_id,
        ),
    )


def record(headers: Headers = EVENT, value: bytes | None = b'{"n": 1}', key: bytes | None = b"42") -> Record:
    return Record("orders", 3, 1042, 1_795_219_200_123, key, value, headers)


def read(request: bytes) -> tuple[bytes, bytes, dict[str, str], bytes]:
    """Method, target, headers and body, as an independent HTTP implementation reads them; no header may come twice."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(request)
    head = server.next_event()
    assert isinstance(head, h11.Request)
    assert head.http_version == b"1.1"
    body = b""
    while isinstance(event := server.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert server.trailing_data == (b"", False)
    names = [name for name, _ in head.headers]
    assert len(names) == len(set(names))
    return head.method, head.target, {name.decode(): value.decode() for name, value in head.headers}, body


def test_a_delivery_has_exactly_these_headers() -> None:
    method, target, headers, body = read(writer().write(record(), 3, NOW))
    signature = headers.pop("webhook-signature")
    assert (method, target, body) == (b"POST", b"/hook?a=1", b'{"n": 1}')
    assert headers == {
        "host": "receiver.example",
        "user-agent": f"event-pipeline/{pipeline.__version__}",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": "8",
        "webhook-id": "evt_aaaaaaaaaa_3_1042",
        "webhook-timestamp": "1795219200",
        "webhook-attempt": "3",
        "ce-specversion": "1.0",
        "ce-id": "8f1c",
        "ce-source": "/shop",
        "ce-type": "order.placed",
        "ce-sequence": "00000000000000001042",
        "ce-partitionkey": "42",
    }
    assert signature.startswith("v1,")


@pytest.mark.parametrize("spec", [{"format": "binary"}, {"format": "structured"}, {"format": "raw"}])
def test_what_is_sent_verifies_as_it_lies_on_the_wire(spec: dict[str, Any]) -> None:
    _, _, headers, body = read(writer(Signer([KEY], [SEED]), **spec).write(record(), 1, NOW))
    for secret in (new_v1_secret(KEY), v1a_public(SEED)):
        Verifier([secret]).verify(headers, body, float(NOW))


def test_the_id_of_a_redriven_event_is_its_origins() -> None:
    _, _, headers, _ = read(writer(run_id="r1").write(record(), 1, NOW, Position("other", 7, 99)))
    assert headers["webhook-id"] == "evt_bbbbbbbbbb_7_99"
    assert headers["ce-sequence"] == "00000000000000000099"
    assert headers["webhook-replay"] == "r1"


def test_the_id_is_the_same_on_every_attempt_and_the_timestamp_is_not() -> None:
    one, two = (read(writer().write(record(), number, b"%d" % number))[2] for number in (1, 2))
    assert one["webhook-id"] == two["webhook-id"]
    assert (one["webhook-timestamp"], two["webhook-timestamp"]) == ("1", "2")
    assert one["webhook-signature"] != two["webhook-signature"]


def test_a_record_that_is_no_cloudevent_gets_the_defaults() -> None:
    _, _, headers, body = read(writer().write(record(()), 1, NOW))
    assert {name: value for name, value in headers.items() if name.startswith(("ce-", "content-type"))} == {
        "ce-specversion": "1.0",
        "ce-id": "evt_aaaaaaaaaa_3_1042",
        "ce-source": "/app/orders",
        "ce-type": "orders.record",
        "ce-time": "2026-11-21T00:00:00.123Z",
        "ce-sequence": "00000000000000001042",
        "ce-partitionkey": "42",
        "content-type": "application/octet-stream",
    }
    assert body == b'{"n": 1}'


def test_only_the_attributes_that_are_missing_get_defaults() -> None:
    headers = (("ce_id", b"mine"), ("ce_time", b"2020-01-01T00:00:00Z"), ("x-own", b"1"))
    _, _, sent, _ = read(writer().write(record(headers), 1, NOW))
    assert (sent["ce-id"], sent["ce-time"], sent["ce-type"]) == ("mine", "2020-01-01T00:00:00Z", "orders.record")
    assert "x-own" not in sent


@pytest.mark.parametrize("timestamp_ms", [-1, 253_402_300_800_000, 2**62])
def test_a_record_without_a_writable_time_gets_none(timestamp_ms: int) -> None:
    made = Record("orders", 3, 1042, timestamp_ms, None, b"x", ())
    assert "ce-time" not in read(writer().write(made, 1, NOW))[2]


def test_the_second_of_a_default_time_is_not_stuck() -> None:
    one = writer()
    times = [
        read(one.write(Record("orders", 0, 1, at, None, b"x"), 1, NOW))[2].get("ce-time")
        for at in (0, 999, 1000, -1, 0, 1000)
    ]
    assert times == [
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T00:00:00.999Z",
        "1970-01-01T00:00:01.000Z",
        None,
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T00:00:01.000Z",
    ]


def test_a_tombstone_is_an_empty_body_that_says_delete() -> None:
    _, _, headers, body = read(writer().write(record(value=None), 1, NOW))
    assert (body, headers["ce-method"], headers["content-length"]) == (b"", "DELETE", "0")


def test_an_empty_value_is_an_empty_body_that_says_nothing() -> None:
    _, _, headers, body = read(writer().write(record(value=b""), 1, NOW))
    assert (body, "ce-method" in headers, headers["content-length"]) == (b"", False, "0")


@pytest.mark.parametrize("method", [b"DELETE", b"PUT", b"", None])
def test_a_tombstone_says_delete_once_whatever_its_producer_said(method: bytes | None) -> None:
    _, _, headers, _ = read(writer().write(record((*EVENT, ("ce_method", method)), None), 1, NOW))
    assert headers["ce-method"] == "DELETE"


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        (b"42", "42"),
        (b"a b", "a%20b"),
        ("é".encode(), "%C3%A9"),
        (None, None),
        (b"", None),
        (b"\x00\x01", None),
        (b"\xff", None),
    ],
)
def test_a_key_is_sent_as_text_if_it_is_text(key: bytes | None, sent: str | None) -> None:
    _, _, headers, _ = read(writer().write(record(key=key), 1, NOW))
    assert headers.get("ce-partitionkey") == sent


def test_the_producers_own_partition_key_and_sequence_win() -> None:
    own = (*EVENT, ("ce_partitionkey", b"own"), ("ce_sequence", b"7"))
    _, _, headers, _ = read(writer().write(record(own), 1, NOW))
    assert (headers["ce-partitionkey"], headers["ce-sequence"]) == ("own", "7")


def test_a_structured_delivery_is_a_cloudevent_in_json() -> None:
    _, _, headers, body = read(
        writer(format="structured").write(record((*EVENT, ("traceparent", b"00-a-b-01"))), 1, NOW)
    )
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert headers["traceparent"] == "00-a-b-01"
    assert not [name for name in headers if name.startswith("ce-")]
    assert json.loads(body) == {
        "specversion": "1.0",
        "id": "8f1c",
        "source": "/shop",
        "type": "order.placed",
        "datacontenttype": "application/json",
        "sequence": "00000000000000001042",
        "partitionkey": "42",
        "data": {"n": 1},
    }


@pytest.mark.parametrize("own", [(), (("ce_method", b"PUT"),)])
def test_a_structured_tombstone_says_delete_and_has_no_data(own: Headers) -> None:
    _, _, headers, body = read(writer(format="structured").write(record(own, None), 1, NOW))
    event = json.loads(body)
    assert (headers["ce-method"], event["method"], event["id"]) == ("DELETE", "DELETE", "evt_aaaaaaaaaa_3_1042")
    assert "data" not in event


def test_a_structured_delivery_keeps_the_producers_own_sequence_and_key() -> None:
    own = (*EVENT, ("ce_partitionkey", b"own"), ("ce_sequence", b"7"))
    event = json.loads(read(writer(format="structured").write(record(own), 1, NOW))[3])
    assert (event["partitionkey"], event["sequence"]) == ("own", "7")


@pytest.mark.parametrize("value", [b"\x00\xff", b"", None])
def test_a_raw_delivery_has_the_value_and_no_attributes(value: bytes | None) -> None:
    _, _, headers, body = read(writer(format="raw").write(record(value=value), 1, NOW))
    attributes = [name for name in headers if name.startswith("ce-")]
    assert (body, attributes) == (value or b"", ["ce-method"] if value is None else [])
    assert headers["content-type"] == "application/json"


def test_a_raw_value_of_unknown_type_is_bytes() -> None:
    _, _, headers, _ = read(writer(format="raw").write(record(()), 1, NOW))
    assert headers["content-type"] == "application/octet-stream"


def test_an_envelope_on_the_log_is_delivered_as_it_is() -> None:
    made = record((("content-type", b"application/cloudevents+json"), ("ce_id", b"no")), b'{"specversion":"1.0"}')
    _, _, headers, body = read(writer().write(made, 1, NOW))
    assert body == b'{"specversion":"1.0"}'
    assert headers["content-type"] == "application/cloudevents+json"
    assert not [name for name in headers if name.startswith("ce-")]


def test_the_endpoints_method_and_headers_are_used() -> None:
    endpoint = Endpoint(
        url="https://r.example:8443", method="PUT", headers={"Authorization": "Bearer x", "Accept-Encoding": "br"}
    )
    method, target, headers, _ = read(writer(endpoint=endpoint).write(record(), 1, NOW))
    assert (method, target, headers["host"]) == (b"PUT", b"/", "r.example:8443")
    assert (headers["authorization"], headers["accept-encoding"]) == ("Bearer x", "br")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Host",
            "Content-Length",
            "Transfer-Encoding",
            "Connection",
            "Keep-Alive",
            "Upgrade",
            "TE",
            "Trailer",
            "Expect",
        ),
        *(
            "Content-Type",
            "User-Agent",
            "Webhook-Id",
            "webhook-x",
            "CE-Id",
            "X-Hub-Signature-256",
            "Proxy-Authorization",
        ),
    ],
)
def test_an_endpoint_cannot_set_what_delivery_writes(name: str) -> None:
    with pytest.raises(DeclarationInvalid, match="delivery"):
        Endpoint(url="https://r.example", headers={name: "x"})


def test_trace_context_is_the_records_never_the_endpoints() -> None:
    made = writer(endpoint=Endpoint(url="https://r.example", headers={"Traceparent": "00-x-y-00", "tracestate": "a"}))
    assert "traceparent" not in read(made.write(record(), 1, NOW))[2]
    _, _, headers, _ = read(made.write(record((*EVENT, ("traceparent", b"00-a-b-01"))), 1, NOW))
    assert headers["traceparent"] == "00-a-b-01"


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\x00b", "é"])
def test_an_endpoints_header_cannot_break_its_line(value: str) -> None:
    with pytest.raises(DeclarationInvalid):
        Endpoint(url="https://r.example", headers={"x-own": value})


def test_the_github_signature_is_sent_when_asked_for() -> None:
    signer = Signer([KEY], github_key=b"secret")
    _, _, headers, body = read(writer(signer, signing=Signing(github=True)).write(record(), 1, NOW))
    assert headers["x-hub-signature-256"].encode() == signer.sign_github(body)
    assert "x-hub-signature-256" not in read(writer(signer).write(record(), 1, NOW))[2]


def test_with_a_github_key_alone_there_is_no_standard_signature() -> None:
    made = writer(Signer([], github_key=KEY), signing=Signing(v1=False, github=True))
    _, _, headers, _ = read(made.write(record(), 1, NOW))
    assert "webhook-signature" not in headers


@pytest.mark.parametrize("run_id", ["a b", "a\r\nx: y", "", "é"])
def test_a_run_id_that_is_no_header_value_is_a_fault_of_ours(run_id: str) -> None:
    with pytest.raises(AssertionError):
        writer(run_id=run_id)
