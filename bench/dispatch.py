"""What a record costs among many filtered subscriptions, beside one subscription that takes everything.

    python -m bench.dispatch [--subscriptions 1000] [--per-s 3000] [--seconds 8] [--rounds 3] [--json]

Events of as many types as there are subscriptions are appended at a steady rate; each subscription wants one type by an
exact filter, so every event goes to one. The same events at the same rate go to a single subscription without a filter,
in turn. CPU is that of the bridge's process from the first of them on, per record. Making a thousand subscriptions,
with their dead-letter topics of 12 partitions, takes the broker a minute, once. Exit status 1 when an event was lost,
came twice or out of order.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import msgspec
import psutil

from bench.broker import throwaway_kafka
from bench.drain import OTHER_CORE, cpu_s, on_core, sink, stats
from bench.figures import Figure, Report, median_of
from bench.house import House, declared, until
from bench.load import Made, append_at
from pipeline.config import load_config
from pipeline.errors import BrokerUnavailable
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import KafkaSettings
from pipeline.wiring import started

PARTITIONS, EVENT_BYTES = 12, 1024
MADE_AT_ONCE, PUT_TRIES = 8, 5
LIMIT_S = 120.0
AT_ONCE = 1e9
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


class Side(NamedTuple):
    """So many subscriptions of one topic, named as the house's namespace, and where they deliver to."""

    house: House
    subscriptions: int
    paths: list[str]


def report(argv: list[str] | None = None) -> Report:
    args = parsed(argv)
    results: list[Result] = []
    with (
        on_core(OTHER_CORE),
        throwaway_kafka() as servers,
        tempfile.TemporaryDirectory(prefix="bench-") as directory,
        sink() as url,
    ):
        sides = [made(Path(directory), servers, url, count) for count in (1, args.subscriptions)]
        for number in range(args.rounds):
            results.extend(measured(side, args, number) for side in sides)
    if not args.json:
        show(results, args)
    wrong = [one for one in results if one.lost or one.violations or one.duplicates]
    return Report(
        bench="dispatch",
        told={"results": [msgspec.to_builtins(result) for result in results]},
        figures=figures_of(results, args.subscriptions),
        faults=[f"lost {one.lost}, out of order {one.violations}, twice {one.duplicates}" for one in wrong],
    )


def figures_of(results: list[Result], subscriptions: int) -> list[Figure]:
    alone = [one.cpu_us for one in results if one.subscriptions == 1]
    many = [one for one in results if one.subscriptions > 1]
    costs = [one.cpu_us for one in many]
    return [
        median_of("CPU of a record, one subscription that takes all", alone, unit="µs"),
        median_of(f"CPU of a record among {subscriptions:,} filtered ones", costs, unit="µs"),
        Figure(what="of one that takes all", value=median(costs) / median(alone), at_most=2.0,
               rounds=[a / b for a, b in zip(costs, alone, strict=True)]),
        Figure(what="memory", value=max(one.rss_mb for one in many), unit="MB", at_most=400),
        median_of("of a core without events", [one.idle_share * 100 for one in many], unit="%"),
    ]  # fmt: skip


def made(directory: Path, servers: str, url: str, count: int) -> Side:
    house = House(directory / f"{count}", servers, f"dispatch-{count}")
    paths = [f"{url}ok/{count}-{number}" for number in range(count)]
    asyncio.run(subscribe(house, house.namespace, paths))
    return Side(house, count, paths)


