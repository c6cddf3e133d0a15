"""What kill -9 costs: the bridge is killed in the middle of its work, again and again, and begun anew.

    python -m bench.crash [--events 100000] [--kills 5] [--json]

Told are events lost and out of order (none may be), deliveries that came twice, and how long from each kill to the next
delivery. Exit status 1 when an event was lost or out of order, or lag was left.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from bench.drain import LIMIT_S, OTHER_CORE, on_core, sink, stats
from bench.house import STARTED_S, House, declared, events_at, until
from bench.load import Work, fill
from pipeline.testing import local_kafka

IN_FLIGHT = 128


def main(argv: list[str] | None = None) -> int:
    args = parsed(argv)
    with on_core(OTHER_CORE), local_kafka() as servers, tempfile.TemporaryDirectory(prefix="bench-") as directory:
        work = Work(events=args.events, keys=min(10_000, args.events), topic="crash")
        asyncio.run(fill(servers, work))
        told = killed(House(Path(directory) / "house", servers, "crash"), work, args.kills)
    if args.json:
        print(json.dumps({"bench": "crash", **told}))
    else:
        recovered = ", ".join(f"{seconds:.1f}" for seconds in told["recovered_s"])
        print(
            f"{work.events} events, kill -9 x {args.kills}: lost {told['lost']}, out of order {told['violations']}, "
            f"twice {told['duplicates']} ({told['duplicates'] / max(args.kills, 1):.0f} a kill), lag {told['lag']}"
        )
        print(f"from kill to the next delivery: {recovered} s")
    return int(bool(told["lost"] or told["violations"] or told["lag"]))


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
    sys.exit(main())
