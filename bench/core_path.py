"""What the delivery core costs: CPU per event from `Core.receive` to the commit, nothing else in the process.

    python -m bench.core_path [--events 100000] [--keys 10000] [--rounds 3]

One line per number of results that reach the core between two calls of `Core.actions`: 1 is an idle bridge, where
each reply is a turn of the loop of its own; a busy one sees tens. Counted are receive, has_room, tick, actions,
next_wakeup and succeeded, over records of 1 KiB with four headers in 12 partitions, 128 in flight. The budget is 5 µs.
"""

from __future__ import annotations

import argparse
import time
from collections import deque

from pipeline.delivery.core import Core
from pipeline.delivery.lanes import Lane
from pipeline.delivery.settings import CoreSettings
from pipeline.record import Record

PARTITIONS = 12
BATCH = 500
HEADERS = (("ce_specversion", b"1.0"), ("ce_id", b"0" * 36), ("ce_source", b"/shop"), ("ce_type", b"order.placed"))


def records_of(partition: int, events: int, keys: int) -> list[Record]:
    return [
        Record("orders", partition, offset, 0, b"%d" % ((offset * PARTITIONS + partition) % keys), bytes(1024), HEADERS)
        for offset in range(events // PARTITIONS)
    ]


def cost_us(logs: list[list[Record]], results: int) -> float:
    """CPU microseconds per event when ``results`` results come between two calls of `Core.actions`."""
    core = Core(CoreSettings())
    batches = deque((at, number) for at in range(0, len(logs[0]), BATCH) for number in range(PARTITIONS))
    for number in range(PARTITIONS):
        core.assign(number, 0)
    in_flight: deque[Lane] = deque()
    now, began_at = 0.0, time.process_time()
    while True:
        while batches and core.has_room:
            at, number = batches.popleft()
            batch = logs[number][at : at + BATCH]
            core.receive(number, batch, at + len(batch))
        core.tick(now)
        in_flight += core.actions(now).sends
        core.next_wakeup(now)
        if not in_flight:
            break
        now += 0.0001
        for _ in range(min(results, len(in_flight))):
            core.succeeded(in_flight.popleft(), now)
    took_s = time.process_time() - began_at
    assert all(core.commit_of(number).offset == len(logs[number]) for number in range(PARTITIONS))
    return took_s / core.settled * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    logs = [records_of(number, options.events, options.keys) for number in range(PARTITIONS)]
    for results in (1, 8, 64):
        best = min(cost_us(logs, results) for _ in range(options.rounds))
        print(f"{results:3d} results between actions: {best:.2f} µs per event")


if __name__ == "__main__":
    main()
