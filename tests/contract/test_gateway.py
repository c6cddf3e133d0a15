"""The gateway on real Kafka (the mock cluster knows neither topic ids nor groups without members).

aiokafka, which shares no code with our client, looks at what lies there and moves what we keep there.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as TheirPartition

from pipeline.config import load_config
from pipeline.wiring import Node, ensure_key_file, started
from tests.contract.conftest import Cluster
from tests.fakes.asgi import Answer, Caller

pytestmark = pytest.mark.kafka

PARTITIONS = 3


class Gateway:
    """A gateway of its own, wired as the product is; ``topic`` and ``namespace`` are nobody else's."""

    def __init__(self, cluster: Cluster, topic: str, node: Node) -> None:
        self.cluster, self.topic, self.namespace = cluster, topic, node.settings.namespace
        self.admin, self.catalog = node.admin, node.catalog
        self.events = f"/v1/topics/{topic}/events"
        self.call = Caller(cast("Any", node.gateway_app()))

    async def publish(self, number: int, key: str = "k") -> Answer:
        event = {"specversion": "1.0", "id": str(number), "source": "/shop", "type": "t", "partitionkey": key}
        body = json.dumps({**event, "data": {"n": number}}).encode()
        return await self.call("POST", self.events, headers={"content-type": "application/cloudevents+json"}, body=body)

    async def fill(self, events: int) -> None:
        answers = await asyncio.gather(*(self.publish(number, f"k{number}") for number in range(events)))
        assert {answer.status for answer in answers} == {201}

    async def drain(self, start: str, limit: int = 7) -> list[dict[str, Any]]:
        seen: list[dict[str, Any]] = []
        while True:
            answer = await self.call("GET", f"{self.events}?from={start}&limit={limit}")
            assert answer.status == 200, answer.body
            seen += answer.json()
            start = answer.headers["event-cursor"]
            if answer.headers["event-caught-up"] == "true":
                return seen


@pytest.fixture
async def gateway(real: Cluster, topic_name: str, tmp_path: Path) -> AsyncIterator[Gateway]:
    await real.topic(topic_name, PARTITIONS)
    ensure_key_file(tmp_path / ".pipeline" / "secret.key")
    flags = {("namespace",): topic_name, ("kafka", "bootstrap_servers"): real.bootstrap_servers}
    async with started(load_config(tmp_path, {}, flags)) as node:
        yield Gateway(real, topic_name, node)


@asynccontextmanager
async def their_admin(cluster: Cluster) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


def partitions_of(topic: str) -> Iterator[TheirPartition]:
    return (TheirPartition(topic, number) for number in range(PARTITIONS))


async def test_what_is_published_is_polled_once_in_order_per_key(gateway: Gateway) -> None:
    await gateway.fill(40)
    seen = await gateway.drain("earliest")
    assert sorted(int(event["id"]) for event in seen) == list(range(40))
    for number in range(PARTITIONS):
        own = [event["sequence"] for event in seen if event["kafkapartition"] == number]
        assert own == sorted(own) and len(own) > 1


async def test_a_published_event_is_where_its_location_says(gateway: Gateway) -> None:
    posted = await gateway.publish(7)
    answer = await gateway.call("GET", posted.headers["location"])
    assert (answer.status, answer.body) == (200, b'{"n": 7}')
    assert answer.headers["ce-id"] == "7"
    place = posted.json()
    beyond = f"/v1/topics/{gateway.topic}/partitions/{place['partition']}/records/{place['offset'] + 1}"
    assert (await gateway.call("GET", beyond)).status == 404


async def test_a_batch_lies_in_order(gateway: Gateway) -> None:
    events = [
        {"specversion": "1.0", "id": str(number), "source": "/s", "type": "t", "partitionkey": "k"}
        for number in range(50)
    ]
    headers = {"content-type": "application/cloudevents-batch+json"}
    answer = await gateway.call("POST", gateway.events, headers=headers, body=json.dumps(events).encode())
    offsets = [result["offset"] for result in answer.json()["results"]]
    assert offsets == list(range(offsets[0], offsets[0] + 50))


