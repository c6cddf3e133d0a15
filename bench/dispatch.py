"""What a record costs among many filtered subscriptions, beside one subscription that takes everything.

    python -m bench.dispatch [--subscriptions 1000] [--per-s 3000] [--seconds 8] [--rounds 1] [--json]

Events of as many types as there are subscriptions are appended at a steady rate; each subscription wants one type by an
exact filter, so every event goes to one. The same events at the same rate then go to a single subscription without a
filter. CPU is that of the bridge's process from the first of them on, per record. Making a thousand subscriptions, with
their dead-letter topics of 12 partitions, takes the broker a minute. Exit status 1 when an event was lost, came twice
or out of order.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil

from bench.drain import OTHER_CORE, cpu_s, on_core, sink, stats
from bench.house import House, declared, until
from pipeline.config import load_config
from pipeline.errors import PipelineError
from pipeline.hooks import Hooks
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.producer import Producer
from pipeline.record import Position
from pipeline.testing import local_kafka
from pipeline.wiring import started

PARTITIONS, EVENT_BYTES = 12, 1024
MADE_AT_ONCE = 16
LIMIT_S = 120.0
STEP_S = 0.002
# What connecting to an endpoint for the first time costs, and how long until its connection is given up again.
QUIET_S = 8.0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """CPU per record in microseconds, of a core without events as a share, seconds until the first event of all."""

    subscriptions: int
    cpu_us: float
    idle_share: float
    started_s: float
    rss_mb: int
    events: int
    lost: int
    violations: int
    duplicates: int


def main(argv: list[str] | None = None) -> int:
    args = parsed(argv)
    results: list[Result] = []
    with on_core(OTHER_CORE), local_kafka() as servers, tempfile.TemporaryDirectory(prefix="bench-") as directory:
        for number in range(args.rounds):
            for count in (1, args.subscriptions):
                house = House(Path(directory) / f"{number}-{count}", servers, f"dispatch{number}-{count}")
                results.append(measured(house, count, args))
    show(results, args)
    return int(any(one.lost or one.violations or one.duplicates for one in results))


def measured(house: House, count: int, args: argparse.Namespace) -> Result:
    topic, types = house.namespace, args.subscriptions
    with sink() as url:
        asyncio.run(subscribe(house, topic, count, url))
        began = time.monotonic()
        with house.bridge() as child:
            asyncio.run(append(house.servers, topic, types, first=0, types=types, per_s=0))
            paths = [f"{url}ok/{number}" for number in range(count)]
            until(lambda: events_at(paths) >= types, LIMIT_S, "the first event of every type")
            started_s = time.monotonic() - began
            process = psutil.Process(child.pid)
            time.sleep(1.0)
            idle_from = cpu_s(process)
            time.sleep(QUIET_S)
            before, events = cpu_s(process), args.per_s * args.seconds
            asyncio.run(append(house.servers, topic, events, first=types, types=types, per_s=args.per_s))
            until(lambda: events_at(paths) >= types + events, LIMIT_S, f"{events} events")
            spent, rss_mb = cpu_s(process) - before, process.memory_info().rss // 2**20
            seen = [stats(path) for path in paths]
    return Result(
        subscriptions=count,
        cpu_us=round(spent / events * 1e6, 1),
        idle_share=round((before - idle_from) / QUIET_S, 4),
        started_s=round(started_s, 1),
        rss_mb=rss_mb,
        events=events,
        lost=types + events - int(sum(one["events"] for one in seen)),
        violations=int(sum(one["violations"] for one in seen)),
        duplicates=int(sum(one["duplicates"] for one in seen)),
    )


async def subscribe(house: House, topic: str, count: int, url: str) -> None:
    """One subscription takes everything, several take a type each."""
    admin = Admin(KafkaSettings(bootstrap_servers=house.servers))
    await admin.create(topic, partitions=PARTITIONS)
    admin.close()
    async with started(load_config(house.directory, {}, {})) as node:
        room = asyncio.Semaphore(MADE_AT_ONCE)

        async def put(number: int) -> None:
            filters: list[dict[str, Any]] = [{"exact": {"type": f"t.{number}"}}] if count > 1 else []
            async with room:
                await node.subscriptions.put(
                    f"s{number}", declared(f"s{number}", topic, f"{url}ok/{number}", filters=filters)
                )

        await asyncio.gather(*(put(number) for number in range(count)))


async def append(servers: str, topic: str, count: int, *, first: int, types: int, per_s: int) -> None:
    """Events ``first`` and on, types (and keys) in turn; ``per_s`` 0: as fast as it goes."""
    producer = Producer(KafkaSettings(bootstrap_servers=servers, client_id="bench"), Hooks())
    await producer.start()
    failed: list[PipelineError] = []

    acknowledged = asyncio.Event()

    def done(result: Position | PipelineError) -> None:
        acknowledged.set()
        if isinstance(result, PipelineError):
            failed.append(result)

    began = time.monotonic()
    for number in range(first, first + count):
        if number == first + 1:
            # A new producer's first append takes long: the events after it would come in a burst.
            await acknowledged.wait()
            began = time.monotonic()
        while per_s and number - first >= (time.monotonic() - began) * per_s:  # noqa: ASYNC110 - it waits for the clock
            await asyncio.sleep(STEP_S)
        key, value, headers = event(number, types)
        while not producer.append_soon(topic, key=key, value=value, headers=headers, done=done):  # noqa: ASYNC110 - room
            await asyncio.sleep(STEP_S)
    await producer.stop(60.0)
    if failed:
        raise failed[0]


def event(number: int, types: int) -> tuple[bytes, bytes, tuple[tuple[str, bytes], ...]]:
    kind = number % types
    head = b'{"key":"k%d","seq":%d,"pad":"' % (kind, number // types)
    named = {
        "ce_specversion": b"1.0",
        "ce_id": b"%d" % number,
        "ce_source": b"/bench",
        "ce_type": b"t.%d" % kind,
        "content-type": b"application/json",
    }
    return b"k%d" % kind, head + b"x" * (EVENT_BYTES - len(head) - 2) + b'"}', tuple(named.items())


def events_at(paths: list[str]) -> int:
    return int(sum(stats(path)["events"] for path in paths))


def show(results: list[Result], args: argparse.Namespace) -> None:
    if args.json:
        print(json.dumps({"bench": "dispatch", "results": [msgspec.to_builtins(result) for result in results]}))
        return
    print(f"{args.per_s}/s of {EVENT_BYTES} bytes on {PARTITIONS} partitions")
    print(f"{'subscriptions':>13}{'µs CPU a record':>17}{'idle':>7}{'start s':>9}{'MB':>6}{'lost':>6}{'disorder':>10}"
          f"{'twice':>7}")  # fmt: skip
    for one in results:
        print(f"{one.subscriptions:>13}{one.cpu_us:>17}{one.idle_share:>7.1%}{one.started_s:>9}{one.rss_mb:>6}"
              f"{one.lost:>6}{one.violations:>10}{one.duplicates:>7}")  # fmt: skip
    alone = min(one.cpu_us for one in results if one.subscriptions == 1)
    many = min(one.cpu_us for one in results if one.subscriptions > 1)
    print(f"a record among {args.subscriptions} filtered subscriptions costs {many / alone:.2f} of one that takes all")


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscriptions", type=int, default=1000)
    parser.add_argument("--per-s", type=int, default=3000)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    if not 2 <= args.subscriptions <= 5000:
        parser.error("--subscriptions: 2 to 5000")
    return args


if __name__ == "__main__":
    sys.exit(main())
