"""What kill -9 costs: the bridge is killed in the middle of its work, again and again, and begun anew.

    python -m bench.crash [--events 100000] [--kills 5] [--json]

Told are events lost and out of order (none may be), deliveries that came twice, and how long from each kill to the next
delivery. Exit status 1 when an event was lost or out of order, or lag was left.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from bench.broker import throwaway_kafka
from bench.drain import LIMIT_S, OTHER_CORE, on_core, sink, stats
from bench.figures import Figure, Report, median_of
from bench.house import STARTED_S, House, declared, events_at, until
from bench.load import Work, fill

IN_FLIGHT = 128


def report(argv: list[str] | None = None) -> Report:
    args = parsed(argv)
    with on_core(OTHER_CORE), throwaway_kafka() as servers, tempfile.TemporaryDirectory(prefix="bench-") as directory:
        work = Work(events=args.events, keys=min(10_000, args.events), topic="crash")
        asyncio.run(fill(servers, work))
        told = killed(House(Path(directory) / "house", servers, "crash"), work, args.kills)
    begun = f"of {args.events:,} events, kill -9 x {args.kills}"
    figures = [
        Figure(what=f"lost, {begun}", value=told["lost"], at_most=0),
        Figure(what="out of order", value=told["violations"], at_most=0),
        Figure(what="twice, a kill", value=told["duplicates"] / max(args.kills, 1)),
    ]
    if told["recovered_s"]:
        figures.append(median_of("from kill to the next delivery", told["recovered_s"], unit="s"))
    faults = [f"{what}: {told[what]}" for what in ("lost", "violations", "lag") if told[what]]
    return Report(bench="crash", told=told, figures=figures, faults=faults)


def killed(house: House, work: Work, kills: int) -> dict[str, Any]:
    recovered: list[float] = []
    died_at = 0.0
    with sink() as url:
        path = url + "ok"
        house.subscribe([declared("crash", work.topic, path, in_flight_max=IN_FLIGHT)])
        for number in range(1, kills + 1):
            goal, before = work.events * number // (kills + 1), stats(path)["requests"]
            with house.bridge() as child:
                until(partial(requested, path, before + 1), STARTED_S, "a delivery")
                if number > 1:
                    recovered.append(time.monotonic() - died_at)
                until(partial(arrived, path, goal), LIMIT_S, f"{goal} events")
                os.kill(child.pid, signal.SIGKILL)
                died_at = time.monotonic()
        with house.bridge():
            until(partial(arrived, path, work.events), LIMIT_S, "all events")
            time.sleep(1.0)
        told = stats(path)
    return {
        "lost": work.events - int(told["events"]),
        "violations": int(told["violations"]),
        "duplicates": int(told["duplicates"]),
        "lag": house.lag("crash"),
        "recovered_s": [round(seconds, 2) for seconds in recovered],
    }


def requested(path: str, count: float) -> bool:
    return stats(path)["requests"] >= count


def arrived(path: str, count: int) -> bool:
    return events_at(path) >= count


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(argv)


if __name__ == "__main__":
    from bench.__main__ import main

    sys.exit(main(["crash", *sys.argv[1:]]))
