"""How long an event takes to its endpoint, and how well a slow endpoint's slots are used.

    python -m bench.latency [--per-s 1000] [--seconds 15] [--events 30000] [--json]

Idle: events are appended at a steady rate; latency is from just before the append (client side) to the endpoint's 2xx.
Slots: an endpoint that takes 20 ms, 256 in flight; what is used is rate x 20 ms / 256, by the endpoint's clock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from bench.drain import OTHER_CORE, on_core, sink, stats
from bench.house import STARTED_S, House, declared, events_at, reset, until
from bench.load import Work, fill, pace
from bench.sink import quantile
from pipeline.testing import local_kafka

DELAY_MS, IN_FLIGHT = 20, 256


def main(argv: list[str] | None = None) -> int:
    args = parsed(argv)
    with on_core(OTHER_CORE), local_kafka() as servers, tempfile.TemporaryDirectory(prefix="bench-") as directory:
        told = {"idle": idle(servers, Path(directory), args.per_s, args.seconds)}
        told["slots"] = slots(servers, Path(directory), args.events)
    if args.json:
        print(json.dumps({"bench": "latency", **told}))
    else:
        one, two = told["idle"], told["slots"]
        print(f"append to 2xx at {args.per_s}/s: p50 {one['p50_ms']} ms, p99 {one['p99_ms']} ms")
        print(f"of that, append to acknowledged: p50 {one['acked_p50_ms']} ms, p99 {one['acked_p99_ms']} ms")
        print(
            f"{DELAY_MS} ms endpoint, {IN_FLIGHT} in flight: {two['per_s']:.0f}/s, {two['used']:.1%} of the slots, "
            f"{two['violations']:.0f} out of order"
        )
    return int(any(part["violations"] or part["duplicates"] for part in told.values()))


def idle(servers: str, directory: Path, per_s: int, seconds: int) -> dict[str, float]:
    work = Work(events=per_s * seconds, keys=1000, topic="paced")
    house = House(directory / "idle", servers, "idle")
    with sink() as url:
        asyncio.run(fill(servers, Work(events=100, keys=1000, topic=work.topic)))
        house.subscribe([declared("idle", work.topic, url + "ok", start="latest")])
        with house.bridge():
            asyncio.run(pace(servers, Work(events=per_s, keys=1000, topic=work.topic, prefix="w"), per_s))  # warm
            until(lambda: events_at(url + "ok") >= per_s, STARTED_S, "the first events are delivered")
            reset(url + "ok")
            acked_ms = sorted(asyncio.run(pace(servers, work, per_s)))
            until(lambda: events_at(url + "ok") >= work.events, STARTED_S, "all events are delivered")
        acked = {"acked_p50_ms": round(quantile(acked_ms, 0.5), 2), "acked_p99_ms": round(quantile(acked_ms, 0.99), 2)}
        return {**stats(url + "ok"), **acked}


def slots(servers: str, directory: Path, events: int) -> dict[str, float]:
    work = Work(events=events, keys=min(events, 10_000), topic="slots")
    house = House(directory / "slots", servers, "slots")
    asyncio.run(fill(servers, work))
    with sink() as url:
        path = f"{url}delay/{DELAY_MS}"
        house.subscribe([declared("slots", work.topic, path, in_flight_max=IN_FLIGHT)])
        with house.bridge():
            until(lambda: events_at(path) >= events, 120, "all events are delivered")
        told = stats(path)
    per_s = told["events"] / told["seconds"]
    return {**told, "per_s": round(per_s), "used": round(per_s * DELAY_MS / 1000 / IN_FLIGHT, 3)}


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-s", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
