"""A compacted topic is read to its end: what is left comes, in order, and nothing waits for what is not.

Real Kafka only: the mock cluster compacts nothing.
"""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.kafka.admin import Admin
from pipeline.kafka.view import LogView
from tests.contract.conftest import Cluster
from tests.contract.test_table_compaction import COMPACTED_SOON, _impatient
from tests.contract.view_reading import Reading, producer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

__all__ = ["_impatient"]


async def survivors(servers: str, topic: str) -> list[int]:
    """Offsets as an independent client reads them."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, auto_offset_reset="earliest", isolation_level="read_committed"
    )
    await consumer.start()
    place = TopicPartition(topic, 0)
    consumer.assign([place])
    end = (await consumer.end_offsets([place]))[place]
    offsets: list[int] = []
    while await consumer.position(place) < end:
        for records in (await consumer.getmany(timeout_ms=200)).values():
            offsets += [record.offset for record in records]
    await consumer.stop()
    return offsets


async def test_a_compacted_topic_is_read_to_its_end(
    real: Cluster, admin: Admin, topic_name: str, _impatient: None
) -> None:
    await admin.create(topic_name, 1, COMPACTED_SOON)
    servers = real.bootstrap_servers
    client = producer(servers)
    for turn in range(8):
        for key in range(100):
            client.produce(topic_name, b"%d" % turn, key=b"%d" % (key % (turn + 3)), partition=0)
        client.flush(10)
        await asyncio.sleep(0.15)  # a segment is rolled by its age
    async with asyncio.timeout(60):
        while len(left := await survivors(servers, topic_name)) > 400:
            client.produce(topic_name, b"roll", key=b"roll", partition=0)
            client.flush(10)
            await asyncio.sleep(0.3)
    view = LogView(real.settings)
    await view.start()
    reading = Reading(view, topic_name, 0, 0)
    await reading.until(left[-1] + 1)
    left = await survivors(servers, topic_name)
    assert set(left) <= set(reading.offsets) < set(range(left[-1] + 1))
    assert reading.offsets == sorted(set(reading.offsets))
    assert reading.feed.position == left[-1] + 1
    assert not reading.gaps
    await view.stop()
