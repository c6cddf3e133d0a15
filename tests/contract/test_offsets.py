"""Committed offsets of groups without members, on the mock cluster and on real Kafka, with aiokafka beside us."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import confluent_kafka
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from confluent_kafka import KafkaError

from pipeline.errors import BrokerUnavailable, GroupActive, InputError, PayloadTooLarge, TopicNotFound
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.offsets import METADATA_CHARACTERS_MAX, Committed, GroupOffsets
from pipeline.kafka.producer import Producer
from tests.contract import librdkafka
from tests.contract.conftest import Cluster

MOVING_REQUESTS = [librdkafka.FIND_COORDINATOR, librdkafka.OFFSET_COMMIT, librdkafka.OFFSET_FETCH]


@pytest.fixture
async def offsets(cluster: Cluster) -> AsyncIterator[GroupOffsets]:
    made = GroupOffsets(cluster.settings)
    yield made
    made.close()


@pytest.fixture
async def real_offsets(real: Cluster) -> AsyncIterator[GroupOffsets]:
    made = GroupOffsets(real.settings)
    yield made
    made.close()


@pytest.fixture
async def other(real: Cluster, topic_name: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Another client, committing to the group called like the topic."""
    await real.topic(topic_name)
    consumer = AIOKafkaConsumer(bootstrap_servers=real.bootstrap_servers, group_id=topic_name, enable_auto_commit=False)
    await consumer.start()
    yield consumer
    await consumer.stop()


async def test_what_was_committed_is_read_back_and_the_rest_is_absent(
    cluster: Cluster, offsets: GroupOffsets, topic_name: str
) -> None:
    topic = await cluster.topic(topic_name)
    await offsets.commit(topic, {(topic, 0): (5, "p1;abc;"), (topic, 1): (0, None)})
    assert await offsets.read(topic, [(topic, number) for number in range(4)]) == {
        (topic, 0): Committed(5, "p1;abc;"),
        (topic, 1): Committed(0, None),
    }


async def test_a_commit_leaves_other_partitions_and_groups_alone(
    cluster: Cluster, offsets: GroupOffsets, topic_name: str
) -> None:
    topic = await cluster.topic(topic_name)
    await offsets.commit("a." + topic, {(topic, 0): (1, None)})
    await offsets.commit("b." + topic, {(topic, 0): (2, None)})
    await offsets.commit("a." + topic, {(topic, 1): (3, None)})
    assert await offsets.read("a." + topic, [(topic, 0), (topic, 1)]) == {
        (topic, 0): Committed(1, None),
        (topic, 1): Committed(3, None),
    }


@pytest.mark.parametrize("character", ["m", "\u00e9", "\u20ac"])
async def test_metadata_of_ours_comes_back_exactly(
    cluster: Cluster, offsets: GroupOffsets, topic_name: str, character: str
) -> None:
    topic = await cluster.topic(topic_name)
    for length in (1, 7, 8, 23, 24, 25, 39, 40, 41, 1000, 3800, METADATA_CHARACTERS_MAX):
        await offsets.commit(topic, {(topic, number): (length, character * length) for number in range(4)})
        read = await offsets.read(topic, [(topic, number) for number in range(4)])
        assert set(read.values()) == {Committed(length, character * length)}


@pytest.mark.parametrize(
    ("offset", "metadata", "named"),
    [(0, "x" * (METADATA_CHARACTERS_MAX + 1), PayloadTooLarge), (0, "a\0b", InputError), (-1, None, InputError)],
)
async def test_what_cannot_be_committed_is_refused_before_anything_is_sent(
    cluster: Cluster, offsets: GroupOffsets, topic_name: str, offset: int, metadata: str | None, named: type[Exception]
) -> None:
    topic = await cluster.topic(topic_name)
    with pytest.raises(named):
        await offsets.commit(topic, {(topic, 0): (7, None), (topic, 1): (offset, metadata)})
    assert await offsets.read(topic, [(topic, 0)]) == {}


