"""What a delivery costs the bridge: CPU of its process, per event, beside the bridge one would write by hand.

    python -m bench.bridge [--events 100000] [--naive-events 25000] [--rounds 2] [--peer NAME=PROGRAM …] [--json]

Every round starts the whole bridge (`pipeline bridge`) against a real Kafka and a fast endpoint, and waits until all
events are through: signed, in order per key, attempts recorded, offsets committed. CPU is counted from the first
delivery on, user and system, of that process alone; wall time depends on what else the machine does. The endpoint
judges order and duplicates; Kafka's own tool tells the lag. Where there are two cores, bridge and everything else get
one each. After `make compiled` the compiled package has its turn too. Somebody else's bridge joins in as ``--peer``
(``go`` is the one that ours is measured by): a program that delivers a topic to a URL and finds both, with brokers and
a group, in BROKERS, TOPIC, GROUP and SINK. Exit status 1 when an event of ours was lost, came twice or out of order,
was not signed, or lag was left.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec

from bench.broker import throwaway_kafka
from bench.drain import COMPILED, OTHER_CORE, Peer, Result, drained, on_core, sink
from bench.figures import Figure, Report
from bench.house import House
from bench.load import Work, fill
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.view import LogView
from pipeline.names import state_topic_of

OURS = frozenset(("pipeline", "compiled"))
GO = "go"
# What a hand-written bridge in Go costs on the machine that the target was set on.
CPU_US = 33.0


def report(argv: list[str] | None = None) -> Report:
    args = parsed(argv)
    work = Work(events=args.events, keys=min(10_000, args.events))
    with on_core(OTHER_CORE), throwaway_kafka() as servers, tempfile.TemporaryDirectory(prefix="bench-") as directory:
        asyncio.run(fill(servers, work))
        results = []
        for number in range(args.rounds):
            results.append(ours(servers, work, Path(directory), Peer("pipeline", [], Path(str(number)))))
            if COMPILED.is_dir():
                compiled = Peer("compiled", [], Path(f"{number}c"), {"PYTHONPATH": str(COMPILED)})
                results.append(ours(servers, work, Path(directory), compiled))
            for name, program in args.peer:
                results.append(
                    other(servers, work, Peer(name, [], Path(directory) / f"{name}-{number}.log", {}, program))
                )
            if args.naive_events:
                results.append(naive(servers, work, min(args.naive_events, args.events), Path(directory), number))
    if not args.json:
        show(results, work)
    return Report(
        bench="bridge",
        told={"work": msgspec.to_builtins(work), "results": [msgspec.to_builtins(result) for result in results]},
        figures=figures_of(results),
        faults=[fault for result in results if result.peer in OURS for fault in faults_of(result, work)],
        skipped=skipped(args),
    )


def figures_of(results: list[Result]) -> list[Figure]:
    """CPU of each, and ours beside the bridge in Go where that is among them: both at their best round."""
    costs = {peer: [one.cpu_us for one in results if one.peer == peer] for peer in {one.peer for one in results}}
    figures = [
        Figure(what=f"CPU of a delivery, {peer}", value=min(spent), unit="µs", rounds=spent,
               at_most=CPU_US if peer in OURS else None)
        for peer, spent in sorted(costs.items())
    ]  # fmt: skip
    if GO in costs:
        mine = min(min(costs[peer]) for peer in OURS & costs.keys())
        figures.append(Figure(what="CPU of a delivery, of the bridge in Go", value=mine / min(costs[GO]), at_most=1.0))
    return figures


def skipped(args: argparse.Namespace) -> list[str]:
    """Who could have been measured too, and what is missing for it."""
    peers = {name for name, _ in args.peer}
    why = {
        "compiled": None if COMPILED.is_dir() else "not built; `make compiled` does",
        GO: None if GO in peers else "a bridge in Go is no part of this; --peer go=PROGRAM brings yours",
        "naive": None if args.naive_events else "--naive-events 0",
    }
    return [f"{name} ({reason})" for name, reason in why.items() if reason is not None]


def ours(servers: str, work: Work, home: Path, which: Peer) -> Result:
    """The product: one worker, one subscription. ``which`` package runs, in which namespace."""
    house = House(home / which.log, servers, f"bench{which.log}")
    with sink() as url:
        house.subscribe([{"name": "drain", "topics": [work.topic], "start": "earliest", "endpoint": {"url": url}}])
        words = ["-m", "pipeline", "bridge", "--dir", str(house.directory)]
        result = drained(which._replace(words=words, log=house.directory / "log"), url, work.events)
    attempts = asyncio.run(lines_of(servers, state_topic_of(house.namespace, "attempts")))
    return msgspec.structs.replace(result, lag=house.lag("drain"), attempts=attempts)


def naive(servers: str, work: Work, events: int, directory: Path, number: int) -> Result:
    """The peer; it is stopped when it has delivered ``events``, since it needs several times as long."""
    with sink() as url:
        names = {"SERVERS": servers, "TOPIC": work.topic, "GROUP": f"bench-naive-{number}", "URL": url}
        return drained(Peer("naive", ["-m", "bench.naive"], directory / f"naive-{number}.log", names), url, events)


def other(servers: str, work: Work, peer: Peer) -> Result:
    """Somebody else's bridge, on the whole work."""
    with sink() as url:
        environment = {"BROKERS": servers, "TOPIC": work.topic, "GROUP": f"bench-{peer.log.stem}", "SINK": url}
        return drained(peer._replace(environment=environment), url, work.events)


