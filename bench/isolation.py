"""What others feel when an endpoint, or half of the keys of one, misbehaves.

    python -m bench.isolation [--per-s 100] [--seconds 10] [--rounds 4] [--events 50000] [--half-rounds 2] [--json]

Neighbours: 20 subscriptions of one topic in one bridge at a steady rate; then four of them with an endpoint that never
answers, one that drips a byte a second, one that resets and one that answers 100 MB. Told is the p99 of append to 2xx
of the other sixteen (the median of them, and the worst), with and without in turn, and the CPU that either costs.
Halves: one endpoint that answers 503 to half of the keys, then one that holds them for 5 s; told is what of the good
half arrived within 30 s, beside the same work undisturbed, in turn. Exit status 1 when an event came out of order.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil

from bench.broker import throwaway_kafka
from bench.drain import OTHER_CORE, cpu_s, on_core, sink, stats
from bench.figures import Figure, Report, median_of
from bench.house import STARTED_S, House, declared, events_at, reset, until
from bench.load import Work, fill, pace

SUBSCRIPTIONS = 20
BAD = ("hang", "drip", "reset", "huge")
WARM_S = 2
WITHIN_S = 30.0
CALM, STORMY = "calm", "stormy"
UNDISTURBED, FAILS, HANGS = HALVES = ("ok", "odd503", "oddhang/5000")
Told = dict[str, float]


class Street(NamedTuple):
    """One bridge's subscriptions: the topic they read and the paths of those that are always sound."""

    house: House
    topic: str
    sound: list[str]


