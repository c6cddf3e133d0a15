"""Pointers and records that others take away: never guessed at, never passed over in silence."""

from __future__ import annotations

import time

import pytest

from pipeline.delivery.pointer import Pointer
from pipeline.errors import Conflict
from pipeline.names import events_topic_of
from tests.e2e.operations import TOOL_SETTINGS, delete_records, group, reset, subscribe, until_lag_0, until_state
from tests.e2e.rig import Rig
from tests.sink import Sink

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]


async def test_a_newer_owner_fences_this_one_which_sends_and_commits_nothing_more(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 1)
    rig.append(topic_name, 5, keys=1)
    newer = Pointer(epoch=int(time.time() * 1000) + 10**9, owner="another", offset=2)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        await until_lag_0(node)
        await node.offsets.commit(group(rig), {(topic_name, 0): (newer.offset, newer.metadata())})
        (line,) = await rig.table_lines("audit", 1, what="fenced")
        (told,) = await rig.lines(events_topic_of(rig.namespace), 1, subscription="hook", worker=line["who"])
        rig.append(topic_name, 5, keys=1, first=5)
        committed = await node.offsets.read(group(rig), [(topic_name, 0)])
        assert committed[topic_name, 0] == (2, newer.metadata())
    assert (told["topic"], told["partition"]) == (topic_name, 0)
    assert [got.seq for got in sink.acked] == list(range(5))


async def test_the_highest_pointers_lost_while_no_worker_ran_are_not_taken_for_new_partitions(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 3)
    rig.append(topic_name, 30, keys=9)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        await until_lag_0(node)
    words = ("--group", group(rig), "--delete-offsets", "--topic", f"{topic_name}:1,2", *TOOL_SETTINGS)
    assert "Successful" in await rig.tool("consumer-groups", *words)
    async with rig.worker() as node:
        reason = await until_state(node, "blocked")
        assert reason == f"pointer-missing: {topic_name}/1, {topic_name}/2"
        with pytest.raises(Conflict, match="no committed offset"):
            await node.subscriptions.resume("hook")
        await reset(rig, f"{topic_name}:1,2", "--to-latest")
        await node.subscriptions.resume("hook")
        await until_lag_0(node)
        facts = {"subscription": "hook", "reason": reason}
        told = await rig.lines(events_topic_of(rig.namespace), 2, **facts)
    assert len(told) == 2, "blocked, and pointer-missing"
    assert (len(sink.acked), sink.duplicates) == (30, 0)


async def test_records_deleted_under_keys_that_wait_are_delivered_from_memory_or_are_a_gap(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 1)
    rig.append(topic_name, 12, keys=2)
    sink.answer = lambda _: (503, 0.0)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink, retry={"schedule_s": [0.5] * 20})
        await sink.until(lambda s: len(s.got) >= 2, 10)
        delete_records(rig, topic_name, 0, 7)
        sink.answer = lambda _: (204, 0.0)
        await until_lag_0(node)
        await rig.table_lines("audit", 1, what="subscription-created")
        lines = await rig.table_lines("audit", 0, what="gap")
    missing = {offset for line in lines for offset in range(line["first"], line["until"])}
    delivered = {int(got.webhook_id.rpartition("_")[2]) for got in sink.acked}
    assert missing | delivered == set(range(12))
    assert missing <= set(range(7))
    assert sum(line["until"] - line["first"] for line in lines) == len(missing), "nothing is told twice"
