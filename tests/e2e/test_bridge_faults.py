"""Killing, freezing and stopping bridges: nothing lost, order per key kept, second deliveries bounded."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.broker_source import Kafka
from tests.e2e.rig import Rig
from tests.sink import Sink

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]
PARTITIONS, KEYS = 4, 50
# Sent but not committed at a kill: what is in flight, and what ended since the last commit (every 0.1 s).
IN_FLIGHT = 32
SLOW = 0.004


@pytest.fixture
def rig(tmp_path: Path, kafka: Kafka, topic_name: str) -> Rig:
    made = Rig(tmp_path, kafka.bootstrap_servers, topic_name[-20:].strip("-"))
    made.make_topic(topic_name, PARTITIONS)
    return made


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with Sink(lambda _: (204, SLOW)) as made:
        yield made


def reached(events: int) -> Callable[[Sink], bool]:
    return lambda sink: len(sink.ids) >= events


async def subscribed(rig: Rig, topic: str, sink: Sink) -> None:
    await rig.subscribe("hook", topics=[topic], start="earliest", endpoint={"url": sink.url}, in_flight_max=IN_FLIGHT)


@pytest.mark.slow
async def test_kill_9_again_and_again_loses_nothing_and_keeps_order(
    rig: Rig, topic_name: str, sink: Sink, figure: Callable[[str], None]
) -> None:
    events, kills = 6000, 3
    rig.append(topic_name, events, keys=KEYS)
    await subscribed(rig, topic_name, sink)
    for kill in range(1, kills + 1):
        with rig.bridge() as process:
            await sink.until(reached(events * kill // (kills + 1)), 40)
            process.kill()
    with rig.bridge() as process:
        await sink.until(reached(events), 60)
        await rig.until_lag_0("hook")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 15) == 0
    assert sink.violations == []
    # Per kill: 0.1 s between commits and as much again for the walk itself, at the sink's greatest pace.
    uncommitted = int(IN_FLIGHT / SLOW * 0.3)
    bound = kills * (IN_FLIGHT + uncommitted)
    assert sink.duplicates <= bound
    figure(f"{events} events, kill -9 x {kills}: 0 lost, 0 out of order, {sink.duplicates} of {bound} twice")


async def test_a_static_member_is_back_at_once_after_kill_9(
    tmp_path: Path, kafka: Kafka, topic_name: str, sink: Sink
) -> None:
    """Not before its session timeout would the group give its partitions to a member of another name."""
    session_s, events = 60, 400
    settings: dict[str, float | str] = {
        "session_timeout_s": session_s,
        "drain_s": 2,
        "instance": '"one"',
        "static": "true",
    }
    rig = Rig(tmp_path, kafka.bootstrap_servers, topic_name[-20:].strip("-"), **settings)
    rig.make_topic(topic_name, PARTITIONS)
    await subscribed(rig, topic_name, sink)
    with rig.bridge() as process:
        rig.append(topic_name, events, keys=KEYS)
        await sink.until(reached(events), 40)
        process.kill()
    with rig.bridge():
        rig.append(topic_name, events, keys=KEYS, first=events // KEYS)
        await sink.until(reached(events * 2), session_s / 3)
    assert sink.violations == []


@pytest.mark.slow
async def test_a_frozen_worker_that_wakes_up_sends_and_commits_nothing_stale(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    events = 4000
    rig.append(topic_name, events, keys=KEYS)
    await subscribed(rig, topic_name, sink)
    with rig.bridge() as frozen:
        await sink.until(reached(events // 4), 40)
        frozen.send_signal(signal.SIGSTOP)
        with rig.bridge():
            await sink.until(reached(events), 60)
            await rig.until_lag_0("hook")
            arrived, committed = len(sink.got), await rig.committed("hook", topic_name, PARTITIONS)
            frozen.send_signal(signal.SIGCONT)
            await asyncio.sleep(4.0)
            assert await rig.committed("hook", topic_name, PARTITIONS) == committed
            # Nothing is begun after waking up. Requests that were handed to the event loop before the freeze, but not
            # yet to the kernel, leave all the same; no process can take those back.
            left_over = sink.got[arrived:]
            assert len(left_over) <= IN_FLIGHT
            assert {got.webhook_id for got in left_over} <= sink.ids
            arrived += len(left_over)
            rig.append(topic_name, 400, keys=KEYS, first=events // KEYS)
            await sink.until(reached(events + 400), 30)
    assert len(sink.got) == arrived + 400
    assert sink.violations == []


async def test_sigterm_drains_and_commits_so_nothing_is_delivered_twice(
    rig: Rig, topic_name: str, sink: Sink, figure: Callable[[str], None]
) -> None:
    events = 2000
    rig.append(topic_name, events, keys=KEYS)
    await subscribed(rig, topic_name, sink)
    with rig.bridge() as first:
        await sink.until(reached(events // 3), 40)
        stopped_at = time.monotonic()
        first.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(first.wait, 15) == 0
        figure(f"stopped {time.monotonic() - stopped_at:.2f} s after SIGTERM under load")
    with rig.bridge():
        await sink.until(reached(events), 40)
        await rig.until_lag_0("hook")
    assert (sink.duplicates, sink.violations) == (0, [])


async def test_a_second_worker_takes_its_share_without_a_second_delivery(rig: Rig, topic_name: str, sink: Sink) -> None:
    events = 4000
    rig.append(topic_name, events, keys=KEYS)
    await subscribed(rig, topic_name, sink)
    with rig.bridge() as first:
        await sink.until(reached(events // 8), 40)
        with rig.bridge():
            await sink.until(reached(events // 2), 40)
            first.send_signal(signal.SIGTERM)
            await sink.until(reached(events), 60)
            await rig.until_lag_0("hook")
    assert (sink.duplicates, sink.violations) == (0, [])