async def test_a_long_poll_hears_of_an_event_at_once(gateway: Gateway) -> None:
    await gateway.fill(3)
    polling = asyncio.ensure_future(gateway.call("GET", f"{gateway.events}?from=latest&timeout=20000"))
    await asyncio.sleep(0.3)
    began = time.monotonic()
    await gateway.publish(99)
    answer = await polling
    assert [event["id"] for event in answer.json()] == ["99"]
    assert time.monotonic() - began < 2.0


async def test_a_time_is_a_start(gateway: Gateway) -> None:
    await gateway.fill(3)
    await asyncio.sleep(0.05)
    between = time.time()
    await asyncio.sleep(0.05)
    await gateway.publish(99)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(between)) + f".{int(between % 1 * 1000):03d}Z"
    assert [event["id"] for event in await gateway.drain(f"time:{moment}")] == ["99"]


async def test_aborted_events_are_never_seen_and_lag_still_reaches_zero(gateway: Gateway) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=gateway.cluster.bootstrap_servers, transactional_id=f"tx-{gateway.topic}"
    )
    await producer.start()
    try:
        for commits in (True, False, True, False):
            await producer.begin_transaction()
            for number in range(PARTITIONS):
                await producer.send_and_wait(gateway.topic, b"kept" if commits else b"aborted", partition=number)
            await (producer.commit_transaction() if commits else producer.abort_transaction())
    finally:
        await producer.stop()
    seen = await gateway.drain("earliest", limit=2)
    assert len(seen) == 2 * PARTITIONS
    answer = await gateway.call("GET", f"{gateway.events}?limit=1000")
    assert (answer.headers["event-lag"], answer.headers["event-caught-up"]) == ("0", "true")


async def test_what_retention_took_is_told_or_refused(gateway: Gateway) -> None:
    await gateway.fill(30)
    # Nothing was read so far: what the log view holds in memory it would give out still.
    start = (await gateway.call("GET", f"/v1/topics/{gateway.topic}")).json()["earliest"]
    ends = await gateway.admin.offsets([(gateway.topic, number) for number in range(PARTITIONS)], "latest")
    async with their_admin(gateway.cluster) as admin:
        await admin.delete_records(
            {TheirPartition(gateway.topic, 0): RecordsToDelete(before_offset=ends[gateway.topic, 0])}
        )
    strict = await gateway.call("GET", f"{gateway.events}?from={start}&strict=1")
    assert (strict.status, strict.json()["code"]) == (410, "cursor-expired")
    cursor, gaps, partitions = start, [], set()
    while True:
        told = await gateway.call("GET", f"{gateway.events}?from={cursor}&limit=100&timeout=2000")
        gaps += [told.headers["event-gap"]] if "event-gap" in told.headers else []
        partitions |= {event["kafkapartition"] for event in told.json()}
        cursor = told.headers["event-cursor"]
        if told.headers["event-caught-up"] == "true":
            break
    assert gaps == [f"0;from=0;until={ends[gateway.topic, 0]}"]
    assert partitions == {1, 2}
    assert (await gateway.call("GET", f"{gateway.events}?from={strict.json()['earliest']}&strict=1")).status == 200


async def test_a_topic_made_anew_voids_its_cursors(gateway: Gateway) -> None:
    await gateway.fill(5)
    cursor = (await gateway.call("GET", gateway.events)).headers["event-cursor"]
    await gateway.admin.delete(gateway.topic)
    async with asyncio.timeout(20):
        while not await gateway.admin.create(gateway.topic, PARTITIONS):  # noqa: ASYNC110 - Kafka tells nobody
            await asyncio.sleep(0.1)
    gateway.catalog.forget(gateway.topic)
    answer = await gateway.call("GET", f"{gateway.events}?from={cursor}")
    assert (answer.status, answer.json()["code"]) == (410, "cursor-epoch")


