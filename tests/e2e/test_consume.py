"""Coroutines as endpoints, on a real Kafka: order per key, retries, dead letters, offsets, several processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message

from pipeline.consume import Consumer, HandlerStopped, Incoming, Reject, RetryLater, RetryPolicy
from pipeline.errors import InputError
from pipeline.verify import Appended, Received, Sent, check, read_history
from tests.broker_source import Kafka
from tests.e2e.rig import Rig, until

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]
TWICE = RetryPolicy(schedule_s=(5.0,))


@pytest.fixture
def name(topic_name: str) -> str:
    return "c" + topic_name[-20:].strip("-")


@pytest.fixture
def made(tmp_path: Path, kafka: Kafka, topic_name: str, name: str) -> Rig:
    rig = Rig(tmp_path, kafka.bootstrap_servers, name)
    rig.make_topic(topic_name, 4)
    return rig


def consumer_of(rig: Rig) -> Consumer:
    return Consumer(rig.namespace, bootstrap_servers=rig.servers, session_timeout_s=6, drain_s=2, instant=True)


def headers_of(message: Message) -> dict[str, str]:
    headers: Any = message.headers() or []
    return {key: (value or b"").decode() for key, value in headers}


async def test_keys_keep_their_order_while_others_go_on(made: Rig, topic_name: str) -> None:
    consumer = consumer_of(made)
    seen: dict[bytes, list[int]] = defaultdict(list)
    under_way, most = 0, 0

    @consumer.on(topic_name, name="orders", concurrency=20)
    async def take(event: Incoming) -> None:
        nonlocal under_way, most
        under_way, most = under_way + 1, max(most, under_way + 1)
        await asyncio.sleep(0.002)
        seen[event.key or b""].append(event.data_json()["seq"])
        under_way -= 1

    made.append(topic_name, 1000, keys=50)
    async with consumer:

        async def all_came() -> bool:
            return sum(map(len, seen.values())) >= 1000

        await until(all_came, 20, "1000 events")
        assert consumer.is_healthy()
    assert all(found == list(range(20)) for found in seen.values())
    assert 1 < most <= 20
    assert not consumer.is_healthy()
    described = await made.tool("kafka-consumer-groups", "--describe", "--group", f"{made.namespace}.orders")
    committed = [line.split()[3:6] for line in described.splitlines() if topic_name in line]
    assert sum(int(offset) for offset, _, _ in committed) == 1000
    assert {lag for _, _, lag in committed} == {"0"}


async def test_what_a_handler_raises_decides_the_events_fate(made: Rig, topic_name: str) -> None:
    consumer, attempts = consumer_of(made), defaultdict[str, int](int)

    @consumer.on(topic_name, name="orders", retry=TWICE)
    async def take(event: Incoming) -> None:
        key = (event.key or b"").decode()
        attempts[key] += 1
        assert event.attempt == attempts[key]
        if key == "k0":
            raise Reject("no such customer")
        if key == "k1":
            raise ValueError("broken")
        if key == "k2" and event.attempt == 1:
            raise RetryLater(30)
        if key == "k3" and event.attempt == 1:
            raise KeyError("once")

    made.append(topic_name, 5, keys=5)
    async with consumer:
        dead_letters = f"{made.namespace}.orders.dlq"

        async def both_lie_there() -> bool:
            return len(made.records(dead_letters)) == 2 and len(attempts) == 5

        await until(both_lie_there, 20, "two dead letters")
    assert attempts == {"k0": 1, "k1": 2, "k2": 2, "k3": 2, "k4": 1}
    buried = {(message.key() or b"").decode(): headers_of(message) for message in made.records(dead_letters)}
    assert buried.keys() == {"k0", "k1"}
    assert buried["k0"]["dlq.reason"] == "rejected_4xx"
    assert "no such customer" in buried["k0"]["dlq.error"]
    assert (buried["k1"]["dlq.reason"], buried["k1"]["dlq.attempts"]) == ("exhausted", "2")


async def test_two_handlers_have_two_cursors(made: Rig, topic_name: str) -> None:
    consumer, got = consumer_of(made), defaultdict[str, int](int)

    @consumer.on(topic_name, name="all")
    async def take(event: Incoming) -> None:
        got["all"] += 1

    @consumer.on(topic_name, name="timid", timeout_s=0.05, retry=RetryPolicy(schedule_s=()))
    async def hang(event: Incoming) -> None:
        got["timid"] += 1
        await asyncio.sleep(60)

    made.append(topic_name, 20, keys=20)
    async with consumer:

        async def done() -> bool:
            return got["all"] == 20 and len(made.records(f"{made.namespace}.timid.dlq")) == 20

        await until(done, 20, "20 handled, 20 timed out")
    assert "timeout" in headers_of(made.records(f"{made.namespace}.timid.dlq")[0])["dlq.error"]


@pytest.mark.slow
async def test_operators_pause_redrive_and_reset_a_service_as_they_do_a_bridge(made: Rig, topic_name: str) -> None:
    consumer, runs, mended = consumer_of(made), list[tuple[str | None, int]](), False

    @consumer.on(topic_name, name="orders")
    async def take(event: Incoming) -> None:
        if not mended and event.key == b"k1":
            raise Reject("not yet")
        runs.append((event.run_id, event.data_json()["seq"]))

    def handled(count: int) -> Callable[[], Awaitable[bool]]:
        async def enough() -> bool:
            return len(runs) >= count

        return enough

    made.append(topic_name, 10, keys=5)
    async with consumer, made.node() as node:
        await until(handled(8), 20, "8 handled, 2 buried")
        mended = True
        begun = await node.redrives.create(await node.redrives.plan("orders"))
        await until(handled(10), 20, "2 redriven")
        assert {run_id for run_id, _ in runs[8:]} == {begun.run.id}

        async def counted() -> bool:
            progress = await node.runs.progress(node.runs.get("orders", "redrive", begun.run.id).run)
            return (progress.done, progress.delivered, progress.skipped) == (2, 2, 0)

        await until(counted, 10, "the redrive tells what it delivered")
        await node.subscriptions.pause("orders")
        made.append(topic_name, 5, keys=5, first=2)
        await node.subscriptions.resume("orders")
        await until(handled(15), 20, "5 more")
        group = ("--group", f"{made.namespace}.orders", "--topic", topic_name)
        await made.tool("kafka-consumer-groups", *group, "--reset-offsets", "--to-earliest", "--execute")
        await until(handled(30), 20, "all of them again")


async def test_a_topic_that_is_missing_is_said_at_the_start(made: Rig) -> None:
    consumer = consumer_of(made)

    @consumer.on("no-such-topic")
    async def take(event: Incoming) -> None: ...

    with pytest.raises(InputError, match="no-such-topic"):
        await consumer.start()


async def test_who_waits_hears_that_a_handler_cannot_go_on(made: Rig, topic_name: str) -> None:
    consumer = consumer_of(made)

    @consumer.on(topic_name, name="orders")
    async def take(event: Incoming) -> None: ...

    async with consumer:
        admin = made.admin
        admin.delete_topics([topic_name])[topic_name].result(20)
        with pytest.raises(HandlerStopped, match=r"orders is blocked: .*topic"):
            await asyncio.wait_for(consumer.wait(), 30)
        assert not consumer.is_healthy()


SERVICE = """
import asyncio, json, os, sys
from pipeline.consume import Consumer
consumer = Consumer(sys.argv[1], bootstrap_servers=sys.argv[2], session_timeout_s=6, drain_s=3)
@consumer.on(sys.argv[3], name="orders", concurrency=16)
async def take(event):
    await asyncio.sleep(0.008)
    data = event.data_json()
    with open(sys.argv[4], "a") as file:
        file.write(json.dumps([os.getpid(), data["key"], data["seq"]]) + chr(10))
