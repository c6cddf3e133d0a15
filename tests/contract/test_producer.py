"""What an append promises, on the mock cluster and on real Kafka."""

from __future__ import annotations

import asyncio
import threading

import pytest

from pipeline.errors import AppendFailed, BrokerUnavailable, PayloadTooLarge, PipelineError, TopicNotFound
from pipeline.kafka.admin import Admin
from pipeline.kafka.producer import Producer
from pipeline.kafka.producer_settings import ProducerLimits
from pipeline.record import Position
from tests.contract.conftest import Cluster, Counting, until


async def test_an_append_tells_where_the_record_lies(cluster: Cluster, producer: Producer, topic_name: str) -> None:
    topic = await cluster.topic(topic_name)
    positions = [await producer.append(topic, key=b"k", value=b"v", partition=2) for _ in range(3)]
    assert positions == [Position(topic, 2, offset) for offset in range(3)]


async def test_appends_of_one_key_keep_their_order(cluster: Cluster, producer: Producer, topic_name: str) -> None:
    topic = await cluster.topic(topic_name)
    told: list[Position | PipelineError] = []
    for number in range(200):
        assert producer.append_soon(topic, key=b"k", value=b"%d" % number, done=told.append)
    await until(lambda: len(told) == 200)
    assert [told[number][2] for number in range(200)] == list(range(200))  # type: ignore[index]  # positions
    assert producer.outstanding == 0


async def test_reports_arrive_on_the_loop_and_are_counted(cluster: Cluster, topic_name: str) -> None:
    topic, hooks = await cluster.topic(topic_name), Counting()
    producer = Producer(cluster.settings, hooks)
    await producer.start()
    threads: set[int] = set()
    for _ in range(50):
        producer.append_soon(topic, key=None, value=b"", done=lambda _: threads.add(threading.get_ident()))
        producer.append_soon(topic, key=None, value=b"")
    await producer.stop()
    assert threads == {threading.get_ident()}
    assert hooks.appended == {topic: 100}


async def test_a_callback_that_raises_costs_the_others_nothing(
    cluster: Cluster, producer: Producer, topic_name: str
) -> None:
    topic, complaints, told = await cluster.topic(topic_name), list[object](), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    def broken(outcome: object) -> None:
        raise ValueError(outcome)

    for done in (broken, told.append, broken, told.append):
        producer.append_soon(topic, key=b"k", value=b"", done=done)
    await until(lambda: producer.outstanding == 0)
    assert (len(told), len(complaints)) == (2, 2)


async def test_a_partition_that_does_not_exist_is_refused(
    cluster: Cluster, producer: Producer, topic_name: str
) -> None:
    topic = await cluster.topic(topic_name)
    await producer.append(topic, key=None, value=b"")
    with pytest.raises(AppendFailed, match="no such partition"):
        await producer.append(topic, key=None, value=b"", partition=4)


async def test_a_missing_partition_is_refused_by_a_producer_that_has_not_met_the_topic(
    cluster: Cluster, producer: Producer, topic_name: str
) -> None:
    topic = await cluster.topic(topic_name)
    with pytest.raises(AppendFailed, match="no such partition"):
        await producer.append(topic, key=None, value=b"", partition=4)


async def test_a_record_over_the_limit_is_refused_by_its_name(
    cluster: Cluster, producer: Producer, topic_name: str
) -> None:
    topic = await cluster.topic(topic_name)
    with pytest.raises(PayloadTooLarge, match=r"at most 1000000 bytes \(message_bytes_max"):
        await producer.append(topic, key=None, value=b"x" * 1_000_001)
    assert producer.outstanding == 0


async def test_stopping_waits_for_what_is_under_way(cluster: Cluster, topic_name: str) -> None:
    topic = await cluster.topic(topic_name)
    producer = Producer(cluster.settings, limits=ProducerLimits(linger_s=0.5))
    await producer.start()
    told: list[Position | PipelineError] = []
    producer.append_soon(topic, key=b"k", value=b"", done=told.append)
    await producer.stop()
    assert told[0] == Position(topic, told[0][1], 0)  # type: ignore[index]  # a position
    with pytest.raises(BrokerUnavailable, match="not running"):
        await producer.append(topic, key=None, value=b"")


async def test_an_append_nobody_waits_for_any_more_does_no_harm(
    cluster: Cluster, producer: Producer, topic_name: str
) -> None:
    topic = await cluster.topic(topic_name)
    waiting = asyncio.create_task(producer.append(topic, key=b"k", value=b"1", partition=0))
    await asyncio.sleep(0)
    waiting.cancel()
    assert (await producer.append(topic, key=b"k", value=b"2", partition=0)).offset == 1


# The mock cluster makes any topic it hears of, has no topic settings and is not understood by aiokafka.


@pytest.mark.kafka
async def test_an_unknown_topic_is_named(real_producer: Producer, topic_name: str) -> None:
    with pytest.raises(TopicNotFound) as caught:
        await real_producer.append(topic_name, key=None, value=b"")
    assert caught.value.name == topic_name


@pytest.mark.kafka
async def test_a_topic_made_after_a_refusal_takes_appends_at_once(
    real: Cluster, real_producer: Producer, topic_name: str
) -> None:
    with pytest.raises(TopicNotFound):
        await real_producer.append(topic_name, key=None, value=b"")
    await real.topic(topic_name)
    await real_producer.append(topic_name, key=None, value=b"")


@pytest.mark.kafka
async def test_a_partition_added_since_takes_appends_at_once(
    real: Cluster, real_producer: Producer, admin: Admin, topic_name: str
) -> None:
    await real.topic(topic_name, 1)
    await real_producer.append(topic_name, key=None, value=b"")
    await admin.add_partitions(topic_name, 3)
    assert await real_producer.append(topic_name, key=None, value=b"", partition=2) == Position(topic_name, 2, 0)


@pytest.mark.kafka
async def test_a_topic_made_anew_takes_appends(
    real: Cluster, real_producer: Producer, admin: Admin, topic_name: str
) -> None:
    await real.topic(topic_name, 1)
    for _ in range(3):
        await real_producer.append(topic_name, key=None, value=b"")
    await admin.delete(topic_name)
    await real.topic(topic_name, 1)
    offset = (await real_producer.append(topic_name, key=None, value=b"")).offset
    assert offset == 0


@pytest.mark.kafka
async def test_the_topics_own_limit_is_named_too(admin: Admin, real_producer: Producer, topic_name: str) -> None:
    await admin.create(topic_name, 1, {"max.message.bytes": "2000"})
    with pytest.raises(PayloadTooLarge, match=r"max\.message\.bytes"):
        await real_producer.append(topic_name, key=None, value=b"x" * 3000)