async def test_a_named_cursor_is_a_group_that_others_see_and_move(gateway: Gateway) -> None:
    await gateway.fill(30)
    mine = "/v1/cursors/mine"
    made = await gateway.call("PUT", mine, json_body={"topics": [gateway.topic], "start": "earliest"})
    assert made.status == 201 and made.json()["lag"] == 30
    group = f"{gateway.namespace}.mine"
    page = await gateway.call("GET", f"{mine}/events?limit=9")
    moved = await gateway.call("POST", f"{mine}/commit", json_body={"cursor": page.headers["event-cursor"]})
    assert moved.status == 204
    async with their_admin(gateway.cluster) as admin:
        seen = await admin.list_consumer_group_offsets(group)
    assert sum(found.offset for found in seen.values()) == 9
    assert group in await gateway.admin.groups()

    consumer = AIOKafkaConsumer(
        bootstrap_servers=gateway.cluster.bootstrap_servers, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    consumer.assign(list(partitions_of(gateway.topic)))
    await consumer.commit({place: OffsetAndMetadata(0, "") for place in partitions_of(gateway.topic)})
    await consumer.stop()
    assert (await gateway.call("GET", mine)).json()["lag"] == 30
    assert len((await gateway.call("GET", f"{mine}/events?limit=100")).json()) == 30


async def test_a_cursor_whose_group_has_members_is_not_moved(gateway: Gateway) -> None:
    await gateway.fill(10)
    mine = "/v1/cursors/mine"
    await gateway.call("PUT", mine, json_body={"topics": [gateway.topic], "start": "earliest"})
    page = await gateway.call("GET", f"{mine}/events")
    member = AIOKafkaConsumer(
        gateway.topic, bootstrap_servers=gateway.cluster.bootstrap_servers, group_id=f"{gateway.namespace}.mine"
    )
    await member.start()
    try:
        await member.getone()
        answer = await gateway.call("POST", f"{mine}/commit", json_body={"cursor": page.headers["event-cursor"]})
        assert (answer.status, answer.json()["code"]) == (409, "group-active")
    finally:
        await member.stop()


async def test_a_subscription_stands_in_kafka_when_it_is_made(gateway: Gateway) -> None:
    await gateway.fill(10)
    declared = {"topics": [gateway.topic], "start": "latest", "endpoint": {"url": "https://hooks.example.org/"}}
    made = await gateway.call("PUT", "/v1/subscriptions/hook", json_body=declared)
    assert made.status == 201, made.body
    group = f"{gateway.namespace}.hook"
    async with their_admin(gateway.cluster) as admin:
        seen = await admin.list_consumer_group_offsets(group)
    assert len(seen) == PARTITIONS and sum(found.offset for found in seen.values()) == 10
    dead_letters = (await gateway.admin.describe([f"{group}.dlq"]))[f"{group}.dlq"]
    assert dead_letters.partitions == PARTITIONS
    shown = (await gateway.call("GET", "/v1/subscriptions/hook")).json()
    assert (shown["lag"], shown["state"]) == (0, "active")
    replay = await gateway.call("POST", "/v1/subscriptions/hook/replays", json_body={"from": "earliest"})
    assert replay.status == 201 and replay.json()["count"] == 10
    async with their_admin(gateway.cluster) as admin:
        begun = await admin.list_consumer_group_offsets(f"{group}.replay.{replay.json()['id']}")
    assert {found.offset for found in begun.values()} == {0}
    assert (await gateway.call("DELETE", "/v1/subscriptions/hook?forget=true")).status == 204
    assert group not in await gateway.admin.groups()


async def test_a_topic_that_does_not_exist_is_not_made(gateway: Gateway) -> None:
    absent = f"{gateway.topic}-absent"
    for method in ("GET", "POST"):
        answer = await gateway.call(method, f"/v1/topics/{absent}/events", headers={"event-key": "k"}, body=b"x")
        assert (answer.status, answer.json()["code"]) == (404, "topic-not-found")
    assert absent not in await gateway.admin.topics()