async def test_nothing_asked_is_nothing_done(offsets: GroupOffsets) -> None:
    await offsets.commit("g", {})
    assert await offsets.read("g", []) == {}
    assert await offsets.commit_many({}) == {}


async def test_many_groups_at_once_each_have_their_own_outcome(
    cluster: Cluster, offsets: GroupOffsets, topic_name: str
) -> None:
    topic = await cluster.topic(topic_name)
    commits = {f"{topic}.{number}": {(topic, 0): (number, None)} for number in range(40)}
    outcomes = await offsets.commit_many({**commits, "lost": {(topic + "-nowhere", 0): (1, None)}})
    assert isinstance(outcomes.pop("lost"), TopicNotFound)
    assert outcomes == dict.fromkeys(commits)
    for number in range(40):
        assert (await offsets.read(f"{topic}.{number}", [(topic, 0)]))[topic, 0].offset == number


async def test_without_a_broker_both_fail_in_time() -> None:
    offsets = GroupOffsets(KafkaSettings(bootstrap_servers="127.0.0.1:1", request_timeout_s=1.0))
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        await offsets.read("g", [("t", 0)])
    with pytest.raises(BrokerUnavailable):
        await offsets.commit("g", {("t", 0): (1, None)})
    assert time.monotonic() - began < 3.0
    offsets.close()


@pytest.mark.parametrize(
    "request_kind", [librdkafka.FIND_COORDINATOR, librdkafka.OFFSET_COMMIT, librdkafka.OFFSET_FETCH]
)
@pytest.mark.parametrize(
    "code",
    [KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE],
)
async def test_a_coordinator_that_is_moving_is_asked_again(
    troubled: tuple[confluent_kafka.Producer, Cluster], request_kind: int, code: int
) -> None:
    host, cluster = troubled
    await cluster.topic("orders")
    offsets = GroupOffsets(cluster.settings)
    librdkafka.refuse(host, request_kind, code, 3)
    outcomes = await offsets.commit_many({f"g{number}": {("orders", 0): (number, None)} for number in range(12)})
    assert set(outcomes.values()) == {None}
    librdkafka.refuse(host, request_kind, code, 3)
    for number in range(12):
        assert (await offsets.read(f"g{number}", [("orders", 0)]))["orders", 0].offset == number
    offsets.close()


async def test_brokers_that_answer_too_late_cost_a_time_out_and_nothing_else(
    troubled: tuple[confluent_kafka.Producer, Cluster],
) -> None:
    host, cluster = troubled
    await cluster.topic("orders")
    offsets = GroupOffsets(KafkaSettings(bootstrap_servers=cluster.bootstrap_servers, request_timeout_s=1.0))
    librdkafka.slow(host, 1.5)
    outcomes = await offsets.commit_many({f"g{number}": {("orders", 0): (1, None)} for number in range(20)})
    assert {type(outcome) for outcome in outcomes.values()} == {BrokerUnavailable}
    librdkafka.slow(host, 0)
    async with asyncio.timeout(10):
        while True:
            try:
                await offsets.commit("g0", {("orders", 0): (2, None)})
                break
            except BrokerUnavailable:
                continue
    assert await offsets.read("g0", [("orders", 0)]) == {("orders", 0): Committed(2, None)}
    offsets.close()


# The mock cluster has no members, keeps no other client's bytes and is not understood by aiokafka.


@pytest.mark.kafka
async def test_metadata_of_another_client_is_read_as_it_wrote_it(
    real_offsets: GroupOffsets, other: AIOKafkaConsumer, topic_name: str
) -> None:
    places = [TopicPartition(topic_name, number) for number in range(4)]
    other.assign(places)
    for length in (0, 1, 24, 40, 4095, 4096):
        await other.commit({place: OffsetAndMetadata(length, "m" * length) for place in places})
        read = await real_offsets.read(topic_name, [(topic_name, number) for number in range(4)])
        assert set(read.values()) == {Committed(length, "m" * length or None)}


