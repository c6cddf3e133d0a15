"""Tables on compacted topics: of writers in several processes exactly one wins, and all agree, also after compaction.

Real Kafka only: the mock cluster has neither topic settings nor compaction. A *process* here is a producer, an admin
client and tables of its own; nothing is shared but the cluster.
"""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka import AIOKafkaProducer

from pipeline.errors import BrokerUnavailable, DeclarationInvalid, InputError, PayloadTooLarge, VersionConflict
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.producer import Producer
from pipeline.kafka.replay_rule import Row
from pipeline.kafka.table import ROW_BYTES_MAX, LogTable, Tables
from tests.contract.conftest import Begin, Cluster, Process, until

pytestmark = pytest.mark.kafka


async def test_a_row_is_set_changed_and_deleted(table: LogTable) -> None:
    first = await table.put("a", b"1", based_on=None)
    assert table.get("a") == first == Row(b"1", first.version)
    second = await table.put("a", b"2", based_on=first.version)
    assert table.rows() == {"a": second}
    await table.put("a", None, based_on=second.version)
    assert (table.get("a"), table.rows()) == (None, {})
    assert (await table.put("a", b"", based_on=None)).value == b""


async def test_a_write_based_on_another_version_changes_nothing(table: LogTable) -> None:
    row = await table.put("a", b"1", based_on=None)
    for based_on in (None, row.version + 1, -1):
        with pytest.raises(VersionConflict, match=f"at version {row.version}, not {based_on}"):
            await table.put("a", b"2", based_on=based_on)
    with pytest.raises(VersionConflict):
        await table.put("b", b"1", based_on=row.version)
    assert table.rows() == {"a": row}


async def test_what_does_not_fit_is_refused_by_name(table: LogTable) -> None:
    with pytest.raises(PayloadTooLarge, match=str(ROW_BYTES_MAX)):
        await table.put("a", b"x" * (ROW_BYTES_MAX + 1), based_on=None)
    for key in ("", "k" * 1025):
        with pytest.raises(InputError):
            await table.put(key, b"", based_on=None)
    with pytest.raises(InputError):
        await table.put("a", None, based_on=None)
    assert (await table.put("a", b"x" * ROW_BYTES_MAX, based_on=None)).value == b"x" * ROW_BYTES_MAX


async def test_a_new_process_reads_every_row(begin: Begin, table: LogTable) -> None:
    rows = [await table.put(f"k{number}", b"%d" % number, based_on=None) for number in range(20)]
    await table.put("k0", None, based_on=rows[0].version)
    other = (await begin()).tables.table(table.topic)
    await other.start()
    assert other.rows() == table.rows()
    assert len(other.rows()) == 19


async def test_two_starts_of_one_table_are_one(begin: Begin, topic_name: str) -> None:
    table = (await begin()).tables.table(topic_name)
    await asyncio.gather(table.start(), table.start())
    assert (await table.put("a", b"1", based_on=None)).version == 0


async def test_several_tables_share_one_tail(begin: Begin, topic_name: str) -> None:
    tables = (await begin()).tables
    many = [tables.table(f"{topic_name}-{number}") for number in range(4)]
    await asyncio.gather(*(each.start() for each in many))
    await asyncio.gather(*(each.put("a", each.topic.encode(), based_on=None) for each in many))
    assert [each.rows()["a"].value for each in many] == [each.topic.encode() for each in many]
    assert tables.table(many[0].topic) is many[0]


async def test_watchers_hear_what_other_processes_write(begin: Begin, table: LogTable) -> None:
    heard: list[tuple[str, Row | None]] = []
    other = (await begin()).tables.table(table.topic)
    await other.start()
    leave = other.watch(lambda key, row: heard.append((key, row)))
    row = await table.put("a", b"1", based_on=None)
    await table.put("a", None, based_on=row.version)
    await until(lambda: len(heard) == 2)
    assert heard == [("a", row), ("a", None)]
    leave()


