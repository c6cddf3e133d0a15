"""What others feel when an endpoint, or half of the keys of one, misbehaves.

    python -m bench.isolation [--per-s 100] [--seconds 20] [--events 50000] [--json]

Neighbours: 20 subscriptions of one topic in one bridge at a steady rate; then four of them with an endpoint that never
answers, one that drips a byte a second, one that resets and one that answers 100 MB. Told is the p99 of append to 2xx
of the other sixteen: the median of them and the worst. Halves: one endpoint that answers 503 to half of the keys, then
one that holds them for 5 s; told is what of the good half arrived within 30 s, beside the same work undisturbed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil

from bench.drain import OTHER_CORE, on_core, sink, stats
from bench.house import STARTED_S, House, declared, events_at, reset, until
from bench.load import Work, fill, pace
from pipeline.testing import local_kafka

SUBSCRIPTIONS = 20
BAD = ("hang", "drip", "reset", "huge")
WITHIN_S = 30.0
HALVES = ("ok", "odd503", "oddhang/5000")


def main(argv: list[str] | None = None) -> int:
    args = parsed(argv)
    with on_core(OTHER_CORE), local_kafka() as servers, tempfile.TemporaryDirectory(prefix="bench-") as directory:
        home = Path(directory)
        calm = neighbours(servers, home, (), args.per_s, args.seconds)
        stormy = neighbours(servers, home, BAD, args.per_s, args.seconds)
        asyncio.run(fill(servers, Work(events=args.events, keys=10_000, topic="halves")))
        halves = {path: half(servers, home, path, args.events // 2) for path in HALVES}
    if args.json:
        print(json.dumps({"bench": "isolation", "calm": calm, "stormy": stormy, "halves": halves}))
    else:
        show(calm, stormy, halves, args)
    wrong = calm["violations"] + stormy["violations"] + sum(one["violations"] for one in halves.values())
    return int(wrong > 0)


def show(
    calm: dict[str, float], stormy: dict[str, float], halves: dict[str, dict[str, float]], args: argparse.Namespace
) -> None:
    print(f"{SUBSCRIPTIONS} subscriptions of one topic at {args.per_s}/s, append to 2xx, p99 of the sound ones in ms")
    for name, one in (("all are sound", calm), ("four are not", stormy)):
        print(f"{name:16} median {one['p99_ms']:>7} worst {one['worst_p99_ms']:>7} bridge {one['rss_mb']:>4.0f} MB")
    print(f"the good half of {args.events} events, within {WITHIN_S:.0f} s")
    for path, one in halves.items():
        print(f"/{path:15} {one['good']:>7.0f} of {args.events // 2}, {one['per_s']:>7.0f}/s")


def neighbours(servers: str, home: Path, bad: tuple[str, ...], per_s: int, seconds: int) -> dict[str, float]:
    """p99 of the subscriptions that stand in no bad endpoint's place, which are the same in both rounds."""
    name = "stormy" if bad else "calm"
    house, topic = House(home / name, servers, name), f"neighbours-{name}"
    asyncio.run(fill(servers, Work(events=1, keys=1, topic=topic)))
    # The bad ones answer from a process of their own: 100 MB replies cost their sender time.
    with sink() as url, sink() as elsewhere:
        paths = [f"{elsewhere}{bad[n]}/{n}" if n < len(bad) else f"{url}ok/{n}" for n in range(SUBSCRIPTIONS)]
        house.subscribe([declared(f"s{n}", topic, path, start="latest") for n, path in enumerate(paths)])
        sound = paths[len(BAD) :]
        with house.bridge() as child:
            warm = Work(events=per_s * 2, keys=1000, topic=topic, prefix="w")
            asyncio.run(pace(servers, warm, per_s))
            until(lambda: all(events_at(path) >= warm.events for path in sound), STARTED_S, "the first are delivered")
            work = Work(events=per_s * seconds, keys=1000, topic=topic)
            for path in sound:
                reset(path)
            asyncio.run(pace(servers, work, per_s))
            until(
                lambda: all(events_at(path) >= work.events for path in sound),
                STARTED_S,
                "the sound ones have everything",
            )
            rss_mb = psutil.Process(child.pid).memory_info().rss // 2**20
        told = [stats(path) for path in sound]
    p99s = [one["p99_ms"] for one in told]
    violations = sum(one["violations"] for one in told)
    return {"p99_ms": median(p99s), "worst_p99_ms": max(p99s), "violations": violations, "rss_mb": rss_mb}


def half(servers: str, home: Path, path: str, good: int) -> dict[str, float]:
    """How many events of even keys arrived within the time, and at which rate."""
    name = path.replace("/", "")
    house = House(home / name, servers, name)
    with sink() as url:
        house.subscribe([declared("half", "halves", url + path)])
        with house.bridge():
            until(lambda: stats(url + path)["requests"] > 0, STARTED_S, "the first attempt")
            began = time.monotonic()
            while time.monotonic() - began < WITHIN_S and stats(url + path)["good"] < good:
                time.sleep(0.2)
            told = stats(url + path)
    return {
        "good": told["good"],
        "per_s": round(told["good"] / max(told["good_s"], 1e-9)),
        "violations": told["violations"],
    }


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-s", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
