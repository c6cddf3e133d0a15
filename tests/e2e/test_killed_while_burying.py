"""kill -9 of a bridge between dead letters and their commits: every rejected event has its letter, no other has one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.e2e.operations import header, letters
from tests.e2e.rig import Rig, until
from tests.sink import Got, Sink

pytestmark = [pytest.mark.kafka, pytest.mark.e2e, pytest.mark.slow]

EVENTS, KEYS, PARTITIONS, IN_FLIGHT, KILLS, SLOW_S = 3000, 60, 3, 16, 2, 0.004
# Sent or buried but not committed: what is in flight, and what ended since the last commit (every 0.1 s, and a walk).
AGAIN_MAX = IN_FLIGHT + int(IN_FLIGHT / SLOW_S * 0.3)


def rejected(got: Got) -> bool:
    return int(got.webhook_id.rpartition("_")[2]) % 3 == 0


async def test_dead_letters_are_those_of_the_rejected_over_kill_9(
    rig: Rig, topic_name: str, sink: Sink, figure: Callable[[str], None]
) -> None:
    rig.make_topic(topic_name, PARTITIONS)
    rig.append(topic_name, EVENTS, keys=KEYS)
    sink.answer = lambda got: (422 if rejected(got) else 204, SLOW_S)
    retry = {"schedule_s": [0.05], "reject_status": [422]}
    endpoint = {"url": sink.url}
    await rig.subscribe(
        "hook", topics=[topic_name], start="earliest", endpoint=endpoint, retry=retry, in_flight_max=IN_FLIGHT
    )
    wanted = {f"{one.partition()}/{one.offset()}" for one in rig.records(topic_name) if (one.offset() or 0) % 3 == 0}

    async def buried(count: int) -> bool:
        return len(await asyncio.to_thread(letters, rig)) >= count

    for kill in range(1, KILLS + 1):
        with rig.bridge() as process:
            goal = len(wanted) * kill // (KILLS + 1)
            await until(lambda goal=goal: buried(goal), 30, f"{goal} dead letters")  # type: ignore[misc] # bound early
            process.kill()
    with rig.bridge():
        await sink.until(lambda s: len(s.ids) == EVENTS - len(wanted), 40)
        await rig.until_lag_0("hook", 30)
    found = [header(letter, "dlq.id").removeprefix(f"{topic_name}/").rpartition("/")[0] for letter in letters(rig)]
    assert set(found) == wanted
    assert len({got.webhook_id for got in sink.got}) == EVENTS
    again = len(found) - len(wanted)
    assert again + sink.duplicates <= KILLS * AGAIN_MAX
    figure(f"{len(wanted)} of {EVENTS} rejected, kill -9 x {KILLS}: 0 letters missing, 0 of others, {again} twice")
