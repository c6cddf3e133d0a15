"""Faults under load on three brokers, each judged by the checker over the histories of producer, worker, receiver."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from msgspec import structs

from pipeline.embedded import EmbeddedCluster
from pipeline.push.pump import SENDS_UNASKED
from pipeline.verify import Committed, Line, Received, Sent, Verified, check
from tests.faults.scene import EVENTS, IN_FLIGHT, KILL, LIMIT_S, OUTAGE, Scene, staged

pytestmark = [pytest.mark.kafka, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(LIMIT_S)]
# Longer than a broker's session, and than a worker's (Rig: 6 s).
FROZEN_S, AWAY_S = 12.0, 8.0
BURST_S = 0.5
Judge = Callable[[Verified], None]


@pytest.fixture
async def scene(folder: Path, cluster: EmbeddedCluster, topic_name: str) -> AsyncIterator[Scene]:
    async with staged(folder, cluster.bootstrap_servers, topic_name, cluster.start_blocking) as made:
        yield made


async def test_worker_kill_9(scene: Scene, judged: Judge) -> None:
    with scene.bridge() as process:
        await scene.under_load()
        scene.tell("kill -9", KILL)
        process.kill()
        with scene.bridge():
            await scene.settled()
    judged(scene.verified())


async def test_worker_frozen_past_its_session(scene: Scene, judged: Judge) -> None:
    """SIGSTOP; another worker delivers the rest; SIGCONT. What the frozen one was about to send leaves all the same:
    as many as it begins without asking whether it may.
    """
    with scene.bridge() as frozen:
        await scene.under_load()
        scene.tell("SIGSTOP", KILL + IN_FLIGHT, again_max=SENDS_UNASKED)
        frozen.send_signal(signal.SIGSTOP)
        with scene.bridge():
            await scene.settled()
            frozen.send_signal(signal.SIGCONT)
            await asyncio.sleep(2.0)
    judged(scene.verified())


async def test_broker_restarted(scene: Scene, cluster: EmbeddedCluster, judged: Judge) -> None:
    """A clean stop and start of each in turn."""
    with scene.bridge():
        await scene.delivered(EVENTS // 10)
        for number in range(3):
            scene.tell(f"broker {number} restarted", OUTAGE)
            await asyncio.to_thread(cluster.restart, number)
        await scene.settled()
    judged(scene.verified())


async def test_broker_kill_9(scene: Scene, cluster: EmbeddedCluster, judged: Judge) -> None:
    """The one that coordinates the bridge's group, and leads a third of the partitions; back at the end."""
    with scene.bridge():
        await scene.under_load()
        number = scene.coordinator(f"{scene.rig.namespace}._bridge")
        scene.tell("broker kill -9", OUTAGE)
        await asyncio.to_thread(cluster.kill, number)
        await scene.settled()
        await asyncio.to_thread(cluster.restart, number)
    judged(scene.verified())


async def test_broker_frozen(scene: Scene, cluster: EmbeddedCluster, judged: Judge) -> None:
    """SIGSTOP of the coordinator, long enough for the others to put it out of the cluster (9 s); then SIGCONT."""
    with scene.bridge():
        await scene.under_load()
        pid = cluster.nodes[scene.coordinator(f"{scene.rig.namespace}._bridge")].pid
        assert pid is not None
        scene.tell("broker SIGSTOP", OUTAGE)
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(FROZEN_S)
        finally:
            os.kill(pid, signal.SIGCONT)
        await scene.settled()
    judged(scene.verified())


async def test_two_of_three_brokers_kill_9(scene: Scene, cluster: EmbeddedCluster, judged: Judge) -> None:
    """No majority of controllers, and too few replicas to append: everything waits until they are back."""
    with scene.bridge():
        await scene.under_load()
        number = scene.coordinator(f"{scene.rig.namespace}._bridge")
        gone = (number, (number + 1) % 3)
        scene.tell("two brokers kill -9", OUTAGE)
        await asyncio.gather(*(asyncio.to_thread(cluster.kill, one) for one in gone))
        await asyncio.sleep(AWAY_S)
        await asyncio.gather(*(asyncio.to_thread(cluster.restart, one) for one in gone))
        await scene.settled()
    judged(scene.verified())


async def test_rebalance_storm(scene: Scene, judged: Judge) -> None:
    """Members come, and go as soon as they have work, cleanly: nothing is delivered twice."""
    with scene.bridge():
        await scene.delivered(EVENTS // 10)
        for number in range(3):
            scene.tell(f"member {number} comes and goes")
            with scene.bridge() as visitor:
                await scene.at_work(visitor)
                await scene.leave(visitor)
        await scene.settled()
    judged(scene.verified())


async def test_rebalance_storm_while_the_endpoint_fails(scene: Scene, judged: Judge) -> None:
    """Bursts of 500 for everything, each while a member comes and goes: keys wait, are handed over, and keep order."""
    with scene.bridge():
        await scene.delivered(EVENTS // 10)
        for number in range(3):
            scene.tell(f"500 for {BURST_S} s, member {number} comes and goes")
            scene.fail_for(BURST_S)
            with scene.bridge() as visitor:
                await scene.at_work(visitor)
                scene.fail_for(BURST_S)
                await scene.leave(visitor)
        await scene.settled()
    judged(scene.verified())


async def test_rolling_restart(scene: Scene, judged: Judge) -> None:
    """Two workers, each replaced in turn under load: nothing is delivered twice."""
    with scene.bridge() as first, scene.bridge() as second:
        await scene.under_load()
        scene.tell("first worker replaced")
        await scene.leave(first)
        with scene.bridge():
            await scene.delivered(EVENTS * 3 // 4)
            scene.tell("second worker replaced")
            await scene.leave(second)
            with scene.bridge():
                await scene.settled()
    judged(scene.verified())
    assert_planted_faults_are_found(scene.lines())


async def test_workers_join_and_leave(scene: Scene, judged: Judge) -> None:
    with scene.bridge() as first:
        await scene.delivered(EVENTS // 10)
        scene.tell("second joins")
        with scene.bridge():
            await scene.delivered(EVENTS // 3)
            scene.tell("third joins")
            with scene.bridge():
                await scene.delivered(EVENTS // 2)
                scene.tell("first leaves")
                await scene.leave(first)
                await scene.settled()
    judged(scene.verified())


def assert_planted_faults_are_found(lines: list[Line]) -> None:
    """Negative controls: had one of these happened in this very run, the checker would have said so."""
    received = next(line for line in lines if isinstance(line, Received))
    committed = next(line for line in lines if isinstance(line, Committed) and line.acknowledged and line.offset > 0)
    sent = next(
        line for line in lines if isinstance(line, Sent) and line.id == f"{committed.topic}{committed.partition}_0"
    )
    late = max(line.at for line in lines)
    assert check([line for line in lines if not (isinstance(line, Received) and line.id == received.id)]).lost == 1
    assert check([*lines, structs.replace(received, at=late)]).duplicates == 1
    assert check([*lines, structs.replace(committed, at=0.0, acknowledged=False)]).commits_past_unfinished == 1
    assert check([*lines, structs.replace(sent, at=late)]).sent_again == 1
    later = [
        structs.replace(line, at=late) if isinstance(line, Received) and line.id == received.id else line
        for line in lines
    ]
    assert check(later).out_of_order == 1
