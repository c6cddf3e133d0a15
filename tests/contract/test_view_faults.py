"""The log view while the cluster misbehaves: it reads on by itself, or says loudly why not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka import KafkaError

from pipeline.embedded import EmbeddedKafka, EmbeddedSettings
from pipeline.errors import BrokerUnavailable, EmbeddedError, LogError
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.view import LogView, ViewSettings
from tests.broker_source import missing
from tests.contract import librdkafka
from tests.contract.conftest import Cluster, until
from tests.contract.test_view import Noting, values
from tests.contract.view_reading import Reading, append

FETCH = 1
LIST_OFFSETS = 2


@pytest.fixture
def refusing() -> Iterator[tuple[confluent_kafka.Producer, Cluster]]:
    """A mock cluster that can be told to refuse requests."""
    host = confluent_kafka.Producer({"test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = host.list_topics(timeout=10).brokers.values()
    yield host, Cluster(f"{broker.host}:{broker.port}", is_mock=True)


@pytest.fixture
async def view(refusing: tuple[confluent_kafka.Producer, Cluster]) -> AsyncIterator[LogView]:
    made = LogView(refusing[1].settings)
    await made.start()
    yield made
    await made.stop()


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.UNKNOWN,
    ],
)
async def test_a_passing_refusal_costs_no_record(
    refusing: tuple[confluent_kafka.Producer, Cluster], view: LogView, topic_name: str, code: int
) -> None:
    host, cluster = refusing
    topic = await cluster.topic(topic_name)
    append(cluster.bootstrap_servers, topic, 0, values(50))
    reading = Reading(view, topic, 0, 0)
    await reading.until(50)
    librdkafka.refuse(host, FETCH, code, 3)
    append(cluster.bootstrap_servers, topic, 0, values(50))
    await reading.until(100)
    assert reading.offsets == list(range(100))


async def test_a_topic_that_may_not_be_read_is_told(
    refusing: tuple[confluent_kafka.Producer, Cluster], view: LogView, topic_name: str
) -> None:
    host, cluster = refusing
    topic = await cluster.topic(topic_name)
    append(cluster.bootstrap_servers, topic, 0, values(50))
    librdkafka.refuse(host, FETCH, KafkaError.TOPIC_AUTHORIZATION_FAILED, 3)
    reading = Reading(view, topic, 0, 0)
    with pytest.raises(LogError, match="AUTHORIZATION"):
        await reading.until(50)


async def test_without_a_broker_a_feed_waits_and_a_fetch_fails() -> None:
    hooks = Noting()
    view = LogView(KafkaSettings(bootstrap_servers="127.0.0.1:1", request_timeout_s=1.0), hooks=hooks)
    await view.start()
    reading = Reading(view, "orders", 0, 0)
    with pytest.raises(BrokerUnavailable):
        await view.fetch("orders", 0, 0)
    reading.take_all()
    await until(lambda: any(isinstance(error, BrokerUnavailable) for error in hooks.errors))
    await view.stop()


@pytest.mark.kafka
@pytest.mark.slow
async def test_a_broker_that_is_away_for_a_while_costs_no_record(tmp_path: Path, topic_name: str) -> None:
    broker = EmbeddedKafka(EmbeddedSettings(data_dir=tmp_path / "broker", port=0))
    try:
        await broker.start()
    except EmbeddedError as error:
        missing(str(error))
    servers, port = broker.bootstrap_servers, int(broker.bootstrap_servers.rpartition(":")[2])
    cluster = Cluster(servers, is_mock=False)
    topic, hooks = await cluster.topic(topic_name), Noting()
    append(servers, topic, 0, [b"x" * 5000] * 3000)
    view = LogView(cluster.settings, ViewSettings(segment_bytes_max=64 * 1024), hooks)
    await view.start()
    behind, ahead = Reading(view, topic, 0, 0, records_max=10), Reading(view, topic, 0, 3000)
    await behind.until(100)
    ahead.take_all()
    await broker.stop()
    with pytest.raises(TimeoutError):
        await behind.until(3000, 2)
    broker = EmbeddedKafka(EmbeddedSettings(data_dir=tmp_path / "broker", port=port))
    await broker.start()
    append(servers, topic, 0, values(100))
    await asyncio.gather(behind.until(3100, 30), ahead.until(3100, 30))
    assert behind.offsets == list(range(3100))
    assert ahead.offsets == list(range(3000, 3100))
    assert not behind.gaps
    await view.stop()
    await broker.stop()
