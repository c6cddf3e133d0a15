"""Topics, settings, offsets and groups as the cluster has them.

Real Kafka: the mock cluster has no controller and no groups but their offsets; what it does know is asked of both.
"""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka import AIOKafkaConsumer

from pipeline.errors import BrokerUnavailable, GroupActive, LogError, PipelineError, TopicNotFound
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.producer import Producer
from tests.contract.conftest import Cluster


async def test_offsets_begin_at_the_start_and_end_behind_the_last_record(
    cluster: Cluster, producer: Producer, topic_name: str
) -> None:
    topic, admin = await cluster.topic(topic_name), Admin(cluster.settings)
    for _ in range(3):
        await producer.append(topic, key=None, value=b"", partition=1)
    assert await admin.offsets([(topic, 0), (topic, 1)], "earliest") == {(topic, 0): 0, (topic, 1): 0}
    assert await admin.offsets([(topic, 0), (topic, 1)], "latest") == {(topic, 0): 0, (topic, 1): 3}
    assert await admin.offsets([], "latest") == {}
    admin.close()


async def test_topics_are_listed_by_name(cluster: Cluster, topic_name: str) -> None:
    topic, admin = await cluster.topic(topic_name), Admin(cluster.settings)
    assert topic in await admin.topics()
    admin.close()


async def test_without_a_broker_every_question_fails_in_time() -> None:
    admin = Admin(KafkaSettings(bootstrap_servers="127.0.0.1:1", request_timeout_s=1.0))
    began = time.monotonic()
    answers = await asyncio.gather(
        admin.topics(),
        admin.describe(["t"]),
        admin.create("t"),
        admin.offsets([("t", 0)], "latest"),
        admin.groups(),
        admin.group_state("g"),
        admin.cluster_id(),
        admin.topic_config("t"),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [BrokerUnavailable] * 8
    assert "the client's last error" in str(answers[1])
    assert time.monotonic() - began < 2.0
    admin.close()


@pytest.mark.kafka
async def test_a_topic_is_made_once_and_known_at_once(admin: Admin, topic_name: str) -> None:
    assert await admin.create(topic_name, 3, {"retention.ms": "86400000"}) is True
    state = (await admin.describe([topic_name]))[topic_name]
    assert (state.name, state.partitions, len(state.topic_id)) == (topic_name, 3, 22)
    assert await admin.create(topic_name, 5) is False
    assert (await admin.describe([topic_name]))[topic_name] == state


@pytest.mark.kafka
async def test_a_topic_the_cluster_refuses_is_told_with_its_reason(admin: Admin, topic_name: str) -> None:
    with pytest.raises(LogError, match="INVALID_CONFIG"):
        await admin.create(topic_name, 1, {"retention.ms": "soon"})
    with pytest.raises(PipelineError):
        await admin.create("no spaces please", 1)
    with pytest.raises(LogError, match="INVALID_REPLICATION_FACTOR"):
        await admin.create(topic_name, 1, replication=99)
    assert await admin.describe([topic_name]) == {}


@pytest.mark.kafka
async def test_what_does_not_exist_is_absent_from_a_description(admin: Admin, topic_name: str) -> None:
    await admin.create(topic_name)
    assert set(await admin.describe([topic_name, topic_name + "-nowhere", topic_name])) == {topic_name}
    assert await admin.describe([]) == {}


@pytest.mark.kafka
async def test_settings_are_set_and_put_back_one_by_one(admin: Admin, topic_name: str) -> None:
    await admin.create(topic_name, 1, {"retention.ms": "86400000", "cleanup.policy": "delete"})
    await admin.set_config(topic_name, {"retention.ms": "3600000", "segment.ms": "60000"})
    config = await admin.topic_config(topic_name)
    assert (config["retention.ms"], config["segment.ms"]) == ("3600000", "60000")
    await admin.set_config(topic_name, {"retention.ms": None})
    config = await admin.topic_config(topic_name)
    assert (config["retention.ms"], config["segment.ms"]) == ("604800000", "60000")


@pytest.mark.kafka
async def test_a_setting_that_is_none_is_refused(admin: Admin, topic_name: str) -> None:
    await admin.create(topic_name)
    with pytest.raises(LogError, match="INVALID_CONFIG"):
        await admin.set_config(topic_name, {"retention.ms": "soon"})


@pytest.mark.kafka
async def test_a_missing_topic_is_named(admin: Admin, topic_name: str) -> None:
    for question in (
        admin.topic_config(topic_name),
        admin.set_config(topic_name, {"retention.ms": "1"}),
        admin.add_partitions(topic_name, 3),
        admin.offsets([(topic_name, 0)], "latest"),
        admin.delete(topic_name),
    ):
        with pytest.raises(TopicNotFound) as caught:
            await question
        assert caught.value.name == topic_name


@pytest.mark.kafka
async def test_one_missing_partition_among_others_is_an_error_too(admin: Admin, topic_name: str) -> None:
    await admin.create(topic_name, 1)
    with pytest.raises(PipelineError):
        await admin.offsets([(topic_name, 0), (topic_name, 1)], "latest")
    with pytest.raises(TopicNotFound):
        await admin.offsets([(topic_name, 0), (topic_name + "-nowhere", 0)], "latest")


@pytest.mark.kafka
async def test_partitions_are_added_and_known_at_once(admin: Admin, topic_name: str) -> None:
    await admin.create(topic_name, 1)
    await admin.add_partitions(topic_name, 4)
    assert (await admin.describe([topic_name]))[topic_name].partitions == 4
    with pytest.raises(LogError, match="INVALID_PARTITIONS"):
        await admin.add_partitions(topic_name, 2)


@pytest.mark.kafka
async def test_a_time_gives_the_first_record_not_older_and_past_the_last_one_the_end(
    admin: Admin, real_producer: Producer, topic_name: str
) -> None:
    await admin.create(topic_name, 2)
    before_ms = int(time.time() * 1000) - 1000
    for _ in range(3):
        await real_producer.append(topic_name, key=None, value=b"", partition=1)
    places = [(topic_name, 0), (topic_name, 1)]
    assert await admin.offsets(places, before_ms) == {places[0]: 0, places[1]: 0}
    assert await admin.offsets(places, before_ms + 3_600_000) == {places[0]: 0, places[1]: 3}


@pytest.mark.kafka
async def test_a_group_that_has_members_is_stable_and_not_deleted(real: Cluster, admin: Admin, topic_name: str) -> None:
    await admin.create(topic_name)
    member = AIOKafkaConsumer(topic_name, bootstrap_servers=real.bootstrap_servers, group_id=topic_name)
    await member.start()
    try:
        assert await admin.group_state(topic_name) == "Stable"
        with pytest.raises(GroupActive):
            await admin.delete_group(topic_name)
    finally:
        await member.stop()


@pytest.mark.kafka
async def test_the_cluster_has_one_id(admin: Admin) -> None:
    assert await admin.cluster_id() == await admin.cluster_id() != ""