def measured(side: Side, args: argparse.Namespace, number: int) -> Result:
    """One round of a bridge of its own; events are numbered on from round to round."""
    house, subscriptions, paths = side
    types, events = args.subscriptions, args.per_s * args.seconds // args.subscriptions * args.subscriptions
    first = number * (types + events)
    seen_before = summed(paths)
    began = time.monotonic()
    with house.bridge() as child:
        append_at(house.servers, house.namespace, made_events(first, types, types), AT_ONCE)
        until(lambda: summed(paths)["events"] >= first + types, LIMIT_S, "the first event of every type")
        started_s = time.monotonic() - began
        process = psutil.Process(child.pid)
        time.sleep(1.0)
        idle_from = cpu_s(process)
        time.sleep(QUIET_S)
        before = cpu_s(process)
        append_at(house.servers, house.namespace, made_events(first + types, events, types), args.per_s)
        until(lambda: summed(paths)["events"] >= first + types + events, LIMIT_S, f"{events} events")
        spent, rss_mb = cpu_s(process) - before, process.memory_info().rss // 2**20
        seen = {kind: value - seen_before[kind] for kind, value in summed(paths).items()}
    return Result(
        subscriptions=subscriptions,
        cpu_us=round(spent / events * 1e6, 1),
        idle_share=round((before - idle_from) / QUIET_S, 4),
        started_s=round(started_s, 1),
        rss_mb=rss_mb,
        events=events,
        lost=types + events - seen["events"],
        violations=seen["violations"],
        duplicates=seen["duplicates"],
    )


def summed(paths: list[str]) -> dict[str, int]:
    told = [stats(path) for path in paths]
    return {kind: int(sum(one[kind] for one in told)) for kind in ("events", "violations", "duplicates")}


async def subscribe(house: House, topic: str, paths: list[str]) -> None:
    """One subscription takes everything, several take a type each."""
    admin = Admin(KafkaSettings(bootstrap_servers=house.servers))
    await admin.create(topic, partitions=PARTITIONS)
    admin.close()
    async with started(load_config(house.directory, {}, {})) as node:
        room = asyncio.Semaphore(MADE_AT_ONCE)

        async def put(number: int, path: str) -> None:
            filters: list[dict[str, Any]] = [{"exact": {"type": f"t.{number}"}}] if len(paths) > 1 else []
            async with room:
                for left in reversed(range(PUT_TRIES)):
                    try:
                        await node.subscriptions.put(f"s{number}", declared(f"s{number}", topic, path, filters=filters))
                    except BrokerUnavailable:
                        # It makes twelve partitions for each of a thousand: on a busy machine some take it long.
                        if not left:
                            raise
                    else:
                        return

        await asyncio.gather(*(put(number, path) for number, path in enumerate(paths)))


def made_events(first: int, count: int, types: int) -> Iterator[Made]:
    """Events ``first`` and on, types (and keys) in turn."""
    for number in range(first, first + count):
        kind = number % types
        head = b'{"key":"k%d","seq":%d,"pad":"' % (kind, number // types)
        named = {
            "ce_specversion": b"1.0",
            "ce_id": b"%d" % number,
            "ce_source": b"/bench",
            "ce_type": b"t.%d" % kind,
            "content-type": b"application/json",
        }
        yield Made(b"k%d" % kind, head + b"x" * (EVENT_BYTES - len(head) - 2) + b'"}', tuple(named.items()))


def show(results: list[Result], args: argparse.Namespace) -> None:
    print(f"{args.per_s}/s of {EVENT_BYTES} bytes on {PARTITIONS} partitions")
    print(f"{'subscriptions':>13}{'µs CPU a record':>17}{'idle':>7}{'start s':>9}{'MB':>6}{'lost':>6}{'disorder':>10}"
          f"{'twice':>7}")  # fmt: skip
    for one in results:
        print(f"{one.subscriptions:>13}{one.cpu_us:>17}{one.idle_share:>7.1%}{one.started_s:>9}{one.rss_mb:>6}"
              f"{one.lost:>6}{one.violations:>10}{one.duplicates:>7}")  # fmt: skip


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscriptions", type=int, default=1000)
    parser.add_argument("--per-s", type=int, default=3000)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    if not 2 <= args.subscriptions <= 5000:
        parser.error("--subscriptions: 2 to 5000")
    return args


if __name__ == "__main__":
    from bench.__main__ import main

    sys.exit(main(["dispatch", *sys.argv[1:]]))
