"""How long an event takes to its endpoint, and how well a slow endpoint's slots are used.

    python -m bench.latency [--per-s 1000] [--seconds 8] [--rounds 3] [--events 30000] [--json]

Idle: events are appended at a steady rate; what counts is the time from just before the append (client side) to the
endpoint's 2xx. The same events' acknowledgements are timed too, so that it is known, event by event, what was the
append's part and what came after it. Slots: an endpoint that takes 20 ms, 256 in flight; what is used is rate x 20 ms /
256, by the endpoint's clock. Exit status 1 when an event came twice or out of order.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.broker import throwaway_kafka
from bench.drain import ANY_CORE, OTHER_CORE, on_core, sink, stats, times
from bench.figures import Figure, Report, median_of
from bench.house import STARTED_S, House, declared, events_at, reset, until
from bench.load import Work, fill, pace
from bench.sink import quantile

DELAY_MS, IN_FLIGHT = 20, 256
KINDS = ("delivered", "acked", "after")


def report(argv: list[str] | None = None) -> Report:
    args = parsed(argv)
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        # Everything runs where there is time: broker, endpoint and load on one core would wait for each other.
        with throwaway_kafka() as servers:
            rounds = idle(servers, Path(directory), args)
        with on_core(OTHER_CORE), throwaway_kafka() as servers:
            used = slots(servers, Path(directory), args.events)
    at = f"at {args.per_s:,}/s"
    p50, p99 = ({kind: [one[f"{kind}_{name}_ms"] for one in rounds] for kind in KINDS} for name in ("p50", "p99"))
    figures = [
        median_of(f"append → 2xx, p50 {at}", p50["delivered"], unit="ms", at_most=5),
        median_of(f"append → 2xx, p99 {at}", p99["delivered"], unit="ms", at_most=15),
        median_of("of the same events: append → acknowledged, p50", p50["acked"], unit="ms"),
        median_of("of the same events: append → acknowledged, p99", p99["acked"], unit="ms"),
        median_of("of the same events: acknowledged → 2xx, p50", p50["after"], unit="ms"),
        median_of("of the same events: acknowledged → 2xx, p99", p99["after"], unit="ms"),
        Figure(what=f"{DELAY_MS} ms endpoint, {IN_FLIGHT} in flight", value=used["per_s"], unit="/s"),
        Figure(what="of the slots in use", value=round(used["used"] * 100, 1), unit="%", at_least=95),
    ]
    wrong = {kind: sum(int(one[kind]) for one in (*rounds, used)) for kind in ("violations", "duplicates")}
    faults = [f"{kind}: {number}" for kind, number in wrong.items() if number]
    return Report(bench="latency", told={"idle": rounds, "slots": used}, figures=figures, faults=faults)


def idle(servers: str, directory: Path, args: argparse.Namespace) -> list[dict[str, float]]:
    """One bridge, so many rounds."""
    topic = "paced"
    house = House(directory / "idle", servers, "idle")
    with sink() as url:
        path = url + "ok"
        asyncio.run(fill(servers, Work(events=100, keys=1000, topic=topic)))
        house.subscribe([declared("idle", topic, path, start="latest")])
        with house.bridge(ANY_CORE):
            warm = Work(events=args.per_s, keys=1000, topic=topic, prefix="w")
            pace(servers, warm, args.per_s)
            until(lambda: events_at(path) >= warm.events, STARTED_S, "the first events are delivered")
            rounds = []
            for number in range(args.rounds):
                reset(path)
                work = Work(events=args.per_s * args.seconds, keys=1000, topic=topic, prefix=f"r{number}-")
                acked_ns = pace(servers, work, args.per_s)
                until(lambda: events_at(path) >= args.per_s * args.seconds, STARTED_S, "all events are delivered")
                rounds.append({**stats(path), **paired(acked_ns, times(path))})
    return rounds


def paired(acked_ns: dict[int, int], made_answered_ns: list[tuple[int, int]]) -> dict[str, float]:
    """Milliseconds from append to 2xx and to acknowledged, and from there to 2xx, event by event: that may be less than
    nothing, since the acknowledgement takes its own way.
    """
    pairs = [(made, acked_ns[made], answered) for made, answered in made_answered_ns if made in acked_ns]
    spans = {
        "delivered": sorted(answered - made for made, _, answered in pairs),
        "acked": sorted(acked - made for made, acked, _ in pairs),
        "after": sorted(answered - acked for _, acked, answered in pairs),
    }
    told: dict[str, float] = {"timed": len(pairs)}
    for kind, ascending in spans.items():
        told |= {f"{kind}_p{share}_ms": round(quantile(ascending, share / 100) / 1e6, 2) for share in (50, 90, 99)}
    return told


def slots(servers: str, directory: Path, events: int) -> dict[str, Any]:
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
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(argv)


if __name__ == "__main__":
    from bench.__main__ import main

    sys.exit(main(["latency", *sys.argv[1:]]))
