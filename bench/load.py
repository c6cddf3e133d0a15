"""The work: a topic of JSON records, each key's numbered in turn, keys in shuffled rounds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import msgspec

from pipeline.errors import PipelineError
from pipeline.hooks import Hooks
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.producer import Producer
from pipeline.record import Position


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """So many ``events`` of ``event_bytes``, on ``keys`` keys and ``partitions`` partitions."""

    events: int = 100_000
    event_bytes: int = 1024
    keys: int = 10_000
    partitions: int = 12
    topic: str = "bench"


def records(work: Work) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each event."""
    order = list(range(work.keys))
    chance = random.Random(1)
    for number in range(work.events):
        if number % work.keys == 0:
            chance.shuffle(order)
        key = b"k%d" % order[number % work.keys]
        head = b'{"key":"%b","seq":%d,"pad":"' % (key, number // work.keys)
        yield key, head + b"x" * max(0, work.event_bytes - len(head) - 2) + b'"}'


async def fill(servers: str, work: Work) -> None:
    """Make the topic and write everything. Raises the first `PipelineError` of an append."""
    settings = KafkaSettings(bootstrap_servers=servers, client_id="bench")
    admin, producer = Admin(settings), Producer(settings, Hooks())
    await admin.create(work.topic, partitions=work.partitions)
    await producer.start()
    failed: list[PipelineError] = []

    def done(result: Position | PipelineError) -> None:
        if isinstance(result, PipelineError):
            failed.append(result)

    for key, value in records(work):
        while not producer.append_soon(work.topic, key=key, value=value, done=done):  # noqa: ASYNC110 - no event for room
            await asyncio.sleep(0.01)
    await producer.stop(60.0)
    admin.close()
    if failed:
        raise failed[0]