def faults_of(result: Result, work: Work) -> list[str]:
    """What must not be, of the product."""
    wrong = {
        "lost": work.events - result.events,
        "out of order": result.violations,
        "twice": result.duplicates,
        "not signed": result.unsigned,
        "lag": result.lag,
        "attempts not recorded": work.events - (result.attempts or 0),
    }
    return [f"{what}: {count}" for what, count in wrong.items() if count != 0]


def show(results: list[Result], work: Work) -> None:
    print(f"{work.events} events of {work.event_bytes} bytes, {work.keys} keys, {work.partitions} partitions")
    print(f"{'':10}{'µs CPU each':>12}{'per s':>9}{'MB':>6}{'events':>9}{'disorder':>10}{'twice':>7}{'lag':>5}")
    for one in results:
        lag = "–" if one.lag is None else one.lag
        print(f"{one.peer:10}{one.cpu_us:>12}{one.per_s:>9.0f}{one.rss_mb:>6}{one.events:>9}"
              f"{one.violations:>10}{one.duplicates:>7}{lag:>5}")  # fmt: skip


async def lines_of(servers: str, topic: str) -> int:
    """Lines in all records of ``topic``: one for each attempt."""
    settings = KafkaSettings(bootstrap_servers=servers)
    admin, view = Admin(settings), LogView(settings)
    ends = await admin.offsets([(topic, 0)], "latest")
    await view.start()
    ready = asyncio.Event()
    feed = view.feed(topic, 0, 0, ready.set)
    lines = 0
    while feed.position < ends[topic, 0]:
        piece = feed.take(1000)
        if piece is None:
            await asyncio.wait_for(ready.wait(), 30)
            ready.clear()
        else:
            lines += sum(len((record.value or b"").splitlines()) for record in piece.records)
    feed.close()
    await view.stop()
    admin.close()
    return lines


def _peer(text: str) -> tuple[str, str]:
    name, _, program = text.partition("=")
    if not name or not Path(program).is_file():
        raise argparse.ArgumentTypeError(f"{text!r}: a name, = and the path of a program, such as go=./gofloor")
    return name, str(Path(program).resolve())


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--naive-events", type=int, default=25_000, help="0: without the peer")
    parser.add_argument("--peer", type=_peer, action="append", default=[], metavar="NAME=PROGRAM")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(argv)


if __name__ == "__main__":
    from bench.__main__ import main

    sys.exit(main(["bridge", *sys.argv[1:]]))
