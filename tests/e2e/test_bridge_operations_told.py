"""What operators are told: events a webhook subscribes to, attempts searched, keys that wait, lag and headroom."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest
from confluent_kafka import Producer

from pipeline.names import events_topic_of, state_topic_of
from tests.e2e.operations import letters, produce, subscribe, until_lag_0
from tests.e2e.rig import Rig, until
from tests.sink import Got, Sink

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]

PREFIX = "pipeline.subscription."


async def test_a_webhook_subscribes_to_operational_events_like_to_any_topic(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 1)
    sink.answer = lambda got: (400 if got.body == b"poison" else 204, 0.0)

    def ops_answers(got: Got) -> tuple[int, float]:
        told.append((got.headers["ce-type"].removeprefix(PREFIX), got.headers["ce-subject"], json.loads(got.body)))
        return (400 if len(told) == 1 else 204, 0.0)

    told: list[tuple[str, str, dict[str, object]]] = []
    async with Sink(ops_answers) as ops, rig.worker() as node:
        reject = {"reject_status": [400]}
        await subscribe(node, events_topic_of(rig.namespace), ops, name="ops", retry=reject)
        await subscribe(node, topic_name, sink, retry=reject)
        produce(rig, topic_name, b"poison", b"k")
        await until_lag_0(node)
        await node.subscriptions.pause("hook")
        await node.subscriptions.resume("hook")
        await node.subscriptions.delete("hook")
        await ops.until(lambda _: [what for what, _, _ in told].count("deleted") == 1, 15)
    whats = [what for what, _, _ in told]
    assert whats == ["created", "dead-lettered", "paused", "resumed", "deleted"]
    assert {subject for _, subject, _ in told} == {"hook"}, "its own dead letter is no event of it"
    assert len(letters(rig, "ops")) == 1
    _, _, letter = told[1]
    assert (letter["topic"], letter["offset"], letter["reason"]) == (topic_name, 0, "rejected_4xx")
    assert ops.got[0].headers["ce-source"] == f"/{rig.namespace}/pipeline"


async def test_attempts_are_found_newest_first_whichever_release_wrote_them(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 1)
    sink.answer = lambda got: (503 if len(sink.got) == 1 else 204, 0.0)
    old = {"subscription": "hook", "topic": topic_name, "partition": 0, "offset": 9, "id": "evt_old_0_9", "attempt": 1}
    old |= {"status": 204, "verdict": "delivered", "ms": 1, "at": 1_700_000_000_000}
    async with rig.worker() as node:
        produce(rig, state_topic_of(rig.namespace, "attempts"), json.dumps(old).encode(), b"hook")
        await subscribe(node, topic_name, sink)
        produce(rig, topic_name, b"a", b"k", {"ce_specversion": b"1.0", "ce_id": b"e-1"})
        await until_lag_0(node)

        async def are_there() -> bool:
            return len((await node.attempts.search("hook")).attempts) == 3

        await until(are_there, 10, "two attempts and the old one")
        page = await node.attempts.search("hook", limit=2)
        assert [(line.attempt, line.status) for line in page.attempts] == [(2, 204), (1, 503)]
        rest = await node.attempts.search("hook", limit=2, from_=page.next)
        assert ([line.id for line in rest.attempts], rest.next) == (["evt_old_0_9"], None)
        assert len((await node.attempts.search("hook", event="e-1")).attempts) == 2
        assert len((await node.attempts.search("hook", event="e-1", status="5xx")).attempts) == 1
        assert (await node.attempts.search("nobody")).attempts == []


@pytest.mark.parametrize("policy", ["park", "block"])
async def test_a_key_that_waits_is_a_row_and_goes_on_when_the_row_is_deleted(
    rig: Rig, topic_name: str, sink: Sink, policy: str
) -> None:
    rig.make_topic(topic_name, 1)
    key = b"L" * 5_000
    sink.answer = lambda got: (503 if got.body == b"first" else 204, 0.0)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink, on_dead_letter=policy, retry={"schedule_s": [0.05]})
        produce(rig, topic_name, b"first", key)
        produce(rig, topic_name, b"second", key)

        async def waits() -> bool:
            return len(node.table("parked").rows()) == 1

        await until(waits, 10, "a row")
        if policy == "park":
            await until_lag_0(node)
    sink.answer = lambda _: (204, 0.0)
    async with rig.worker() as node:
        produce(rig, topic_name, b"other", b"k")
        await sink.until(lambda s: [got.body for got in s.acked] == [b"other"], 10)
        ((name, row),) = node.table("parked").rows().items()
        await node.table("parked").put(name, None, based_on=row.version)
        produce(rig, topic_name, b"third", key)
        await until_lag_0(node)
    expected = [b"other", b"third"] if policy == "park" else [b"other", b"first", b"second", b"third"]
    assert [got.body for got in sink.acked] == expected


async def test_lag_and_headroom_are_metrics_and_low_headroom_is_told(rig: Rig, topic_name: str, sink: Sink) -> None:
    rig = Rig(rig.folder, rig.servers, rig.namespace, check_s=1, lag_check_s=0.5)
    rig.make_topic(topic_name, 1, {"cleanup.policy": "delete", "retention.ms": "100000000"})
    producer = Producer({"bootstrap.servers": rig.servers})
    for number in range(3):
        producer.produce(topic_name, str(number), "k", timestamp=int(time.time() * 1000) - 60_000_000)
    assert producer.flush(20) == 0
    sink.answer = lambda _: (503, 0.0)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink, retry={"schedule_s": [60.0]})
        (told,) = await rig.lines(events_topic_of(rig.namespace), 1, topic=topic_name, lag=3)
        assert 0.39 < told["ratio"] <= 0.4
        labels = f'{{group="{rig.namespace}.hook",partition="0",topic="{topic_name}"}}'
        text = node.metrics.text().decode()
        assert f"kafka_consumergroup_group_lag{labels} 3.0" in text
        assert f"kafka_consumergroup_group_offset{labels} 0.0" in text
        assert 'pipeline_attempts_total{kind="live",outcome="5xx",subscription="hook"} 1.0' in text
        assert 'pipeline_headroom_low_total{kind="live",subscription="hook"} 1.0' in text
        (lag_s,) = (line for line in text.splitlines() if line.startswith("kafka_consumergroup_group_lag_seconds{"))
        assert 60_000 <= float(lag_s.rpartition(" ")[2]) < 60_100


async def test_what_was_delivered_above_the_pointer_is_known_after_a_restart_however_much_it_is(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 1)
    count = 8_000
    rig.append(topic_name, count, keys=count)
    sink.answer = lambda got: (503 if int(got.key[1:]) % 2 else 204, 0.0)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink, retry={"schedule_s": [600.0, 600.0]}, in_flight_max=256)
        await sink.until(lambda s: len(s.acked) == count // 2 and len(s.got) >= count, 30)
    spills = rig.records(state_topic_of(rig.namespace, "ackmaps"))
    assert spills and max(len(spill.value() or b"") for spill in spills) > 8_000
    sink.answer = lambda _: (204, 0.0)
    arrived = len(sink.got)
    async with rig.worker() as node:
        await until_lag_0(node, timeout_s=30)
    again = sink.got[arrived:]
    assert (len(sink.acked), sink.duplicates) == (count, 0)
    assert len(again) == count // 2, "nothing that was delivered is sent again"
    before = Counter(got.key for got in sink.got[:arrived])
    assert all(int(got.headers["webhook-attempt"]) == before[got.key] + 1 for got in again), "attempts go on counting"
