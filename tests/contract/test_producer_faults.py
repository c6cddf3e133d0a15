"""Appends when the cluster is away, refuses, or makes the producer start anew: everybody gets an answer."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import confluent_kafka
import pytest
from confluent_kafka import KafkaError

from pipeline.errors import AppendFailed, BrokerUnavailable, PayloadTooLarge, PipelineError
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.producer import Producer
from pipeline.kafka.producer_settings import ProducerLimits
from pipeline.record import Position
from tests.contract import librdkafka
from tests.contract.conftest import Cluster, Counting, until

NOBODY = KafkaSettings(bootstrap_servers="127.0.0.1:1", request_timeout_s=2.0)
"""An address where no broker listens."""


@pytest.fixture
async def nobody() -> AsyncIterator[Producer]:
    """A producer whose broker never answers."""
    made = Producer(NOBODY, limits=ProducerLimits(queue_records_max=3))
    await made.start()
    yield made
    await made.stop(timeout_s=0.0)


@pytest.mark.parametrize(
    ("code", "named"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, AppendFailed),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, AppendFailed),
        (KafkaError.MSG_SIZE_TOO_LARGE, PayloadTooLarge),
        (KafkaError.INVALID_REQUIRED_ACKS, AppendFailed),
    ],
)
async def test_what_the_broker_refuses_is_named(
    troubled: tuple[confluent_kafka.Producer, Cluster], code: int, named: type[PipelineError]
) -> None:
    host, cluster = troubled
    producer = Producer(cluster.settings)
    await producer.start()
    await producer.append("orders", key=None, value=b"")
    librdkafka.refuse(host, librdkafka.PRODUCE, code, 1)
    with pytest.raises(named):
        await producer.append("orders", key=None, value=b"")
    await producer.stop()


async def test_a_passing_refusal_is_tried_again_by_the_client(
    troubled: tuple[confluent_kafka.Producer, Cluster],
) -> None:
    host, cluster = troubled
    producer = Producer(cluster.settings)
    await producer.start()
    await producer.append("orders", key=None, value=b"", partition=0)
    librdkafka.refuse(host, librdkafka.PRODUCE, KafkaError.NOT_ENOUGH_REPLICAS, 3)
    assert (await producer.append("orders", key=None, value=b"", partition=0)).offset == 1
    await producer.stop()


async def test_without_a_broker_an_append_fails_in_time_and_is_worth_another_try(nobody: Producer) -> None:
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable) as caught:
        await nobody.append("orders", key=None, value=b"")
    assert time.monotonic() - began < NOBODY.request_timeout_s + 0.5
    assert caught.value.retryable
    assert "the client's last error" in str(caught.value)


async def test_a_full_queue_refuses_and_names_its_limits(nobody: Producer) -> None:
    assert [nobody.append_soon("orders", key=None, value=b"") for _ in range(4)] == [True, True, True, False]
    with pytest.raises(BrokerUnavailable, match="queue_records_max=3"):
        await nobody.append("orders", key=None, value=b"")


async def test_stopping_without_a_broker_is_bounded_and_answers_everybody() -> None:
    producer, told = Producer(NOBODY), list[Position | PipelineError]()
    await producer.start()
    for _ in range(5):
        producer.append_soon("orders", key=None, value=b"", done=told.append)
    began = time.monotonic()
    await producer.stop(timeout_s=0.1)
    assert time.monotonic() - began < 1.0
    assert [type(each) for each in told] == [BrokerUnavailable] * 5


async def test_a_producer_that_lost_its_sequence_begins_anew(cluster: Cluster, topic_name: str) -> None:
    topic, hooks = await cluster.topic(topic_name), Counting()
    producer = Producer(cluster.settings, hooks)
    await producer.start()
    first = await producer.append(topic, key=b"k", value=b"1", partition=0)
    librdkafka.make_fatal(raw(producer), KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER)
    second = await producer.append(topic, key=b"k", value=b"2", partition=0)
    assert (first.offset, second.offset) == (0, 1)
    assert any("start anew" in str(error) for _, error in hooks.failed)
    await producer.stop()


async def test_records_under_way_at_a_fatal_error_are_each_answered(cluster: Cluster, topic_name: str) -> None:
    topic = await cluster.topic(topic_name)
    producer = Producer(cluster.settings, limits=ProducerLimits(linger_s=1.0))
    await producer.start()
    told: list[Position | PipelineError] = []
    for _ in range(20):
        producer.append_soon(topic, key=b"k", value=b"", done=told.append)
    librdkafka.make_fatal(raw(producer), KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER)
    producer.append_soon(topic, key=b"k", value=b"after", done=told.append)
    await until(lambda: len(told) == 21)
    failures = [each for each in told if isinstance(each, PipelineError)]
    assert all(isinstance(each, BrokerUnavailable) for each in failures)
    assert isinstance(told[-1], Position)
    await producer.stop()


def raw(producer: Producer) -> confluent_kafka.Producer:
    assert producer._client is not None
    return producer._client._client