async def test_of_writers_in_three_processes_exactly_one_wins_and_all_agree(begin: Begin, topic_name: str) -> None:
    replicas = [(await begin()).tables.table(topic_name) for _ in range(3)]
    for replica in replicas:
        await replica.start()
    version: int | None = None
    for turn in range(15):
        results = await asyncio.gather(
            *(replica.put("a", b"%d-%d" % (turn, n), based_on=version) for n, replica in enumerate(replicas)),
            return_exceptions=True,
        )
        (winner,) = [result for result in results if isinstance(result, Row)]
        assert [type(result) for result in results].count(VersionConflict) == 2
        await until(lambda winner=winner: all(replica.get("a") == winner for replica in replicas))  # type: ignore[misc]  # bound now
        version = winner.version
    await until(lambda: not any(replica._replica.rule.is_unsettled("a") for replica in replicas))


async def test_writers_of_many_keys_and_processes_lose_no_update(begin: Begin, topic_name: str) -> None:
    """Each counts up shared counters by compare-and-set, trying again on conflict: no increment is lost."""
    replicas = [(await begin()).tables.table(topic_name) for _ in range(3)]
    for replica in replicas:
        await replica.start()

    async def count(replica: LogTable, key: str, times: int) -> None:
        for _ in range(times):
            while True:
                row = replica.get(key)
                try:
                    await replica.put(
                        key, b"%d" % (int(row.value) + 1 if row else 1), based_on=row.version if row else None
                    )
                    break
                except VersionConflict:
                    continue

    await asyncio.gather(*(count(replica, key, 5) for replica in replicas for key in "abc"))
    expected = dict.fromkeys("abc", b"15")
    await until(
        lambda: all({key: row.value for key, row in replica.rows().items()} == expected for replica in replicas)
    )
    assert replicas[0].rows() == replicas[1].rows() == replicas[2].rows()


async def test_conflicts_inside_one_process_are_found_before_anything_is_written(table: LogTable) -> None:
    results = await asyncio.gather(
        *(table.put("a", b"%d" % n, based_on=None) for n in range(5)), return_exceptions=True
    )
    assert [type(result) for result in results] == [Row] + [VersionConflict] * 4
    assert (await table.put("b", b"", based_on=None)).version == 1


async def test_an_operators_own_record_and_tombstone_count(real: Cluster, table: LogTable) -> None:
    by_hand = AIOKafkaProducer(bootstrap_servers=real.bootstrap_servers)
    await by_hand.start()
    try:
        await table.put("a", b"1", based_on=None)
        await by_hand.send_and_wait(table.topic, key=b"a", value=b"by hand", partition=0)
        await until(lambda: table.get("a") == Row(b"by hand", 1))
        await table.put("a", b"2", based_on=1)
        await by_hand.send_and_wait(table.topic, key=b"a", value=None, partition=0)
        await until(lambda: table.get("a") is None)
        await table.put("a", b"3", based_on=None)
    finally:
        await by_hand.stop()


async def test_a_topic_that_would_lose_rows_is_refused(begin: Begin, topic_name: str) -> None:
    process = await begin()
    for name, partitions, policy in (("many", 2, "compact"), ("deleted", 1, "delete"), ("both", 1, "compact,delete")):
        topic = f"{topic_name}-{name}"
        await process.admin.create(topic, partitions, {"cleanup.policy": policy})
        with pytest.raises(DeclarationInvalid, match="compact"):
            await process.tables.table(topic).start()


async def test_the_topic_it_makes_is_compacted_and_leaves_time_to_repair(begin: Begin, table: LogTable) -> None:
    config = await (await begin()).admin.topic_config(table.topic)
    assert (config["cleanup.policy"], config["min.compaction.lag.ms"]) == ("compact", "3600000")
    assert config["message.timestamp.type"] == "LogAppendTime"


async def test_without_a_broker_a_start_fails_in_time() -> None:
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", request_timeout_s=1.0)
    producer, admin = Producer(settings), Admin(settings)
    await producer.start()
    process = Process(producer, admin, Tables(settings, producer, admin))
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        await process.tables.table("t").start()
    assert time.monotonic() - began < 3.0
    await process.stop()
