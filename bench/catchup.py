"""What catching up costs those who are up to date: a subscription resumed after a long pause, beside a live one.

    python -m bench.catchup [--backlog 100000] [--per-s 2000] [--seconds 10] [--json]

First the bridge's live rate: events appended as fast as they go, to a subscription at the log's end. Then a live
subscription at a steady rate, alone; then the same while another works off the backlog.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from bench.broker import throwaway_kafka
from bench.drain import OTHER_CORE, on_core, sink, stats
from bench.figures import Figure, Report
from bench.house import STARTED_S, House, declared, events_at, reset, until
from bench.load import Work, fill, pace

TOPIC = "catchup"


def report(argv: list[str] | None = None) -> Report:
    args = parsed(argv)
    with on_core(OTHER_CORE), throwaway_kafka() as servers, tempfile.TemporaryDirectory(prefix="bench-") as directory:
        told = measured(House(Path(directory) / "house", servers, "catchup"), args)
    beside = told["beside_per_s"] / told["alone_per_s"] * 100
    figures = [
        Figure(what="live rate", value=told["live_per_s"], unit="/s"),
        Figure(what="catching up, of the live rate", value=told["catchup_per_s"] / told["live_per_s"] * 100, unit="%",
               at_least=80),
        Figure(what="rate of a live one beside it, of its rate alone", value=beside, unit="%", at_least=90),
        Figure(what="p99 of the live one alone", value=told["alone_p99_ms"], unit="ms"),
        Figure(what="p99 of the live one beside it", value=told["beside_p99_ms"], unit="ms"),
    ]  # fmt: skip
    faults = [f"out of order: {told['violations']:.0f}"] if told["violations"] else []
    return Report(bench="catchup", told=told, figures=figures, faults=faults)


def measured(house: House, args: argparse.Namespace) -> dict[str, float]:
    servers = house.servers
    asyncio.run(fill(servers, Work(events=1, keys=1, topic=TOPIC, prefix="w")))
    with sink() as url:
        house.subscribe([declared("late", TOPIC, url + "ok/late", start="latest"),
                         declared("live", TOPIC, url + "ok/live", start="latest")])  # fmt: skip
        house.run("-m", "pipeline", "subs", "pause", "late")
        with house.bridge():
            backlog = Work(events=args.backlog, topic=TOPIC)
            pace(servers, Work(events=200, keys=100, topic=TOPIC, prefix="v"), 200)
            until(lambda: events_at(url + "ok/live") >= 200, STARTED_S, "the first events")
            live = phase(servers, url + "ok/live", backlog, per_s=1e9)
            steady = Work(events=args.per_s * args.seconds, keys=1000, topic=TOPIC, prefix="a")
            alone = phase(servers, url + "ok/live", steady, per_s=args.per_s)
            house.run("-m", "pipeline", "subs", "resume", "late")
            until(lambda: events_at(url + "ok/late") > 0, STARTED_S, "catching up begins")
            with ThreadPoolExecutor(1) as beside_it:
                other = msgspec.structs.replace(steady, prefix="b")
                going = beside_it.submit(phase, servers, url + "ok/live", other, per_s=args.per_s)
                until(lambda: events_at(url + "ok/late") >= args.backlog, 120, "the backlog is worked off")
                late = stats(url + "ok/late")
                beside = going.result()
    violations = sum(one["violations"] for one in (live, alone, beside, late))
    return {
        "live_per_s": live["events"] / live["seconds"],
        "catchup_per_s": late["events"] / late["seconds"],
        "alone_per_s": alone["events"] / alone["seconds"],
        "beside_per_s": beside["events"] / beside["seconds"],
        "alone_p99_ms": alone["p99_ms"],
        "beside_p99_ms": beside["p99_ms"],
        "violations": violations,
    }


def phase(servers: str, path: str, work: Work, per_s: float) -> dict[str, float]:
    """What the endpoint saw of ``work``, appended at that rate."""
    reset(path)
    pace(servers, work, per_s)
    until(lambda: events_at(path) >= work.events, 120, f"{work.events} events at {path}")
    return stats(path)


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backlog", type=int, default=100_000)
    parser.add_argument("--per-s", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(argv)


if __name__ == "__main__":
    from bench.__main__ import main

    sys.exit(main(["catchup", *sys.argv[1:]]))
