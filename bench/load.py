"""The work: a topic of JSON records, each key's numbered in turn, keys in shuffled rounds."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

import msgspec

from pipeline.errors import PipelineError
from pipeline.hooks import Hooks
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.producer import Producer
from pipeline.record import Position

STEP_S = 0.005
# A new producer's first appends take longer than those that follow: they say no time.
WARM_S = 1.0


class Append(Protocol):
    """``acked`` is called when all in-sync replicas have it."""

    async def __call__(self, key: bytes, value: bytes, acked: Callable[[], None] = ..., /) -> None: ...


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


def records(work: Work, *, timed_from: float | None = None) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each event; those made after ``timed_from`` (monotonic seconds) say when."""
    order = list(range(work.keys))
    chance = random.Random(1)
    for number in range(work.events):
        if number % work.keys == 0:
            chance.shuffle(order)
        key = b"%b%d" % (work.prefix.encode(), order[number % work.keys])
        at = b'"at":%d,' % time.time_ns() if timed_from is not None and time.monotonic() > timed_from else b""
        head = b'{"key":"%b","seq":%d,%b"pad":"' % (key, number // work.keys, at)
        yield key, head + b"x" * max(0, work.event_bytes - len(head) - 2) + b'"}'


async def fill(servers: str, work: Work) -> None:
    """Make the topic where it is missing and write everything. Raises the first `PipelineError` of an append."""
    async with _appending(servers, work) as append:
        for key, value in records(work):
            await append(key, value)


async def pace(servers: str, work: Work, per_s: float) -> list[float]:
    """`fill` at a steady rate, each event saying when it was made. Returns how long each of those took to be
    acknowledged, in milliseconds.
    """
    acked_ms: list[float] = []
    async with _appending(servers, work) as append:
        began = time.monotonic()
        source = records(work, timed_from=began + WARM_S)
        for number in range(work.events):
            while number >= (time.monotonic() - began) * per_s:  # noqa: ASYNC110 - it is the clock that is waited for
                await asyncio.sleep(STEP_S)
            at = time.monotonic()
            await append(*next(source), partial(_note, acked_ms if at > began + WARM_S else [], at))
    return acked_ms


def _note(taken_ms: list[float], began_at: float) -> None:
    taken_ms.append((time.monotonic() - began_at) * 1000)


@asynccontextmanager
async def _appending(servers: str, work: Work) -> AsyncIterator[Append]:
    """How to append to the work's topic; at the end everything is acknowledged, or the first failure raised."""
    settings = KafkaSettings(bootstrap_servers=servers, client_id="bench")
    admin, producer = Admin(settings), Producer(settings, Hooks())
    if work.topic not in await admin.describe([work.topic]):
        await admin.create(work.topic, partitions=work.partitions)
    await producer.start()
    failed: list[PipelineError] = []

    async def append(key: bytes, value: bytes, acked: Callable[[], None] = lambda: None) -> None:
        def done(result: Position | PipelineError) -> None:
            if isinstance(result, PipelineError):
                failed.append(result)
            else:
                acked()

        while not producer.append_soon(work.topic, key=key, value=value, done=done):  # noqa: ASYNC110 - no event for room
            await asyncio.sleep(0.01)

    yield append
    await producer.stop(60.0)
    admin.close()
    if failed:
        raise failed[0]
