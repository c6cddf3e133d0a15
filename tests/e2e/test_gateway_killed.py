"""kill -9 of the gateway while events are published: whatever it answered 201 for is on the log and is delivered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from pipeline.embedded.ports import free_port
from tests.e2e.operations import subscribe, until_lag_0
from tests.e2e.rig import Rig, until
from tests.sink import Sink

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]

PUBLISHERS, KILLS, BETWEEN = 8, 2, 300
STARTED_S = 20.0


@contextlib.contextmanager
def gateway(rig: Rig, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway process; ended by force at the end of the block."""
    with (rig.folder / "gateway.log").open("ab") as log:
        words = [sys.executable, "-m", "pipeline", "gateway", "--dir", str(rig.folder), "--port", str(port)]
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        process = subprocess.Popen(words, stdout=log, stderr=log, env=environment)
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return False
    writer.close()
    return True


class Publisher:
    """Publishes events of one key one after the other until its gateway dies; ``acked`` are those answered 201."""

    def __init__(self, topic: str, key: str) -> None:
        self._topic, self._key, self._made = topic, key, 0
        self.acked: list[str] = []

    async def publish(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                name = f"{self._key}-{self._made}"
                self._made += 1
                writer.write(self._request(name))
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head.lower())
                await reader.readexactly(int(length[1]) if length else 0)
                if head.startswith(b"HTTP/1.1 201 "):
                    self.acked.append(name)

    def _request(self, name: str) -> bytes:
        body = json.dumps({"name": name}).encode()
        head = (
            f"POST /v1/topics/{self._topic}/events HTTP/1.1\r\nhost: x\r\nce-specversion: 1.0\r\nce-id: {name}\r\n"
            f"ce-type: t\r\nce-source: /s\r\nce-partitionkey: {self._key}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


async def test_what_a_gateway_that_was_killed_had_answered_for_is_delivered(
    rig: Rig, topic_name: str, sink: Sink, figure: Callable[[str], None]
) -> None:
    rig.make_topic(topic_name, 4)
    publishers = [Publisher(topic_name, f"k{number}") for number in range(PUBLISHERS)]

    def acked() -> int:
        return sum(len(one.acked) for one in publishers)

    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        for kill in range(1, KILLS + 1):
            port = free_port()
            with gateway(rig, port) as process:
                await until(partial(listens, port), STARTED_S, "a gateway that listens")
                publishing = asyncio.gather(*(one.publish(port) for one in publishers))

                async def enough(goal: int = kill * BETWEEN) -> bool:
                    return acked() >= goal

                await until(enough, 20, f"{kill * BETWEEN} events answered for")
                process.kill()
                await publishing
        await until_lag_0(node, timeout_s=20)
    names = [got.headers["ce-id"] for got in sink.acked]
    assert {name for one in publishers for name in one.acked} - set(names) == set(), "lost"
    assert len(names) == len(set(names)), "nobody published anything twice"
    unanswered = len(names) - acked()
    assert 0 <= unanswered <= KILLS * PUBLISHERS, "on the log without an answer: at most what was under way"
    for one in publishers:
        key = one.acked[0].partition("-")[0]
        mine = [int(name.partition("-")[2]) for name in names if name.startswith(f"{key}-")]
        assert mine == sorted(mine), "in the order they were published"
    figure(f"{acked()} answered 201 over {KILLS} kills, 0 lost, {unanswered} on the log without an answer")
