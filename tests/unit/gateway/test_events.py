"""Publishing and polling over HTTP, on a log in memory."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from pipeline.gateway import GatewayLimits
from pipeline.pull import ReaderSettings
from pipeline.record import Position
from tests.fakes.house import GatewayHouse
from tests.unit.gateway.answered import problem_of

BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "a-1",
    "ce-source": "/shop",
    "ce-type": "order.placed",
    "content-type": "application/json",
}
EVENT = {"specversion": "1.0", "id": "a-1", "source": "/shop", "type": "order.placed", "data": {"n": 1}}
EVENTS = "/v1/topics/orders/events"
STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
BATCH = {"content-type": "application/cloudevents-batch+json"}


@pytest.fixture
def house() -> GatewayHouse:
    house = GatewayHouse()
    house.log.create("orders", 2)
    return house


def records(house: GatewayHouse) -> int:
    return sum(len(part.records) for part in house.log.topics["orders"].partitions)


async def test_a_binary_event_is_acknowledged_with_its_place(house: GatewayHouse) -> None:
    answer = await house.call("POST", EVENTS, headers={**BINARY, "ce-partitionkey": "42"}, body=b'{"n": 1}')
    assert answer.status == 201
    place = answer.json()
    location = f"/v1/topics/orders/partitions/{place['partition']}/records/{place['offset']}"
    assert answer.headers["location"] == location
    assert answer.headers["event-cursor"] == place["cursor"]
    record = house.log.topics["orders"].partitions[place["partition"]].records[0]
    assert (record.key, record.value) == (b"42", b'{"n": 1}')
    assert record.header("ce_type") == b"order.placed"


async def test_the_cursor_of_a_published_event_lies_behind_it(house: GatewayHouse) -> None:
    first = (await house.call("POST", EVENTS, headers={**BINARY, "event-key": "k"}, body=b"{}")).json()
    await house.call("POST", EVENTS, headers={**BINARY, "ce-id": "a-2", "event-key": "k"}, body=b"{}")
    answer = await house.call("GET", f"{EVENTS}?from={first['cursor']}")
    assert [event["id"] for event in answer.json()] == ["a-2"]


async def test_a_structured_event_is_published(house: GatewayHouse) -> None:
    answer = await house.call("POST", EVENTS, headers=STRUCTURED, body=json.dumps(EVENT).encode())
    assert answer.status == 201
    assert records(house) == 1


async def test_a_batch_is_written_in_order(house: GatewayHouse) -> None:
    events = [{**EVENT, "id": str(number), "partitionkey": "k"} for number in range(5)]
    answer = await house.call("POST", EVENTS, headers=BATCH, body=json.dumps(events).encode())
    assert answer.status == 200
    assert [result["offset"] for result in answer.json()["results"]] == [0, 1, 2, 3, 4]


async def test_a_batch_with_one_bad_event_writes_nothing(house: GatewayHouse) -> None:
    events = [EVENT, {**EVENT, "source": ""}]
    answer = await house.call("POST", EVENTS, headers=BATCH, body=json.dumps(events).encode())
    assert problem_of(answer) == (422, "event-invalid")
    assert answer.json()["errors"][0]["pointer"] == "/1/source"
    assert records(house) == 0


async def test_a_batch_that_kafka_did_not_take_is_503_with_its_results(house: GatewayHouse) -> None:
    house.producer.down = True
    answer = await house.call("POST", EVENTS, headers=BATCH, body=json.dumps([EVENT, EVENT]).encode())
    assert problem_of(answer) == (503, "broker-unavailable")
    assert answer.headers["retry-after"] == "2"
    assert [result["error"]["code"] for result in answer.json()["results"]] == ["broker-unavailable"] * 2


async def test_any_content_is_published_under_an_event_key(house: GatewayHouse) -> None:
    answer = await house.call(
        "POST", EVENTS, headers={"content-type": "image/png", "event-key": "caf%C3%A9"}, body=b"\x89"
    )
    assert answer.status == 201
    (record,) = [record for part in house.log.topics["orders"].partitions for record in part.records]
    assert (record.key, record.value, record.header("content-type")) == ("café".encode(), b"\x89", b"image/png")


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"content-type": "text/plain"}, b"x", (422, "event-invalid")),
        ({**BINARY, "ce-specversion": "0.3"}, b"{}", (422, "event-invalid")),
        ({**BINARY, "ce-source": ""}, b"{}", (422, "event-invalid")),
        ({**BINARY, "ce-time": "yesterday"}, b"{}", (422, "event-invalid")),
        (STRUCTURED, b"{", (400, "format-unreadable")),
        (STRUCTURED, b"[]", (400, "format-unreadable")),
        (BATCH, b"{}", (400, "format-unreadable")),
        ({"content-type": "application/cloudevents+avro"}, b"x", (415, "unsupported-media-type")),
        ({"content-type": "application/cloudevents-batch+avro"}, b"x", (415, "unsupported-media-type")),
        ({**BINARY, "content-encoding": "gzip"}, b"x", (415, "unsupported-media-type")),
    ],
)
async def test_what_is_no_event_is_refused_and_nothing_written(
    house: GatewayHouse, headers: dict[str, str], body: bytes, expected: tuple[int, str]
) -> None:
    answer = await house.call("POST", EVENTS, headers=headers, body=body)
    assert problem_of(answer) == expected
    assert answer.json()["retryable"] is False
    assert records(house) == 0


async def test_an_absent_topic_and_an_internal_one_are_not_found(house: GatewayHouse) -> None:
    house.log.create("_pipeline-subscriptions")
    for topic in ("absent", "_pipeline-subscriptions", "__consumer_offsets", "a%20b"):
        for method in ("GET", "POST"):
            answer = await house.call(method, f"/v1/topics/{topic}/events", headers=BINARY, body=b"{}")
            assert problem_of(answer) == (404, "topic-not-found"), topic


async def test_a_broker_that_does_not_answer_is_503_and_retryable(house: GatewayHouse) -> None:
    house.producer.down = True
    answer = await house.call("POST", EVENTS, headers=BINARY, body=b"{}")
    assert problem_of(answer) == (503, "broker-unavailable")
    assert answer.headers["retry-after"] == "2" and answer.json()["retryable"] is True


async def test_a_body_over_its_limit_is_refused_by_its_length_and_while_it_streams() -> None:
    house = GatewayHouse(limits=GatewayLimits(body_bytes_max=100))
    house.log.create("orders", 2)
    told = await house.call("POST", EVENTS, headers=BINARY, body=b"x" * 101)
    streamed = await house.call("POST", EVENTS, headers=BINARY, body=[b"x" * 60, b"x" * 60])
    assert problem_of(told) == problem_of(streamed) == (413, "too-large")
    assert "body_bytes_max" in told.json()["detail"]
    assert records(house) == 0


async def test_a_batch_over_its_count_is_refused() -> None:
    house = GatewayHouse(limits=GatewayLimits(batch_events_max=2))
    house.log.create("orders", 2)
    answer = await house.call("POST", EVENTS, headers=BATCH, body=json.dumps([EVENT] * 3).encode())
    assert problem_of(answer) == (413, "too-large")
    assert records(house) == 0


async def test_a_client_that_hangs_up_while_sending_writes_nothing(house: GatewayHouse) -> None:
    hang_up = asyncio.Event()
    hang_up.set()
    headers = {**BINARY, "content-length": "20"}
    answer = await house.call("POST", EVENTS, headers=headers, body=iter([]), hang_up=hang_up)
    assert answer.status == 499
    assert records(house) == 0


async def test_a_poll_tells_events_cursor_lag_and_what_is_next(house: GatewayHouse) -> None:
    for number in range(3):
        headers = {**BINARY, "ce-id": str(number), "event-key": "k"}
        await house.call("POST", EVENTS, headers=headers, body=b'{"n": 1}')
    answer = await house.call("GET", f"{EVENTS}?from=earliest&limit=2")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/cloudevents-batch+json"
    assert answer.headers["event-caught-up"] == "false"
    assert answer.headers["event-lag"] == "1"
    assert answer.headers["cache-control"] == "no-store"
    events = answer.json()
    assert [event["id"] for event in events] == ["0", "1"]
    assert events[1]["sequence"] == "00000000000000000001"
    assert events[1]["partitionkey"] == "k"
    assert events[1]["kafkapartition"] == sum(b"k") % 2
    assert events[1]["data"] == {"n": 1}
    following = answer.headers["link"].partition(">")[0].removeprefix("<")
    last = await house.call("GET", following)
    assert [event["id"] for event in last.json()] == ["2"]
    assert last.headers["event-caught-up"] == "true" and last.headers["event-lag"] == "0"


async def test_http_feeds_readers_are_served_by_their_own_parameter(house: GatewayHouse) -> None:
    await house.call("POST", EVENTS, headers=BINARY, body=b"{}")
    for target in (EVENTS, f"{EVENTS}?lastEventId=", f"{EVENTS}?lastEventId=null"):
        assert len((await house.call("GET", target)).json()) == 1


async def test_a_long_poll_waits_as_preferred_and_says_so(house: GatewayHouse) -> None:
    polling = asyncio.ensure_future(house.call("GET", f"{EVENTS}?from=latest", headers={"prefer": "foo, wait=20"}))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not polling.done()
    await house.call("POST", EVENTS, headers=BINARY, body=b"{}")
    answer = await polling
    assert len(answer.json()) == 1
    assert answer.headers["preference-applied"] == "wait=20"
    assert answer.headers["vary"] == "Prefer"


async def test_timeout_wins_over_prefer_and_both_are_capped() -> None:
    house = GatewayHouse(reader=ReaderSettings(wait_s_max=0.01))
    house.log.create("orders", 2)
    timed = await house.call("GET", f"{EVENTS}?from=latest&timeout=5", headers={"prefer": "wait=30"})
    assert timed.json() == [] and "preference-applied" not in timed.headers
    capped = await house.call("GET", f"{EVENTS}?from=latest", headers={"prefer": "wait=30"})
    assert capped.headers["preference-applied"] == "wait=0"


async def test_a_poll_whose_client_hangs_up_is_given_up(house: GatewayHouse) -> None:
    hang_up = asyncio.Event()
    polling = asyncio.ensure_future(house.call("GET", f"{EVENTS}?from=latest&timeout=30000", hang_up=hang_up))
    for _ in range(10):
        await asyncio.sleep(0)
    assert house.view.feeds_open == 2
    hang_up.set()
    assert (await polling).status == 499
    assert house.view.feeds_open == 0


async def test_polls_beyond_the_seats_are_sent_away_with_retry_after() -> None:
    house = GatewayHouse(limits=GatewayLimits(long_polls_max=1))
    house.log.create("orders", 2)
    hang_up = asyncio.Event()
    polling = asyncio.ensure_future(house.call("GET", f"{EVENTS}?from=latest&timeout=30000", hang_up=hang_up))
    for _ in range(10):
        await asyncio.sleep(0)
    refused = await house.call("GET", f"{EVENTS}?from=latest&timeout=30000")
    assert problem_of(refused) == (503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    assert (await house.call("GET", f"{EVENTS}?from=latest")).status == 200
    hang_up.set()
    await polling
    assert (await house.call("GET", f"{EVENTS}?from=latest&timeout=1")).status == 200


async def test_a_gap_is_told_in_a_header(house: GatewayHouse) -> None:
    for _ in range(5):
        house.log.append("orders", b"x", partition=1)
    start = (await house.call("GET", f"{EVENTS}?limit=2")).headers["event-cursor"]
    house.log.trim("orders", 1, 4)
    answer = await house.call("GET", f"{EVENTS}?from={start}")
    assert answer.headers["event-gap"] == "1;from=2;until=4"
    assert len(answer.json()) == 1


async def test_strict_refuses_a_gap_and_names_where_to_go_on(house: GatewayHouse) -> None:
    for _ in range(5):
        house.log.append("orders", b"x", partition=1)
    start = (await house.call("GET", f"{EVENTS}?limit=2")).headers["event-cursor"]
    house.log.trim("orders", 1, 4)
    answer = await house.call("GET", f"{EVENTS}?from={start}&strict=1")
    assert problem_of(answer) == (410, "cursor-expired")
    assert len((await house.call("GET", f"{EVENTS}?from={answer.json()['earliest']}&strict=1")).json()) == 1


async def test_a_cursor_of_a_topic_made_anew_is_gone(house: GatewayHouse) -> None:
    cursor = (await house.call("GET", EVENTS)).headers["event-cursor"]
    house.log.create("orders", 2)
    assert problem_of(await house.call("GET", f"{EVENTS}?from={cursor}")) == (410, "cursor-epoch")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("from=v1.AAAA", (400, "cursor-malformed")),
        ("from=tomorrow", (400, "cursor-malformed")),
        ("limit=0", (400, "input-invalid")),
        ("limit=1001", (400, "input-invalid")),
        ("limit=ten", (400, "input-invalid")),
        ("timeout=-1", (400, "input-invalid")),
        ("strict=maybe", (400, "input-invalid")),
        ("type=order.placed", (400, "input-invalid")),
        ("limit=1&limit=2", (400, "input-invalid")),
        ("from=earliest&lastEventId=", (400, "input-invalid")),
        ("from=@nobody", (404, "cursor-not-found")),
    ],
)
async def test_a_poll_that_cannot_be_answered_is_refused(
    house: GatewayHouse, query: str, expected: tuple[int, str]
) -> None:
    assert problem_of(await house.call("GET", f"{EVENTS}?{query}")) == expected


async def test_records_that_are_no_cloud_events_get_defaults(house: GatewayHouse) -> None:
    house.log.append("orders", b"\x00\xff", key=b"\xff", partition=0)
    (event,) = (await house.call("GET", EVENTS)).json()
    assert event["source"] == "/app/orders" and event["type"] == "orders.record"
    assert event["id"].startswith("evt_") and event["id"].endswith("_0_0")
    assert "data_base64" in event and "partitionkey" not in event


async def test_a_tombstone_is_an_event_that_deletes(house: GatewayHouse) -> None:
    house.log.append("orders", None, key=b"k", partition=0)
    (event,) = (await house.call("GET", EVENTS)).json()
    assert event["method"] == "DELETE" and "data" not in event


async def test_a_body_that_does_not_come_is_given_up() -> None:
    house = GatewayHouse(limits=GatewayLimits(body_wait_s=0.01))
    house.log.create("orders", 2)
    answer = await house.call("POST", EVENTS, headers={**BINARY, "content-length": "20"}, body=iter([]))
    assert problem_of(answer) == (408, "body-late")
    assert records(house) == 0


async def test_a_key_that_is_no_text_is_named(house: GatewayHouse) -> None:
    answer = await house.call("POST", EVENTS, headers={**BINARY, "event-key": "%FF"}, body=b"{}")
    assert problem_of(answer) == (422, "event-invalid")
    assert answer.json()["errors"][0]["pointer"] == "Event-Key"


async def test_what_is_being_written_at_once_is_bounded() -> None:
    house = GatewayHouse(limits=GatewayLimits(publish_bytes_max=10))
    house.log.create("orders", 2)
    real = house.producer.append
    acked = asyncio.Event()

    async def slow(topic: str, **record: Any) -> Position:
        await acked.wait()
        return await real(topic, **record)

    house.producer.append = slow  # type: ignore[method-assign]  # a broker that takes its time
    first = asyncio.ensure_future(house.call("POST", EVENTS, headers=BINARY, body=b'{"n": 12345678}'))
    for _ in range(10):
        await asyncio.sleep(0)
    second = await house.call("POST", EVENTS, headers=BINARY, body=b"{}")
    assert problem_of(second) == (503, "overloaded") and second.headers["retry-after"] == "1"
    acked.set()
    assert (await first).status == 201
    assert (await house.call("POST", EVENTS, headers=BINARY, body=b"{}")).status == 201
