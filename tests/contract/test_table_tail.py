"""Tables whose topic does what it should not: records deleted, the topic deleted and made anew.

Real Kafka only: the mock cluster deletes nothing.
"""

from __future__ import annotations

import asyncio

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from pipeline.kafka.admin import Admin
from pipeline.kafka.replay_rule import Row
from pipeline.kafka.table import TOPIC_CONFIG, LogTable
from tests.contract.conftest import Begin, Cluster, until

pytestmark = pytest.mark.kafka


async def cut(real: Cluster, change: Admin, topic: str, before: int) -> None:
    """Delete the records below offset ``before``; Kafka does so only while the topic may delete at all."""
    await change.set_config(topic, {"cleanup.policy": "compact,delete"})
    admin = AdminClient({"bootstrap.servers": real.bootstrap_servers, "log_level": 0})
    for done in admin.delete_records([TopicPartition(topic, 0, before)]).values():
        await asyncio.to_thread(done.result, 10)
    await change.set_config(topic, {"cleanup.policy": "compact"})


@pytest.mark.parametrize("before", [3, 5])
async def test_a_topic_that_lost_its_first_records_is_read_from_where_it_begins(
    real: Cluster, admin: Admin, begin: Begin, table: LogTable, before: int
) -> None:
    rows = [await table.put(f"k{number}", b"", based_on=None) for number in range(5)]
    await cut(real, admin, table.topic, before)
    other = (await begin()).tables.table(table.topic)
    await other.start()
    assert other.rows() == {f"k{number}": rows[number] for number in range(before, 5)}


async def test_the_rows_of_a_topic_made_anew_replace_the_old_ones(begin: Begin, table: LogTable) -> None:
    heard: list[tuple[str, Row | None]] = []
    for key in "abc":
        await table.put(key, b"old", based_on=None)
    table.watch(lambda key, row: heard.append((key, row)))
    other = await begin()
    await other.admin.delete(table.topic)
    await other.admin.create(table.topic, 1, TOPIC_CONFIG)
    anew = other.tables.table(table.topic)
    await anew.start()
    row = await anew.put("a", b"new", based_on=None)
    await until(lambda: table.rows() == {"a": row}, timeout_s=20.0)
    assert sorted(heard)[-2:] == [("b", None), ("c", None)]
    assert (await table.put("d", b"", based_on=None)).version > row.version
