"""The committed offset, as stock tools and other clients see and move it, and logs with holes in them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition as TheirPartition
from confluent_kafka import Producer
from confluent_kafka.cimpl import NewPartitions

from pipeline.errors import Conflict
from tests.broker_source import Kafka
from tests.e2e.operations import (
    TOOL_SETTINGS,
    delete_offsets,
    delete_records,
    group,
    letters,
    produce,
    reset,
    subscribe,
    until_lag_0,
    until_state,
)
from tests.e2e.rig import Rig, until
from tests.sink import Sink

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]


async def test_the_cursor_is_what_stock_tools_and_other_clients_see(rig: Rig, topic_name: str, sink: Sink) -> None:
    rig.make_topic(topic_name, 2)
    rig.append(topic_name, 40, keys=8)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        await until_lag_0(node)
        printed = await rig.tool("consumer-groups", "--describe", "--group", group(rig), *TOOL_SETTINGS)
        rows = re.findall(rf"{re.escape(topic_name)} +(\d) +(\d+) +(\d+) +(\d+) ", printed)
        assert [row[0] for row in sorted(rows)] == ["0", "1"], printed
        assert all((committed, lag) == (end, "0") for _, committed, end, lag in rows), printed
        client = AIOKafkaConsumer(
            bootstrap_servers=rig.servers, group_id=group(rig), enable_auto_commit=False, auto_offset_reset="none"
        )
        await client.start()
        try:
            seen = [await client.committed(TheirPartition(topic_name, number)) for number in (0, 1)]
        finally:
            await client.stop()
    assert sum(seen) == 40


@pytest.mark.slow
async def test_a_live_reset_by_the_stock_tool_wins_backwards_and_forwards(
    tmp_path: Path, kafka: Kafka, topic_name: str, sink: Sink
) -> None:
    rig = Rig(tmp_path, kafka.bootstrap_servers, topic_name[-20:].strip("-"))  # as it is set for everybody
    rig.make_topic(topic_name, 1)
    rig.append(topic_name, 20, keys=4)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        await until_lag_0(node)
        await reset(rig, topic_name, "--to-earliest")
        await sink.until(lambda s: len(s.acked) == 40, 20)
        await until_lag_0(node)
        sink.answer = lambda _: (503, 0.0)
        rig.append(topic_name, 20, keys=4, first=5)
        await sink.until(lambda s: len(s.got) > 40, 20)
        await reset(rig, topic_name, "--to-offset", "36")
        sink.answer = lambda _: (204, 0.0)
        await until_lag_0(node)
        moves = await rig.table_lines("audit", 2, what="cursor-moved")
    assert [move["to"] for move in moves] == [0, 36]
    delivered = [int(got.webhook_id.rpartition("_")[2]) for got in sink.acked]
    assert sorted(delivered[:40]) == sorted([*range(20)] * 2)
    # The endpoint came back before or after the reset was seen: what lies behind it may have been sent, never twice.
    assert set(range(36, 40)) <= set(delivered[40:])
    assert sink.violations == [] or all(" before " in told for told in sink.violations)


async def test_a_reset_while_paused_is_exact(rig: Rig, topic_name: str, sink: Sink) -> None:
    rig.make_topic(topic_name, 1)
    rig.append(topic_name, 30, keys=3)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        await until_lag_0(node)
        await node.subscriptions.pause("hook")
        rig.append(topic_name, 6, keys=3, first=10)
        await reset(rig, topic_name, "--shift-by", "-10")
        assert await rig.committed("hook", topic_name, 1) == {0: 20}
        assert len(sink.got) == 30
        await node.subscriptions.resume("hook")
        await until_lag_0(node)
    assert [int(got.webhook_id.rpartition("_")[2]) for got in sink.acked[30:]] == list(range(20, 36))


async def test_lag_reaches_0_over_transactions_aborts_and_empty_tails(
    rig: Rig, topic_name: str, sink: Sink, figure: Callable[[str], None]
) -> None:
    rig.make_topic(topic_name, 1)
    producer = Producer({"bootstrap.servers": rig.servers, "transactional.id": topic_name})
    producer.init_transactions(20)

    def transaction(texts: list[str], *, commits: bool) -> None:
        producer.begin_transaction()
        for text in texts:
            producer.produce(topic_name, text, "k")
        producer.flush(20)
        producer.commit_transaction(20) if commits else producer.abort_transaction(20)

    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        await asyncio.to_thread(transaction, ["a", "b"], commits=True)
        await asyncio.to_thread(transaction, ["lost"], commits=False)
        await asyncio.to_thread(transaction, ["c"], commits=True)
        await until_lag_0(node)
        await asyncio.to_thread(transaction, ["lost", "too"], commits=False)
        ended_at = time.monotonic()
        await until_lag_0(node)
        figure(f"lag 0 {time.monotonic() - ended_at:.2f} s after an aborted transaction at the end")
        assert await rig.committed("hook", topic_name, 1) == {0: 10}
    assert [got.body for got in sink.got] == [b"a", b"b", b"c"]


async def test_lag_reaches_0_over_what_compaction_took(
    rig: Rig, topic_name: str, sink: Sink, figure: Callable[[str], None]
) -> None:
    compacting = {
        "cleanup.policy": "compact",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "100",
    }
    rig.make_topic(topic_name, 1, compacting)
    for number in range(60):
        produce(rig, topic_name, str(number).encode(), f"k{number % 3}".encode())

    async def is_compacted() -> bool:
        await asyncio.sleep(0.2)
        produce(rig, topic_name, b"roll", b"roll")
        return len(await asyncio.to_thread(rig.records, topic_name)) < 40

    await until(is_compacted, 40, "compaction")
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        begun_at = time.monotonic()
        await until_lag_0(node)
        figure(f"{len(sink.got)} records left, lag 0 in {time.monotonic() - begun_at:.2f} s")
    bodies = [got.body for got in sink.got]
    assert {b"57", b"58", b"59"} <= set(bodies)
    assert len(bodies) == len(sink.ids)


async def test_a_pointer_deleted_while_paused_is_never_guessed(rig: Rig, topic_name: str, sink: Sink) -> None:
    rig.make_topic(topic_name, 2)
    rig.append(topic_name, 20, keys=4)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        await until_lag_0(node)
        await node.subscriptions.pause("hook")
        await delete_offsets(rig, topic_name)
        await node.subscriptions.resume("hook")
        assert "pointer-missing" in await until_state(node, "blocked")
        with pytest.raises(Conflict, match="no committed offset"):
            await node.subscriptions.resume("hook")
        await reset(rig, topic_name, "--to-latest")
        await node.subscriptions.resume("hook")
        rig.append(topic_name, 4, keys=4, first=5)
        await sink.until(lambda s: len(s.acked) == 24, 20)
    assert sink.duplicates == 0


async def test_a_pointer_deleted_under_a_running_worker_is_written_again(rig: Rig, topic_name: str, sink: Sink) -> None:
    rig.make_topic(topic_name, 1)
    rig.append(topic_name, 20, keys=4)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        await until_lag_0(node)
        await delete_offsets(rig, topic_name)
        lines = await rig.table_lines("audit", 1, what="pointer-rewritten")
        await until_lag_0(node)
    assert (lines[0]["topic"], lines[0]["partition"], sink.duplicates) == (topic_name, 0, 0)


async def test_a_partition_added_later_is_delivered_from_its_beginning(rig: Rig, topic_name: str, sink: Sink) -> None:
    rig.make_topic(topic_name, 1)
    rig.append(topic_name, 5, keys=5)
    sink.answer = lambda got: (400 if got.body == b"poison" else 204, 0.0)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink, retry={"reject_status": [400]})
        await until_lag_0(node)
        admin = rig.admin
        admin.create_partitions([NewPartitions(topic_name, 3)])[topic_name].result(20)
        producer = Producer({"bootstrap.servers": rig.servers})
        for number in range(6):
            producer.produce(topic_name, b"poison" if number == 5 else b"{}", f"new{number}", partition=number % 3)
        assert producer.flush(20) == 0
        await sink.until(lambda s: len(s.got) == 11, 30)
        await until_lag_0(node)
    assert len(sink.ids) == 10
    # Its dead letter lies in the partition of its record, which the dead-letter topic had to be given.
    assert [letter.partition() for letter in letters(rig)] == [2]


async def test_a_topic_deleted_and_made_again_stops_its_subscription_and_no_other(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    other = f"{topic_name}-other"
    rig.make_topic(topic_name, 1)
    rig.make_topic(other, 1)
    rig.append(topic_name, 10, keys=2)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        await subscribe(node, other, sink, name="other")
        await sink.until(lambda s: len(s.ids) == 10, 20)
        await until_lag_0(node)
        await node.admin.delete(topic_name)
        rig.make_topic(topic_name, 1)
        rig.append(topic_name, 20, keys=2)
        reason = await until_state(node, "blocked")
        assert reason.startswith(("topic-recreated", "topic-not-found", "position-beyond-end")), reason
        rig.append(other, 4, keys=2, first=5)
        await sink.until(lambda s: len({got.key + str(got.seq) for got in s.acked}) >= 14, 20)
        assert node.subscriptions.get("other")[0].state == "active"
        await rig.table_lines("audit", 1, what="blocked")


async def test_records_deleted_before_delivery_are_a_gap_with_its_exact_range(
    rig: Rig, topic_name: str, sink: Sink, figure: Callable[[str], None]
) -> None:
    rig.make_topic(topic_name, 1)
    rig.append(topic_name, 10, keys=1)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        await until_lag_0(node)
    rig.append(topic_name, 40, keys=1, first=10)
    delete_records(rig, topic_name, 0, 33)
    async with rig.worker() as node:
        begun_at = time.monotonic()
        await until_lag_0(node)
        figure(f"23 of 23 offsets named, lag 0 {time.monotonic() - begun_at:.2f} s after the worker began")
        (gap,) = await rig.table_lines("audit", 1, what="gap")
        assert f'pipeline_gap_offsets_total{{topic="{topic_name}"}} 23.0' in node.metrics.text().decode()
    assert (gap["name"], gap["topic"], gap["partition"]) == (group(rig), topic_name, 0)
    assert (gap["first"], gap["until"]) == (10, 33)
    assert [got.seq for got in sink.acked] == [*range(10), *range(33, 50)]
