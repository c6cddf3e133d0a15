"""Batches and thin events as receivers get them."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest

from pipeline.guard import Guard
from pipeline.record import Headers, Position, Record
from pipeline.signing import Signer, Verifier, new_v1_secret
from pipeline.subscription import Endpoint, Subscription
from pipeline.webhook.bundle import BatchWriter, EventRenderer, bundle_id
from pipeline.webhook.naming import Names
from pipeline.webhook.request import DeliveryWriter
from tests.unit.webhook.test_request import EVENT, KEY, NOW, read, record, writer

TRACE: Headers = (("traceparent", b"00-a-b-01"), ("tracestate", b"a=1"))


def parts(**spec: Any) -> tuple[Subscription, dict[str, Any]]:
    endpoint = Endpoint(url="https://receiver.example/hook")
    subscription = Subscription(name="s", topics=("orders",), endpoint=endpoint, **spec)
    return subscription, {
        "signer": Signer([KEY]),
        "names": Names(lambda _: "evt_aaaaaaaaaa_", lambda topic: (f"/app/{topic}", f"{topic}.record"), "r1"),
    }


def renderer() -> EventRenderer:
    return EventRenderer(lambda _: "evt_aaaaaaaaaa_", lambda topic: (f"/app/{topic}", f"{topic}.record"))


def test_a_batch_is_an_array_of_events_each_with_its_own_id_and_trace() -> None:
    subscription, given = parts(format="batch")
    batch = BatchWriter(subscription, Guard().check_url(subscription.endpoint.url), **given)
    events = [renderer().rendered(record((*EVENT, *TRACE))), renderer().rendered(record(), Position("orders", 1, 7))]
    _, _, headers, body = read(batch.write(events, 2, NOW))
    assert headers["content-type"] == "application/cloudevents-batch+json; charset=utf-8"
    assert (headers["webhook-attempt"], headers["webhook-replay"]) == ("2", "r1")
    Verifier([new_v1_secret(KEY)]).verify(headers, body, int(NOW))
    first, second = json.loads(body)
    assert (first["webhookid"], second["webhookid"]) == ("evt_aaaaaaaaaa_3_1042", "evt_aaaaaaaaaa_1_7")
    assert (first["traceparent"], first["tracestate"], first["data"]) == ("00-a-b-01", "a=1", {"n": 1})
    assert "traceparent" not in second


def test_the_id_of_a_batch_names_exactly_its_events_in_their_order() -> None:
    one, two, three = (renderer().rendered(record(), Position("orders", 0, offset)) for offset in range(3))
    assert bundle_id([one]) == one.webhook_id
    assert bundle_id([one, two]) == bundle_id([one, two])
    assert len({bundle_id(events) for events in ([one, two], [one, three], [two, one], [one, two, three])}) == 4
    assert b"." not in bundle_id([one, two])


def test_a_record_is_a_batch_of_one() -> None:
    subscription, given = parts(format="batch")
    batch = BatchWriter(subscription, Guard().check_url(subscription.endpoint.url), **given)
    _, _, headers, body = read(batch.write(record(), 1, NOW))
    assert (headers["webhook-id"], len(json.loads(body))) == ("evt_aaaaaaaaaa_3_1042", 1)


@pytest.mark.parametrize("base", ["", "https://events.example"])
def test_a_thin_event_says_where_its_data_lies_how_long_it_is_and_its_digest(base: str) -> None:
    subscription, given = parts(format="thin")
    thin = DeliveryWriter(subscription, Guard().check_url(subscription.endpoint.url), **given, public_url=base)
    _, _, headers, body = read(thin.write(record((*EVENT, *TRACE)), 1, NOW))
    event = json.loads(body)
    assert "data" not in event
    assert event["dataref"] == f"{base}/v1/topics/orders/partitions/3/records/1042"
    assert event["datasize"] == "8"
    digest = b64encode(sha256(b'{"n": 1}').digest()).decode()
    assert event["datadigest"] == f"sha-256=:{digest}:"
    assert (event["id"], event["datacontenttype"]) == ("8f1c", "application/json")
    assert headers["traceparent"] == "00-a-b-01"


def test_a_thin_tombstone_refers_to_nothing_and_says_delete() -> None:
    _, _, headers, body = read(writer(format="thin").write(record(value=None), 1, NOW))
    event = json.loads(body)
    assert (headers["ce-method"], event["method"], "dataref" in event) == ("DELETE", "DELETE", False)


def test_a_thin_event_that_cannot_be_read_is_referred_to_all_the_same() -> None:
    bad = Record("orders", 3, 5, 0, None, b"xyz", (("ce_specversion", b"1.0"), ("ce_id", b"\xff")))
    event = json.loads(read(writer(format="thin").write(bad, 1, NOW))[3])
    assert (event["id"], event["datasize"]) == ("evt_aaaaaaaaaa_3_5", "3")


@pytest.mark.parametrize("name", ["Host", "content-length", "webhook-id", "CE-Type", "x-forwarded-for", "via", "te"])
def test_a_header_that_delivery_owns_is_left_out_even_where_a_row_has_it(name: str) -> None:
    endpoint = Endpoint(url="https://receiver.example/hook?a=1")
    endpoint.headers[name] = "forged"
    assert "forged" not in read(writer(endpoint=endpoint).write(record(), 1, NOW))[2].values()
