"""Rows survive compaction: forced within seconds here, by tiny segments, no lag and an impatient cleaner.

Real Kafka only: the mock cluster compacts nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public there, but not listed as exported
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from pipeline.errors import VersionConflict
from pipeline.kafka.replay_rule import FORGET_AFTER_MS, TURN, Row
from pipeline.kafka.table import LogTable
from tests.contract.conftest import Begin, Cluster, until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

COMPACTED_SOON = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.01",
    "min.compaction.lag.ms": "0",
    "delete.retention.ms": "100",
    "segment.ms": "100",
    "message.timestamp.type": "LogAppendTime",
}
DAY_S = FORGET_AFTER_MS / 1000


@pytest.fixture
def _impatient(real: Cluster) -> Iterator[None]:
    """The brokers look for something to clean every 100 ms, not every 15 s."""
    admin = AdminClient({"bootstrap.servers": real.bootstrap_servers, "log_level": 0})
    numbers = list(admin.list_topics(timeout=10).brokers)

    def backoff(how: AlterConfigOpType) -> None:
        entry = ConfigEntry("log.cleaner.backoff.ms", "100", incremental_operation=how)
        for number in numbers:
            resource = ConfigResource(ResourceType.BROKER, str(number), incremental_configs=[entry])
            for done in admin.incremental_alter_configs([resource]).values():
                done.result(10)

    backoff(AlterConfigOpType.SET)
    yield
    backoff(AlterConfigOpType.DELETE)


@pytest.fixture
async def table(begin: Begin, topic_name: str, _impatient: None) -> LogTable:
    """A table whose topic is compacted as soon as a segment is full."""
    process = await begin()
    await process.admin.create(topic_name, 1, COMPACTED_SOON)
    made = process.tables.table(topic_name)
    await made.start()
    return made


@pytest.fixture
async def by_hand(real: Cluster) -> AsyncIterator[AIOKafkaProducer]:
    made = AIOKafkaProducer(bootstrap_servers=real.bootstrap_servers)
    await made.start()
    yield made
    await made.stop()


async def kept(real: Cluster, topic: str) -> list[tuple[str, int]]:
    """Key and offset of every record the topic still holds."""
    consumer = AIOKafkaConsumer(bootstrap_servers=real.bootstrap_servers)
    await consumer.start()
    try:
        place = TopicPartition(topic, 0)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        end = (await consumer.end_offsets([place]))[place]
        records: list[tuple[str, int]] = []
        while await consumer.position(place) < end:
            batch = await consumer.getmany(timeout_ms=500)
            records += [(each.key.decode(), each.offset) for each in batch.get(place, [])]
        return records
    finally:
        await consumer.stop()


async def compacted(real: Cluster, table: LogTable, until_clean: Callable[[list[tuple[str, int]]], bool]) -> None:
    """Write to a key of no interest, so that segments roll, until the cleaner has done what is waited for."""
    async with asyncio.timeout(60):
        while not until_clean([record for record in await kept(real, table.topic) if record[0] != "roll"]):
            row = table.get("roll")
            await table.put("roll", b"", based_on=row.version if row else None)
            await asyncio.sleep(0.15)


async def agreed(begin: Begin, table: LogTable) -> LogTable:
    """A new process's replica, checked to hold the same rows."""
    other = (await begin()).tables.table(table.topic)
    await other.start()
    assert {key: row for key, row in other.rows().items() if key != "roll"} == {
        key: row for key, row in table.rows().items() if key != "roll"
    }
    return other


async def changed(table: LogTable, key: str, *values: bytes | None) -> Row | None:
    for value in values:
        row = table.get(key)
        await table.put(key, value, based_on=row.version if row else None)
    return table.get(key)


async def test_a_process_that_reads_a_compacted_topic_has_the_same_rows(
    real: Cluster, begin: Begin, table: LogTable
) -> None:
    for key in "abc":
        await changed(table, key, *(b"%d" % number for number in range(10)))
    await changed(table, "b", None)
    await compacted(real, table, lambda records: len(records) <= 3)
    other = await agreed(begin, table)
    row = other.get("a")
    assert row is not None
    assert await other.put("a", b"next", based_on=row.version)
    await until(lambda: other.get("a") == table.get("a"))


async def test_the_winner_survives_though_the_losers_record_was_the_last(
    real: Cluster, begin: Begin, table: LogTable
) -> None:
    """The loser repairs the key at once, before any cleaning (the lag is an hour where it is not set to none)."""
    other = (await begin()).tables.table(table.topic)
    await other.start()
    version: int | None = None
    for turn in range(5):
        results = await asyncio.gather(
            *(each.put("a", b"%d-%d" % (turn, n), based_on=version) for n, each in enumerate((table, other))),
            return_exceptions=True,
        )
        assert sorted(type(result).__name__ for result in results) == [Row.__name__, VersionConflict.__name__]
        await until(lambda: table.get("a") == other.get("a"))
        row = table.get("a")
        assert row is not None
        version = row.version
    await compacted(real, table, lambda records: len(records) == 1)
    await agreed(begin, table)


async def test_a_key_left_unsettled_by_a_process_that_died_is_repaired_by_another(
    real: Cluster, begin: Begin, table: LogTable, by_hand: AIOKafkaProducer
) -> None:
    row = await changed(table, "a", b"1", b"winner")
    await by_hand.send_and_wait(table.topic, key=b"a", value=b"loser", partition=0, headers=[(TURN, b"2")])
    await until(lambda: table._replica.rule.is_unsettled("a"))
    await table.keep(time.time())
    assert table._replica.rule.is_unsettled("a")  # its own process has a minute for it
    await table.keep(time.time() + 120)
    assert table.get("a") == row
    await compacted(real, table, lambda records: len(records) == 1)
    assert (await agreed(begin, table)).get("a") == row


async def test_a_deleted_key_leaves_nothing_behind_after_a_day_and_may_begin_anew(
    real: Cluster, begin: Begin, table: LogTable
) -> None:
    await changed(table, "a", b"1", b"2", None)
    await table.keep(time.time() + DAY_S - 60)
    assert len([each for each in await kept(real, table.topic) if each[0] == "a"]) == 3
    await table.keep(time.time() + DAY_S + 60)
    await compacted(real, table, lambda records: not records)
    other = await agreed(begin, table)
    row = await other.put("a", b"anew", based_on=None)
    await until(lambda: table.get("a") == row)
