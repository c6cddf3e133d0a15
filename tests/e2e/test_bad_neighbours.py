"""Seven endpoints that hang, drip, reset, fail, postpone, flood or hang up: an eighth subscription does not feel it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable

import psutil
import pytest
from confluent_kafka import Producer

from tests.contract.webhook.conftest import Behaviour, Toxic, read_request
from tests.e2e.rig import Rig, until
from tests.sink import Got, Sink

pytestmark = [pytest.mark.kafka, pytest.mark.e2e, pytest.mark.slow]

EVENTS, RATE_PER_S, KEYS = 400, 200, 50
# Of a machine with other work going on: what is looked for is an endpoint's seconds, not a scheduler's milliseconds.
SLOWER_MAX, SLACK_S = 3.0, 0.5
GROWTH_BYTES_MAX = 100 * 2**20


def saying(*pieces: bytes, pause_s: float = 0.0, times: int = 1) -> Behaviour:
    """Answers every request with these bytes, the last of them so many times."""

    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            for piece in (*pieces[:-1], *pieces[-1:] * times):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause_s)

    return behaviour


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.transport.abort()


async def hanging_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


HUGE = b"HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n"
BAD: dict[str, Behaviour] = {
    "silent": silent,
    "dripping": saying(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n", b"x", pause_s=1.0, times=99),
    "resetting": resetting,
    "failing": saying(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"),
    "postponing": saying(b"HTTP/1.1 429 No\r\nretry-after: 1000000000\r\ncontent-length: 0\r\n\r\n"),
    "flooding": saying(HUGE, b"x" * 65_536, times=1600),
    "hanging-up": hanging_up,
}


@pytest.fixture
async def toxic() -> AsyncIterator[Toxic]:
    made = Toxic()
    yield made
    await made.stop()


class Clocked:
    """Notes for each answer how long ago its event was appended."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def answer(self, got: Got) -> tuple[int, float]:
        self.seconds.append(time.time() - json.loads(got.body)["at"])
        return 204, 0.0

    def p99(self) -> float:
        return sorted(self.seconds)[len(self.seconds) * 99 // 100]


def append_paced(producer: Producer, topic: str, first: int) -> None:
    begun = time.monotonic()
    for number in range(EVENTS):
        time.sleep(max(0.0, begun + number / RATE_PER_S - time.monotonic()))
        key = f"k{number % KEYS}"
        event = {"key": key, "seq": (first + number) // KEYS, "at": time.time()}
        producer.produce(topic, json.dumps(event), key)
        producer.poll(0)
    assert producer.flush(20) == 0


async def test_bad_endpoints_delay_no_sound_one_and_take_no_memory(
    rig: Rig, topic_name: str, sink: Sink, toxic: Toxic, figure: Callable[[str], None]
) -> None:
    rig.make_topic(topic_name, 4)
    producer = Producer({"bootstrap.servers": rig.servers, "enable.idempotence": True, "linger.ms": 0})
    with rig.bridge() as process:
        await rig.subscribe("sound", topics=[topic_name], start="earliest", endpoint={"url": sink.url})
        found = []
        for first in range(0, EVENTS * 3, EVENTS):
            clocked = Clocked()
            sink.answer = clocked.answer
            await asyncio.to_thread(append_paced, producer, topic_name, first)
            await sink.until(lambda s, n=first: len(s.ids) == n + EVENTS, 20)  # type: ignore[misc] # bound early
            found.append((clocked.p99(), psutil.Process(process.pid).memory_info().rss))
            if first == EVENTS:
                await declared_bad(rig, topic_name, toxic)
        await rig.until_lag_0("sound")
        for name in BAD:
            assert await rig.lag(name) > 0 or name in ("flooding", "dripping"), "it was really bad"
    _, (calm_s, calm_bytes), (stormy_s, stormy_bytes) = found  # the first round warms up
    assert (sink.violations, sink.duplicates) == ([], 0)
    assert stormy_s <= calm_s * SLOWER_MAX + SLACK_S
    assert stormy_bytes - calm_bytes < GROWTH_BYTES_MAX
    figure(
        f"append to 2xx p99 {calm_s * 1000:.0f} ms alone, {stormy_s * 1000:.0f} ms beside {len(BAD)} bad endpoints; "
        f"memory {(stormy_bytes - calm_bytes) / 2**20:+.0f} MiB"
    )


async def declared_bad(rig: Rig, topic: str, toxic: Toxic) -> None:
    """Subscriptions with bad endpoints stand from the topic's beginning and were all tried."""
    for name, behaviour in BAD.items():
        endpoint = {"url": await toxic.serve(behaviour), "timeout_s": 2.0, "connect_timeout_s": 2.0}
        await rig.subscribe(name, topics=[topic], start="earliest", endpoint=endpoint)

    async def tried() -> bool:
        return toxic.connections >= len(BAD)

    await until(tried, 20, "every bad endpoint was called")
