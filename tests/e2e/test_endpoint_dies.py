"""The endpoint's process is killed or frozen in the middle of its answers, or its replies are lost on the way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.embedded.ports import free_port
from pipeline.verify import Appended, HistoryWriter, Incident, Line, check, read_history
from pipeline.webhookid import id_prefix
from tests.broker_source import Kafka
from tests.e2e.operations import letters, subscribe, until_lag_0
from tests.e2e.rig import Rig, until
from tests.sink import Got, Sink

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]

EVENTS, KEYS, PARTITIONS, IN_FLIGHT, TIMES = 3000, 60, 3, 16, 3
DELAY_S, FROZEN_S, TIMEOUT_S = 0.004, 2.5, 1.0
# A kill: what was answered and not yet heard. Frozen, requests wait in the kernel's queues by the time it wakes: of all
# that may be under way, four times as many hanging ones beside those in flight, and the breaker's probes.
AGAIN_MAX = {signal.SIGKILL: IN_FLIGHT, signal.SIGSTOP: IN_FLIGHT * 5 + IN_FLIGHT}


class Endpoint:
    """A receiver in a process of its own at one address, whichever process serves it."""

    def __init__(self, folder: Path) -> None:
        self.port, self._folder = free_port(), folder
        self.secret = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @contextlib.contextmanager
    def process(self) -> Iterator[subprocess.Popen[bytes]]:
        words = [sys.executable, "-m", "tests.e2e.receiver_process", self.secret, str(self.port)]
        history = str(self._folder / "receiver.jsonl")
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        process = subprocess.Popen([*words, history, str(DELAY_S)], env=environment)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait(10)

    def answers(self) -> int:
        file = self._folder / "receiver.jsonl"
        return file.read_bytes().count(b"\n") if file.exists() else 0

    async def answered(self, count: int) -> None:
        async def enough() -> bool:
            return self.answers() >= count

        await until(enough, 30, f"{count} answers; there are {self.answers()}")


def written(folder: Path) -> list[Line]:
    return [line for file in sorted(folder.glob("*.jsonl")) for line in read_history(file)]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["kill-9", "frozen"])
async def test_an_endpoint_that_dies_gets_everything_and_little_of_it_twice(
    tmp_path: Path, kafka: Kafka, topic_name: str, how: signal.Signals, figure: Callable[[str], None]
) -> None:
    rig = Rig(tmp_path, kafka.bootstrap_servers, topic_name[-20:].strip("-"), history_file='"worker.jsonl"')
    rig.make_topic(topic_name, PARTITIONS)
    rig.append(topic_name, EVENTS, keys=KEYS)
    endpoint, told = Endpoint(tmp_path), HistoryWriter(tmp_path / "nemesis.jsonl", "nemesis")
    async with rig.node() as node:
        prefix = id_prefix((await node.catalog.get(topic_name)).topic_id)
        where = {"url": endpoint.url, "timeout_s": TIMEOUT_S, "connect_timeout_s": TIMEOUT_S}
        declared = {"topics": [topic_name], "start": "earliest", "endpoint": where, "in_flight_max": IN_FLIGHT}
        retry = {"schedule_s": [0.2] * 30}
        endpoint.secret = (await node.subscriptions.put("hook", {**declared, "retry": retry})).shown.secret or ""
    async with rig.worker() as node:
        for number in range(1, TIMES + 1):
            with endpoint.process() as process:
                await endpoint.answered(EVENTS * number // (TIMES + 1))
                told.write(Incident(at=told.now(), name=how.name, duplicates_max=AGAIN_MAX[how]))
                process.send_signal(how)
                if how is signal.SIGSTOP:
                    await asyncio.sleep(FROZEN_S)
                    process.send_signal(signal.SIGCONT)
                    await endpoint.answered(EVENTS * number // (TIMES + 1) + IN_FLIGHT * 4)
        with endpoint.process():
            await endpoint.answered(EVENTS)
            await until_lag_0(node, timeout_s=40)
    told.close()
    appended = [
        Appended(at=0.0, id=f"{prefix}{one.partition()}_{one.offset()}", key=(one.key() or b"").decode())
        for one in rig.records(topic_name)
    ]
    verified = check([*appended, *written(tmp_path)])
    assert verified.findings == ()
    assert (verified.events, verified.delivered, verified.lost, verified.out_of_order) == (EVENTS, EVENTS, 0, 0)
    figure(
        f"{EVENTS} events, {how.name} x {TIMES}: 0 lost, 0 out of order, "
        f"{verified.duplicates} of {verified.duplicates_max} twice, recovered in {verified.recovery_s} s"
    )


async def test_as_many_come_twice_as_replies_were_lost_and_none_otherwise(
    rig: Rig, topic_name: str, sink: Sink, figure: Callable[[str], None]
) -> None:
    """The endpoint has done its work and the connection is reset before its reply: that is all that comes twice."""
    events, every = KEYS * 40, 50
    lost: set[str] = set()

    def loses(got: Got) -> bool:
        if int(got.webhook_id.rpartition("_")[2]) % every or got.webhook_id in lost:
            return False
        lost.add(got.webhook_id)
        return True

    rig.make_topic(topic_name, 1)
    rig.append(topic_name, events, keys=KEYS)
    sink.loses = loses
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink, in_flight_max=IN_FLIGHT)
        await until_lag_0(node, timeout_s=25)
        assert (len(lost), sink.duplicates) == (events // every, events // every)
        rig.append(topic_name, events // 2, keys=KEYS, first=events // KEYS)
        sink.loses = lambda _: False
        await until_lag_0(node, timeout_s=25)
    assert (len(sink.ids), letters(rig), sink.violations) == (events + events // 2, [], [])
    assert sink.duplicates == events // every
    figure(f"{events} events, {len(lost)} replies lost, {sink.duplicates} came twice; {events // 2} more, 0 twice")
