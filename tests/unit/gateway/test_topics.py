"""Topics listed and described, and single records by their place."""

from __future__ import annotations

import pytest

from pipeline.record import Headers
from tests.fakes.house import GatewayHouse
from tests.unit.gateway.answered import problem_of

BINARY: Headers = (
    ("content-type", b"text/html"),
    ("ce_specversion", b"1.0"),
    ("ce_id", b"a-1"),
    ("ce_source", b"/shop"),
    ("ce_type", b"order.placed"),
    ("ce_subject", "café".encode()),
)
RECORD = "/v1/topics/orders/partitions/0/records"


@pytest.fixture
def house() -> GatewayHouse:
    house = GatewayHouse()
    house.log.create("orders", 2, {"retention.ms": "1000"})
    return house


async def test_topics_are_listed_in_order_without_internal_ones_a_page_at_a_time(house: GatewayHouse) -> None:
    for name in ("b", "a", "_pipeline-runs", "__consumer_offsets"):
        house.log.create(name)
    first = await house.call("GET", "/v1/topics?limit=2")
    assert first.json() == {"topics": [{"name": "a", "partitions": 1}, {"name": "b", "partitions": 1}], "next": "b"}
    rest = await house.call("GET", first.headers["link"].partition(">")[0].removeprefix("<"))
    assert rest.json() == {"topics": [{"name": "orders", "partitions": 2}], "next": None}
    assert "link" not in rest.headers


async def test_a_topic_tells_its_ends_and_what_it_keeps(house: GatewayHouse) -> None:
    house.log.append("orders", b"x", partition=0)
    answer = (await house.call("GET", "/v1/topics/orders")).json()
    assert (answer["partitions"], answer["retention_ms"], answer["cleanup_policy"]) == (2, 1000, "delete")
    assert len((await house.call("GET", f"/v1/topics/orders/events?from={answer['earliest']}")).json()) == 1
    assert (await house.call("GET", f"/v1/topics/orders/events?from={answer['latest']}")).json() == []


async def test_an_absent_topic_is_not_found(house: GatewayHouse) -> None:
    assert problem_of(await house.call("GET", "/v1/topics/absent")) == (404, "topic-not-found")
    assert problem_of(await house.call("GET", "/v1/topics/_pipeline-runs")) == (404, "topic-not-found")


async def test_a_record_is_given_byte_for_byte_and_can_do_no_harm(house: GatewayHouse) -> None:
    house.log.append("orders", b"<script>", headers=BINARY, partition=0)
    answer = await house.call("GET", f"{RECORD}/0")
    assert (answer.status, answer.body) == (200, b"<script>")
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["ce-subject"] == "caf%C3%A9"
    assert answer.headers["ce-sequence"] == "00000000000000000000"
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["etag"]


async def test_a_published_event_is_where_its_location_says(house: GatewayHouse) -> None:
    headers = {"content-type": "application/json", "event-key": "k"}
    posted = await house.call("POST", "/v1/topics/orders/events", headers=headers, body=b'{"n": 1}')
    answer = await house.call("GET", posted.headers["location"])
    assert answer.body == b'{"n": 1}'
    assert answer.headers["ce-type"] == "orders.record"


async def test_a_tombstone_has_no_content(house: GatewayHouse) -> None:
    house.log.append("orders", None, key=b"k", partition=0)
    answer = await house.call("GET", f"{RECORD}/0")
    assert (answer.status, answer.body, answer.headers["ce-method"]) == (204, b"", "DELETE")


async def test_a_record_that_only_claims_to_be_an_event_is_given_with_defaults(house: GatewayHouse) -> None:
    house.log.append("orders", b"x", headers=(("ce_specversion", b"0.1"),), partition=0)
    answer = await house.call("GET", f"{RECORD}/0")
    assert (answer.status, answer.body) == (200, b"x")


async def test_what_was_not_written_yet_is_not_found_and_what_was_taken_is_gone(house: GatewayHouse) -> None:
    for _ in range(5):
        house.log.append("orders", b"x", partition=0)
    house.log.trim("orders", 0, 3)
    assert problem_of(await house.call("GET", f"{RECORD}/5")) == (404, "not-found")
    assert problem_of(await house.call("GET", f"{RECORD}/2")) == (410, "record-gone")
    assert problem_of(await house.call("GET", "/v1/topics/orders/partitions/2/records/0")) == (404, "not-found")


@pytest.mark.parametrize("place", ["x/records/0", "0/records/-1", "0/records/99999999999999999999"])
async def test_a_place_that_is_none_is_refused(house: GatewayHouse, place: str) -> None:
    answer = await house.call("GET", f"/v1/topics/orders/partitions/{place}")
    assert problem_of(answer) == (400, "input-invalid")
