"""The same promises on librdkafka's mock cluster and on real Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pytest
from confluent_kafka import Producer as RawProducer

from pipeline.hooks import Hooks
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.producer import Producer
from pipeline.kafka.table import LogTable, Tables


class Cluster(NamedTuple):
    """Where to connect, and what it is: the mock cluster knows no topic administration, no groups but their offsets."""

    bootstrap_servers: str
    is_mock: bool

    @property
    def settings(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.bootstrap_servers, client_id="test")

    async def topic(self, name: str, partitions: int = 4) -> str:
        """Make a topic; the mock makes it on first sight, with four partitions."""
        if self.is_mock:
            assert partitions <= 4
            raw = RawProducer({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
            await asyncio.to_thread(raw.list_topics, name, 10)
            return name
        admin = Admin(self.settings)
        await admin.create(name, partitions)
        admin.close()
        return name


class Counting(Hooks):
    """Appends as the hooks were told of them."""

    def __init__(self) -> None:
        self.appended: dict[str, int] = {}
        self.failed: list[tuple[str, Exception]] = []

    def on_appended(self, topic: str, count: int) -> None:
        self.appended[topic] = self.appended.get(topic, 0) + count

    def on_append_failed(self, topic: str, error: Exception) -> None:
        self.failed.append((topic, error))


async def until(reached: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Return when ``reached()``; the client gives no sign to wait for."""
    async with asyncio.timeout(timeout_s):
        while not reached():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.005)


@pytest.fixture(params=["mock", pytest.param("kafka", marks=pytest.mark.kafka)])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Both, one after the other."""
    is_mock = request.param == "mock"
    found = request.getfixturevalue("mock_kafka" if is_mock else "kafka")
    return Cluster(found.bootstrap_servers, is_mock)


@pytest.fixture
def real(request: pytest.FixtureRequest) -> Cluster:
    """Real Kafka only. Mark the test (or its file) ``kafka`` and say why the mock will not do."""
    return Cluster(request.getfixturevalue("kafka").bootstrap_servers, False)


@pytest.fixture
def troubled() -> Iterator[tuple[RawProducer, Cluster]]:
    """A mock cluster for `librdkafka.refuse` and `slow`, and the client it lives in."""
    host = RawProducer({"test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = host.list_topics(timeout=10).brokers.values()
    yield host, Cluster(f"{broker.host}:{broker.port}", is_mock=True)


@pytest.fixture
async def producer(cluster: Cluster) -> AsyncIterator[Producer]:
    made = Producer(cluster.settings)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def real_producer(real: Cluster) -> AsyncIterator[Producer]:
    made = Producer(real.settings)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def admin(real: Cluster) -> AsyncIterator[Admin]:
    made = Admin(real.settings)
    yield made
    made.close()


@dataclass
class Process:
    """What one process of ours would have: nothing is shared with another but the cluster."""

    producer: Producer
    admin: Admin
    tables: Tables

    async def stop(self) -> None:
        await self.tables.stop()
        await self.producer.stop()
        self.admin.close()


Begin = Callable[[], Awaitable[Process]]


@pytest.fixture
async def begin(real: Cluster) -> AsyncIterator[Begin]:
    """Begins processes; all are stopped at the end."""
    running: list[Process] = []

    async def process() -> Process:
        producer, admin = Producer(real.settings), Admin(real.settings)
        await producer.start()
        running.append(Process(producer, admin, Tables(real.settings, producer, admin)))
        return running[-1]

    yield process
    for each in running:
        await each.stop()


@pytest.fixture
async def table(begin: Begin, topic_name: str) -> LogTable:
    """A table of a process of its own, started."""
    made = (await begin()).tables.table(topic_name)
    await made.start()
    return made
