"""Declarations and schemas on a real broker: applied once, found in order the second time, shared by all processes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from pipeline.kafka.admin import Admin
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.producer import Producer
from pipeline.kafka.table import Tables
from pipeline.registry import LocalRegistry
from pipeline.topic import Topic
from pipeline.topics import Allowed, apply, plan, read_live
from tests.broker_source import Kafka

pytestmark = pytest.mark.kafka

TEXT = '{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}]}'


@pytest.fixture
def settings(kafka: Kafka) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)


@pytest.fixture
async def admin(settings: KafkaSettings) -> AsyncIterator[Admin]:
    made = Admin(settings)
    yield made
    made.close()


async def test_what_is_applied_is_in_order_afterwards(admin: Admin, topic_name: str) -> None:
    declared = [Topic(name=topic_name, partitions=3, config={"retention.ms": "86400000", "cleanup.policy": "delete"})]
    made = plan(declared, await read_live(admin, declared))
    assert [step.act for step in await apply(admin, made)] == ["create"]
    again = plan(declared, await read_live(admin, declared))
    assert again.lines() == [f"= {topic_name}"]


async def test_a_safe_change_is_made_and_a_loss_refused(admin: Admin, topic_name: str) -> None:
    first = Topic(name=topic_name, partitions=1, config={"retention.ms": "1000000", "segment.bytes": "2097152"})
    await apply(admin, plan([first], await read_live(admin, [first])))
    second = msgspec.structs.replace(first, partitions=2, config={"retention.ms": "500000", "compression.type": "zstd"})
    live = await read_live(admin, [second])
    await apply(admin, plan([second], live))
    live = await read_live(admin, [second])
    left = plan([second], live)
    assert [step.field for step in left.refused] == ["partitions", "config/retention.ms"]
    assert (live[topic_name].config["compression.type"], live[topic_name].config["segment.bytes"]) == (
        "zstd",
        "2097152",
    )
    await apply(admin, plan([second], live, Allowed(partition_increase=True, retention_cut=True)))
    assert plan([second], await read_live(admin, [second])).unchanged == (topic_name,)


async def test_the_local_registry_keeps_its_ids_in_a_topic(
    admin: Admin, settings: KafkaSettings, topic_name: str
) -> None:
    producer = Producer(settings)
    await producer.start()
    first = None
    for _ in range(2):  # one process after the other
        tables = Tables(settings, producer, admin)
        table = tables.table(f"_{topic_name}")
        await table.start()
        registry = LocalRegistry(table)
        found = await registry.register("order", TEXT)
        first = first or found
        assert found == first
        assert await registry.latest("order") == first
        assert await registry.by_id(first.id) == TEXT
        await tables.stop()
    await producer.stop()