def report(argv: list[str] | None = None) -> Report:
    args = parsed(argv)
    with on_core(OTHER_CORE), throwaway_kafka() as servers, tempfile.TemporaryDirectory(prefix="bench-") as directory:
        home = Path(directory)
        rounds = neighbours(servers, home, args) if args.rounds else {}
        if args.half_rounds:
            asyncio.run(fill(servers, Work(events=args.events, keys=10_000, topic="halves")))
        halves: dict[str, list[Told]] = {path: [] for path in HALVES}
        for number in range(args.half_rounds):
            for path in HALVES:
                halves[path].append(half(servers, home / f"{number}-{path.replace('/', '')}", path, args.events // 2))
    figures = [
        *(figures_of_neighbours(rounds[CALM], rounds[STORMY], args) if rounds else []),
        *(figures_of_halves(halves, args.events // 2) if args.half_rounds else []),
    ]
    all_rounds = [one for several in (*rounds.values(), *halves.values()) for one in several]
    wrong = sum(int(one["violations"]) for one in all_rounds)
    faults = [f"out of order: {wrong}"] if wrong else []
    return Report(bench="isolation", told={**rounds, "halves": halves}, figures=figures, faults=faults)


def figures_of_neighbours(calm: list[Told], stormy: list[Told], args: argparse.Namespace) -> list[Figure]:
    sound, p99s = "p99 of the sound ones", {}
    for name, rounds in ((CALM, calm), (STORMY, stormy)):
        p99s[name] = median_of(f"{sound}, {name}", [one["p99_ms"] for one in rounds], unit="ms")
    pairs = [b["p99_ms"] / max(a["p99_ms"], 1e-9) for a, b in zip(calm, stormy, strict=True)]
    events = args.per_s * args.seconds * SUBSCRIPTIONS
    return [
        *p99s.values(),
        Figure(what=f"{sound}, stormy of calm", value=p99s[STORMY].value / max(p99s[CALM].value, 1e-9), at_most=1.1,
               rounds=pairs),
        median_of("worst p99 of a sound one, calm", [one["worst_p99_ms"] for one in calm], unit="ms"),
        median_of("worst p99 of a sound one, stormy", [one["worst_p99_ms"] for one in stormy], unit="ms"),
        median_of("CPU of the bridge per event, calm", [one["cpu_s"] / events * 1e6 for one in calm], unit="µs"),
        median_of("CPU of the bridge per event, stormy", [one["cpu_s"] / events * 1e6 for one in stormy], unit="µs"),
    ]  # fmt: skip


def figures_of_halves(halves: dict[str, list[Told]], good: int) -> list[Figure]:
    undisturbed = median_of("half the keys, undisturbed", [one["per_s"] for one in halves[UNDISTURBED]], unit="/s")
    failing = median_of("the good half where half answers 503", [one["per_s"] for one in halves[FAILS]], unit="/s")
    pairs = [a["per_s"] / max(b["per_s"], 1) * 100 for a, b in zip(halves[FAILS], halves[UNDISTURBED], strict=True)]
    return [
        undisturbed,
        failing,
        Figure(what="of the undisturbed rate", value=failing.value / max(undisturbed.value, 1) * 100, unit="%",
               at_least=90, rounds=pairs),
        median_of(f"arrived within {WITHIN_S:.0f} s where half answers 503", [one["good"] for one in halves[FAILS]],
                  at_least=good),
        median_of(f"arrived within {WITHIN_S:.0f} s where half hangs 5 s", [one["good"] for one in halves[HANGS]],
                  at_least=good / 2),
    ]  # fmt: skip


def neighbours(servers: str, home: Path, args: argparse.Namespace) -> dict[str, list[Told]]:
    """With and without the bad ones in turn; each round has a bridge of its own."""
    # The bad ones answer from a process of their own: what they cost there must not be taken for the bridge's.
    with sink() as url, sink() as elsewhere:
        streets = {
            CALM: street(servers, home, CALM, [f"{url}ok/{CALM}{n}" for n in range(SUBSCRIPTIONS)]),
            STORMY: street(servers, home, STORMY, [f"{elsewhere}{BAD[n]}/{n}" if n < len(BAD) else f"{url}ok/{n}"
                                                   for n in range(SUBSCRIPTIONS)]),
        }  # fmt: skip
        rounds: dict[str, list[Told]] = {name: [] for name in streets}
        for number in range(args.rounds):
            for name, one in streets.items():
                rounds[name].append(one_round(one, number, args.per_s, args.seconds))
    return rounds


def street(servers: str, home: Path, name: str, paths: list[str]) -> Street:
    house, topic = House(home / name, servers, name), f"neighbours-{name}"
    asyncio.run(fill(servers, Work(events=1, keys=1, topic=topic)))
    house.subscribe([declared(f"s{n}", topic, path, start="latest") for n, path in enumerate(paths)])
    return Street(house, topic, paths[len(BAD) :])


def one_round(street: Street, number: int, per_s: int, seconds: int) -> Told:
    servers, sound = street.house.servers, street.sound

    def delivered(work: Work) -> None:
        for path in sound:
            reset(path)
        pace(servers, work, per_s)
        until(lambda: all(events_at(path) >= work.events for path in sound), STARTED_S, "the sound ones have all")

    with street.house.bridge() as child:
        process = psutil.Process(child.pid)
        delivered(Work(events=per_s * WARM_S, keys=1000, topic=street.topic, prefix=f"w{number}-"))
        before = cpu_s(process)
        delivered(Work(events=per_s * seconds, keys=1000, topic=street.topic, prefix=f"r{number}-"))
        spent, rss_mb = cpu_s(process) - before, process.memory_info().rss // 2**20
    told = [stats(path) for path in sound]
    p99s = [one["p99_ms"] for one in told]
    violations = sum(one["violations"] for one in told)
    return {"p99_ms": median(p99s), "worst_p99_ms": max(p99s), "violations": violations, "rss_mb": rss_mb,
            "cpu_s": spent}  # fmt: skip


def half(servers: str, directory: Path, path: str, good: int) -> Told:
    """How many events of even keys arrived within the time, and at which rate."""
    house = House(directory, servers, directory.name)
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
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=4, help="0: without the neighbours")
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--half-rounds", type=int, default=2, help="0: without the halves")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(argv)


if __name__ == "__main__":
    from bench.__main__ import main

    sys.exit(main(["isolation", *sys.argv[1:]]))
