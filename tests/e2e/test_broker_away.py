"""The broker is killed and stays away: the process says so while that lasts, and delivery goes on by itself."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from starlette.types import ASGIApp

from pipeline.embedded import EmbeddedKafka
from tests.e2e.operations import letters, subscribe, until_lag_0
from tests.e2e.rig import Rig, until
from tests.fakes.asgi import Caller
from tests.sink import Sink

pytestmark = [pytest.mark.kafka, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(180)]
ROUNDS, KEYS, PARTITIONS, IN_FLIGHT = 50, 40, 2, 16
TIMES = 2
# How soon an operator's probe has to see it, and how soon delivery has to go on once the broker answers again. It is
# away for longer than the group's session (Rig: 6 s).
SEEN_S, RECOVERED_S = 15.0, 30.0


async def test_health_is_false_while_the_broker_is_away_and_delivery_goes_on_when_it_is_back(
    own_kafka: EmbeddedKafka,
    tmp_path: Path,
    topic_name: str,
    sink: Sink,
    monkeypatch: pytest.MonkeyPatch,
    figure: Callable[[str], None],
) -> None:
    monkeypatch.delenv("PIPELINE_BOOTSTRAP_SERVERS", raising=False)
    rig = Rig(tmp_path / "rig", own_kafka.bootstrap_servers, "away")
    rig.make_topic(topic_name, PARTITIONS)
    sink.answer = lambda _: (204, 0.004)
    seen, recovered = [], []
    async with rig.worker() as node:
        call = Caller(cast("ASGIApp", node.gateway_app()))

        async def is_ready() -> bool:
            return (await call("GET", "/readyz")).status == 200

        async def is_not_ready() -> bool:
            return not await is_ready()

        await subscribe(node, topic_name, sink, in_flight_max=IN_FLIGHT)
        assert await is_ready()
        appended = 0

        def append(rounds: int) -> int:
            """Events in all, ``rounds`` of each key more."""
            rig.append(topic_name, rounds * KEYS, keys=KEYS, first=appended // KEYS)
            return appended + rounds * KEYS

        async def come(count: int, timeout_s: float) -> None:
            await sink.until(lambda s: len(s.ids) >= count, timeout_s)

        for _ in range(TIMES):
            appended = append(ROUNDS)
            await come(appended - ROUNDS * KEYS * 3 // 4, 30)
            assert own_kafka.pid is not None
            os.kill(own_kafka.pid, signal.SIGKILL)
            killed_at = time.monotonic()
            await until(is_not_ready, SEEN_S, "health that is false")
            seen.append(time.monotonic() - killed_at)
            await own_kafka.stop()
            await own_kafka.start()
            back_at = time.monotonic()
            appended = append(1)
            await come(appended, RECOVERED_S)
            recovered.append(time.monotonic() - back_at)
            await until(is_ready, SEEN_S, "health that is true")
        await until_lag_0(node, timeout_s=30)
    assert (sink.violations, letters(rig)) == ([], [])
    times = [", ".join(f"{one:.1f}" for one in each) for each in (seen, recovered)]
    figure(f"broker killed x {TIMES}: not ready after {times[0]} s; all delivered {times[1]} s after it answers again")