consumer.run()
"""


def process(rig: Rig, topic: str, out: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", SERVICE, rig.namespace, rig.servers, topic, str(out)]
    with (rig.folder / "service.log").open("ab") as log:
        return subprocess.Popen(words, stderr=log, env={**os.environ, "PYTHONPATH": str(Path.cwd())})


class Services:
    """Two processes of one service; what they handled lies in a file, a line each."""

    def __init__(self, rig: Rig, topic: str) -> None:
        self._rig, self._topic, self._out, self.turns = rig, topic, rig.folder / "out.jsonl", 0
        self._out.touch()
        self.first, self.second = process(rig, topic, self._out), process(rig, topic, self._out)

    def lines(self) -> list[tuple[int, str, int]]:
        return [tuple(json.loads(line)) for line in self._out.read_text().split("\n")[:-1]]

    async def by_both(self) -> bool:
        """However long the second takes to join, there is work for it."""
        self._rig.append(self._topic, 400, keys=40, first=10 * self.turns)
        self.turns += 1
        return len({pid for pid, _, _ in self.lines()}) == 2

    async def all_done(self) -> bool:
        return len({(key, seq) for _, key, seq in self.lines()}) >= 400 * self.turns

    async def end(self) -> None:
        self.first.kill()
        self.first.wait(10)
        self.second.send_signal(signal.SIGTERM)
        status = await asyncio.to_thread(self.second.wait, 15)
        assert status == 0, (self._rig.folder / "service.log").read_text()

    def by_key(self) -> dict[str, list[int]]:
        seen: dict[str, list[int]] = defaultdict(list)
        for _, key, seq in self.lines():
            seen[key].append(seq)
        return seen


@pytest.mark.slow
async def test_processes_share_the_partitions_and_hand_over_without_a_second_call(made: Rig, topic_name: str) -> None:
    """The first leaves by SIGTERM: nothing lost, nothing twice, order kept."""
    services = Services(made, topic_name)
    try:
        await until(services.by_both, 40, "work in two processes")
        services.first.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(services.first.wait, 15) == 0
        await until(services.all_done, 40, "every event handled")
    finally:
        await services.end()
    assert all(found == list(range(10 * services.turns)) for found in services.by_key().values())


@pytest.mark.slow
async def test_a_process_that_is_killed_loses_nothing_and_keeps_order(made: Rig, topic_name: str) -> None:
    """kill -9: the other has its partitions after the session timeout; first calls are in order."""
    services = Services(made, topic_name)
    try:
        await until(services.by_both, 40, "work in two processes")
        services.first.kill()
        await until(services.all_done, 40, "every event handled")
    finally:
        await services.end()
    for found in services.by_key().values():
        assert list(dict.fromkeys(found)) == list(range(10 * services.turns))


async def test_a_services_history_can_be_verified(made: Rig, topic_name: str, tmp_path: Path) -> None:
    consumer = Consumer(
        made.namespace,
        bootstrap_servers=made.servers,
        session_timeout_s=6,
        drain_s=2,
        instant=True,
        history_file=tmp_path / "service.jsonl",
    )
    done: set[tuple[int, int]] = set()

    @consumer.on(topic_name, name="orders")
    async def take(event: Incoming) -> None:
        if event.key == b"k1" and event.data_json()["seq"] == 2:
            raise Reject("poison")
        done.add((event.record.partition, event.record.offset))

    made.append(topic_name, 40, keys=4)
    async with consumer:

        async def all_done() -> bool:
            return len(done) == 39 and len(made.records(f"{made.namespace}.orders.dlq")) == 1

        await until(all_done, 20, "39 were taken and one was buried")
    lines = list(read_history(tmp_path / "service.jsonl"))
    sent = {line.id: 0.0 for line in lines if isinstance(line, Sent)}
    keys = {line.id: line.key for line in lines if isinstance(line, Received)}
    verified = check([*(Appended(at=at, id=name, key=keys.get(name, "k1")) for name, at in sent.items()), *lines])
    assert verified.findings == ()
    assert (verified.events, verified.delivered, verified.buried) == (40, 39, 1) and verified.commits > 0
    early = [line for line in lines if not isinstance(line, Received)]
    assert check([*(Appended(at=0.0, id=name) for name in sent), *early]).lost == 39, "a check that can fail"
