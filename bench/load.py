"""The work: a topic of JSON records, each key's numbered in turn, keys in shuffled rounds."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from typing import NamedTuple

import msgspec
from confluent_kafka import KafkaError, Message
from confluent_kafka import Producer as Client

from pipeline.errors import PipelineError
from pipeline.hooks import Hooks
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.producer import Producer
from pipeline.record import Position

# Shorter waits would be busy ones: librdkafka counts in milliseconds.
POLL_S = 0.001
FLUSH_S = 60.0
ROOM_S = 0.01
# A new producer's first appends take longer than those that follow: they say no time.
WARM_S = 1.0


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """So many ``events`` of ``event_bytes``, on ``keys`` keys (that begin with ``prefix``) and ``partitions``
    partitions.
    """

    events: int = 100_000
    event_bytes: int = 1024
    keys: int = 10_000
    partitions: int = 12
    topic: str = "bench"
    prefix: str = "k"


class Made(NamedTuple):
    """One event to append; ``at_ns`` (unix) is when it says that it was made, 0 where it says nothing."""

    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()
    at_ns: int = 0


def events(work: Work, *, timed_from: float | None = None) -> Iterator[Made]:
    """Each event, made when it is asked for; those after ``timed_from`` (monotonic seconds) say when."""
    order = list(range(work.keys))
    chance = random.Random(1)
    for number in range(work.events):
        if number % work.keys == 0:
            chance.shuffle(order)
        key = b"%b%d" % (work.prefix.encode(), order[number % work.keys])
        at_ns = time.time_ns() if timed_from is not None and time.monotonic() > timed_from else 0
        at = b'"at":%d,' % at_ns if at_ns else b""
        head = b'{"key":"%b","seq":%d,%b"pad":"' % (key, number // work.keys, at)
        yield Made(key, head + b"x" * max(0, work.event_bytes - len(head) - 2) + b'"}', (), at_ns)


async def fill(servers: str, work: Work) -> None:
    """Make the topic where it is missing and write everything. Raises the first `PipelineError` of an append."""
    settings = KafkaSettings(bootstrap_servers=servers, client_id="bench")
    admin, producer = Admin(settings), Producer(settings, Hooks())
    if work.topic not in await admin.describe([work.topic]):
        await admin.create(work.topic, partitions=work.partitions)
    await producer.start()
    failed: list[PipelineError] = []

    def done(result: Position | PipelineError) -> None:
        if isinstance(result, PipelineError):
            failed.append(result)

    for key, value, _, _ in events(work):
        while not producer.append_soon(work.topic, key=key, value=value, done=done):  # noqa: ASYNC110 - no event for room
            await asyncio.sleep(ROOM_S)
    await producer.stop(FLUSH_S)
    admin.close()
    if failed:
        raise failed[0]


def pace(servers: str, work: Work, per_s: float) -> dict[int, int]:
    """Append to the work's topic, which exists, at a steady rate; events say when they were made. See `append_at`."""
    return append_at(servers, work.topic, events(work, timed_from=time.monotonic() + WARM_S), per_s)


def append_at(servers: str, topic: str, made: Iterable[Made], per_s: float) -> dict[int, int]:
    """Append ``made`` at a steady rate, each at once. Returns when (unix nanoseconds) each that says when it was made
    was acknowledged by all in-sync replicas, by that time. Raises RuntimeError when an append fails.

    The plain client with nothing of ours around it, and no collection of garbage meanwhile: what it takes is Kafka's.
    """
    client = Client(
        {
            "bootstrap.servers": servers,
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "linger.ms": 0,
        }
    )
    acked: dict[int, int] = {}
    failed: list[KafkaError] = []
    gc.disable()
    try:
        source = iter(made)
        # The first waits for the broker's metadata: those after it would come in a burst.
        for first in islice(source, 1):
            _produce(client, topic, first, acked, failed)
        client.flush(FLUSH_S)
        began = time.monotonic()
        for number in count():
            while (left_s := began + number / per_s - time.monotonic()) > 0:
                client.poll(max(left_s, POLL_S))
            if (one := next(source, None)) is None:
                break
            _produce(client, topic, one, acked, failed)
        unsent = client.flush(FLUSH_S)
    finally:
        gc.enable()
    if failed or unsent:
        raise RuntimeError(f"{unsent} appends unanswered, {len(failed)} failed: {failed[:1]}")
    return acked


def _produce(client: Client, topic: str, one: Made, acked: dict[int, int], failed: list[KafkaError]) -> None:
    def told(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error)
        elif one.at_ns:
            acked[one.at_ns] = time.time_ns()

    while True:
        try:
            client.produce(topic, key=one.key, value=one.value, headers=list(one.headers), on_delivery=told)
        except BufferError:
            client.poll(ROOM_S)
        else:
            return