@pytest.mark.kafka
async def test_another_client_reads_what_we_committed(
    real_offsets: GroupOffsets, other: AIOKafkaConsumer, topic_name: str
) -> None:
    await real_offsets.commit(topic_name, {(topic_name, 0): (5, "abc"), (topic_name, 1): (6, None)})
    places = [TopicPartition(topic_name, number) for number in range(2)]
    fetched = await other._coordinator.fetch_committed_offsets(places)
    assert fetched == {places[0]: OffsetAndMetadata(5, "abc"), places[1]: OffsetAndMetadata(6, "")}


@pytest.mark.kafka
async def test_the_client_librarys_own_commit_is_read_without_the_nul_it_adds(
    real: Cluster, real_offsets: GroupOffsets, topic_name: str
) -> None:
    await real.topic(topic_name)
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": real.bootstrap_servers, "group.id": topic_name, "log_level": 0}
    )
    place = confluent_kafka.TopicPartition(topic_name, 0, 5, "abc")
    await asyncio.to_thread(consumer.commit, offsets=[place], asynchronous=False)
    await asyncio.to_thread(consumer.close)
    assert await real_offsets.read(topic_name, [(topic_name, 0)]) == {(topic_name, 0): Committed(5, "abc")}


@pytest.mark.kafka
async def test_a_reset_by_another_client_is_seen_at_once_and_carries_no_metadata(
    real_offsets: GroupOffsets, other: AIOKafkaConsumer, topic_name: str
) -> None:
    """The stock reset tool commits the offset with empty metadata; so does this."""
    await real_offsets.commit(topic_name, {(topic_name, 0): (5, "p1;abc;")})
    place = TopicPartition(topic_name, 0)
    other.assign([place])
    await other.commit({place: OffsetAndMetadata(2, "")})
    assert await real_offsets.read(topic_name, [(topic_name, 0)]) == {(topic_name, 0): Committed(2, None)}


@pytest.mark.kafka
async def test_a_group_with_members_refuses_us_until_they_leave(
    real: Cluster, real_offsets: GroupOffsets, topic_name: str
) -> None:
    await real.topic(topic_name)
    member = AIOKafkaConsumer(topic_name, bootstrap_servers=real.bootstrap_servers, group_id=topic_name)
    await member.start()
    try:
        with pytest.raises(GroupActive):
            await real_offsets.commit(topic_name, {(topic_name, 0): (1, None)})
    finally:
        await member.stop()
    await real_offsets.commit(topic_name, {(topic_name, 0): (1, None)})


@pytest.mark.kafka
async def test_a_group_we_commit_to_is_empty_and_can_be_deleted(
    real: Cluster, real_offsets: GroupOffsets, admin: Admin, topic_name: str
) -> None:
    await real.topic(topic_name)
    assert await admin.group_state(topic_name) == "Dead"
    await real_offsets.commit(topic_name, {(topic_name, 0): (1, None)})
    assert await admin.group_state(topic_name) == "Empty"
    assert topic_name in await admin.groups()
    await admin.delete_group(topic_name)
    await admin.delete_group(topic_name)
    assert await real_offsets.read(topic_name, [(topic_name, 0)]) == {}
    assert topic_name not in await admin.groups()


@pytest.mark.kafka
async def test_the_offsets_of_a_topic_made_anew_are_gone(
    real: Cluster, real_offsets: GroupOffsets, real_producer: Producer, admin: Admin, topic_name: str
) -> None:
    await real.topic(topic_name, 1)
    before = (await admin.describe([topic_name]))[topic_name].topic_id
    await real_offsets.commit(topic_name, {(topic_name, 0): (1, None)})
    await admin.delete(topic_name)
    await real.topic(topic_name, 1)
    assert (await admin.describe([topic_name]))[topic_name].topic_id != before
    async with asyncio.timeout(10):
        while await real_offsets.read(topic_name, [(topic_name, 0)]):  # noqa: ASYNC110 - the broker drops them by and by
            await asyncio.sleep(0.05)
