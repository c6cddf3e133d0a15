"""What lies on the log, judged by aiokafka (which does not understand the mock cluster)."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from pipeline.kafka.producer import Producer
from tests.contract.conftest import Cluster

pytestmark = pytest.mark.kafka


async def judged(cluster: Cluster, topic: str, partitions: int) -> list[Any]:
    """All records of the topic as aiokafka reads them."""
    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap_servers, isolation_level="read_committed")
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        missing = sum((await consumer.end_offsets(places)).values())
        records: list[Any] = []
        while len(records) < missing:
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                records.extend(batch)
        return records
    finally:
        await consumer.stop()


async def test_another_client_reads_every_byte_as_it_was_given(
    real: Cluster, real_producer: Producer, topic_name: str
) -> None:
    await real.topic(topic_name, 1)
    headers = (("ce_id", b"1"), ("ce_id", b"2"), ("null", None), ("empty", b""), ("n\u00e4me", bytes(range(256))))
    for key, value in ((None, None), (b"", b""), (b"k\x00", b"v\x00"), (b"k", None)):
        await real_producer.append(topic_name, key=key, value=value, headers=headers)
    read = await judged(real, topic_name, 1)
    assert [(record.key, record.value) for record in read] == [
        (None, None),
        (b"", b""),
        (b"k\x00", b"v\x00"),
        (b"k", None),
    ]
    assert all(record.headers == headers for record in read)


async def test_a_key_goes_to_the_partition_other_clients_put_it_in(
    real: Cluster, real_producer: Producer, topic_name: str
) -> None:
    await real.topic(topic_name, 7)
    keys = [b"", b"a", *(uuid.uuid4().bytes for _ in range(200))]
    positions = await asyncio.gather(*(real_producer.append(topic_name, key=key, value=b"") for key in keys))
    everywhere = list(range(7))
    assert [each.partition for each in positions] == [DefaultPartitioner()(key, everywhere, everywhere) for key in keys]
