"""Many subscriptions on one topic read it together, each gets exactly its own, and nobody waits for who is full."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from pipeline.wiring import Node
from tests.broker_source import Kafka
from tests.e2e.operations import until_lag_0
from tests.e2e.rig import Rig, until
from tests.sink import Got, Sink

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]

PATIENT = {"schedule_s": [0.05] * 60}


def produce(rig: Rig, topic: str, count: int, *, groups: int, first: int = 0) -> None:
    """``count`` events for each of ``groups``, three keys in each; a group is known by header, type and data."""
    producer = Producer({"bootstrap.servers": rig.servers, "linger.ms": 5, "enable.idempotence": True})
    for number in range(first, first + count):
        for group in range(groups):
            key = f"g{group}-k{number % 3}"
            value = json.dumps({"key": key, "seq": number // 3, "of": {"groups": [group, str(group)]}})
            event = {"ce_specversion": "1.0", "ce_id": f"{group}-{number}", "ce_source": "/s", "ce_type": f"t.{group}."}
            headers = {**event, "group": f"{group}", "content-type": "application/json"}
            producer.produce(topic, value, key, headers=[(name, text.encode()) for name, text in headers.items()])
        producer.poll(0)
    assert producer.flush(30) == 0


def filter_of(group: int) -> dict[str, Any]:
    """One of the ways to want a group's events."""
    ways: list[dict[str, Any]] = [
        {"exact": {"type": f"t.{group}."}},
        {"exact": {"h.group": f"{group}"}},
        {"exact": {"$.of.groups[0]": f"{group}", "source": "/s"}},
        {"prefix": {"type": f"t.{group}."}},
        {"all": [{"suffix": {"type": f".{group}."}}, {"not": {"exact": {"$.of.groups[-1]": "none"}}}]},
    ]
    return ways[group % len(ways)]


async def subscribe_all(node: Node, topic: str, sink: Sink, groups: int) -> None:
    async def put(group: int) -> None:
        endpoint = {"url": sink.url, "headers": {"x-group": f"{group}"}}
        declared = {"topics": [topic], "endpoint": endpoint, "filters": [filter_of(group)], "retry": PATIENT}
        await node.subscriptions.put(f"s{group}", {**declared, "start": "earliest"})

    await asyncio.gather(*(put(group) for group in range(groups)))


def shared(node: Node) -> Counter[str]:
    """By group, how many partitions are read together."""
    assert node.worker is not None
    return Counter({str(one["group"]).rpartition(".")[2]: int(str(one["shared"])) for one in node.worker.status()})


def misdelivered(sink: Sink) -> list[str]:
    return [got.key for got in sink.got if not got.key.startswith(f"g{got.headers['x-group']}-")]


async def test_fifty_filtered_subscriptions_each_get_exactly_their_own(rig: Rig, topic_name: str, sink: Sink) -> None:
    groups = 50
    rig.make_topic(topic_name, 3)
    async with rig.node() as node:
        await subscribe_all(node, topic_name, sink, groups)
    produce(rig, topic_name, 6, groups=groups)
    async with rig.worker() as node:
        await sink.until(lambda s: len(s.ids) == 6 * groups, 20)

        async def together() -> bool:
            return list(shared(node).values()) == [3] * groups

        await until(together, 15, "all read all partitions together")
        # Beside them one that nothing is for: it is never given anything, and has no lag all the same.
        await node.subscriptions.put(
            "nothing", {"topics": [topic_name], "endpoint": {"url": sink.url}, "filters": [{"exact": {"type": "no"}}]}
        )
        produce(rig, topic_name, 12, groups=groups, first=6)
        await sink.until(lambda s: len(s.ids) == 18 * groups, 20)
        for name in ("s0", "s1", "s2", "s3", "s4", "s49", "nothing"):
            await until_lag_0(node, name)
    assert (misdelivered(sink), sink.violations, sink.duplicates) == ([], [], 0)
    taken: defaultdict[str, int] = defaultdict(int)
    for got in sink.acked:
        taken[got.headers["x-group"]] += 1
    assert taken == {f"{group}": 18 for group in range(groups)}


async def test_one_that_is_full_reads_alone_delays_nobody_and_comes_back(
    tmp_path: Path, kafka: Kafka, topic_name: str, sink: Sink
) -> None:
    rig = Rig(tmp_path, kafka.bootstrap_servers, topic_name[-20:], check_s=1, positions_max=40, take_records_max=20)
    rig.make_topic(topic_name, 2)
    down = True

    def answer(got: Got) -> tuple[int, float]:
        return (503 if down and got.headers["x-group"] == "0" else 204), 0.0

    sink.answer = answer
    async with rig.worker() as node:
        await subscribe_all(node, topic_name, sink, 3)

        async def together() -> bool:
            return list(shared(node).values()) == [2, 2, 2]

        await until(together, 15, "all read together")
        produce(rig, topic_name, 150, groups=3)
        await sink.until(lambda s: len(s.ids) == 300, 20)
        # The shared reading is at its end, as who has no lag shows; whoever is full is not with it.
        await until_lag_0(node, "s1")
        assert (shared(node)["s0"], shared(node)["s1"], shared(node)["s2"]) == (0, 2, 2)
        down = False
        produce(rig, topic_name, 30, groups=3, first=150)
        await sink.until(lambda s: len(s.ids) == 540, 30)
        await until(together, 15, "it reads with the others again")
        produce(rig, topic_name, 30, groups=3, first=180)
        await sink.until(lambda s: len(s.ids) == 630, 20)
        await until_lag_0(node, "s0")
    assert (misdelivered(sink), sink.violations, sink.duplicates) == ([], [], 0)
