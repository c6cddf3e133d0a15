"""What one webhook delivery costs: sign, write, send, read the reply. CPU of this process per delivery.

    python -m bench.webhook_path [--url URL] [--deliveries 100000] [--in-flight 128] [--bytes 1024] [--attributes 5]
        [--format binary|structured|raw|thin] [--v1a] [--loop uvloop|asyncio] [--repeat 3] [--json]

URL is any HTTP endpoint that answers 2xx; without one a small sink is started in a process of its own. Wall time
depends on the sink and on what else the machine does; the figure is CPU time of this process (user + system), best of
the repeats. For steady numbers on Linux give sink and this a core each: `taskset -c 0 python -m …`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import cast

import uvloop

from pipeline.delivery.verdict import Fault, Reply
from pipeline.guard import Guard
from pipeline.record import Headers, Record
from pipeline.signing import Signer
from pipeline.subscription import Endpoint, Signing, Subscription
from pipeline.webhook.sender import Sender, SenderSettings

ATTRIBUTES: Headers = (
    ("ce_specversion", b"1.0"),
    ("ce_type", b"order.placed"),
    ("ce_source", b"/shop"),
    ("ce_time", b"2026-11-20T22:00:00Z"),
    ("ce_tenant", b"north"),
)
LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


class Sink(asyncio.Protocol):
    """Answers 204 to each request when its body is there; trusts its client to send one at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.head, self.left = cast("asyncio.Transport", transport), b"", 0

    def data_received(self, data: bytes) -> None:
        if self.left:
            self.left -= len(data)
        else:
            self.head += data
            head, end, body = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            length = head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
            self.head, self.left = b"", int(length) - len(body)
        if not self.left:
            self.transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


async def run_sink() -> None:
    """Print the URL; end when the parent does."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def records(args: argparse.Namespace) -> Iterator[Record]:
    value = b'{"pad":"%b"}' % (b"x" * max(args.bytes - 10, 0))
    fixed = ATTRIBUTES[: max(args.attributes - 1, 0)]
    for offset in range(args.deliveries):
        own: Headers = (("ce_id", b"%d" % offset), *fixed) if args.attributes else ()
        headers = (*own, ("content-type", b"application/json"))
        yield Record(
            "orders", offset % 12, offset, 1_795_219_200_000 + offset, b"k%d" % (offset % 10_000), value, headers
        )


async def measure(args: argparse.Namespace, url: str) -> dict[str, object]:
    sender = Sender(
        Subscription(
            name="bench",
            topics=("orders",),
            endpoint=Endpoint(url=url),
            format=args.format,
            in_flight_max=args.in_flight,
            signing=Signing(v1a=args.v1a),
        ),
        signer=Signer([os.urandom(32)], [os.urandom(32)] if args.v1a else []),
        guard=Guard(["0.0.0.0/0", "::/0"], allow_http=True),
        topic_prefixes=lambda _: "evt_aaaaaaaaaa_",
        defaults=lambda topic: (f"/app/{topic}", f"{topic}.record"),
        wall_clock=time.time,
        settings=SenderSettings(public_url="https://events.example"),
    )
    # Made beforehand: they come from the log, which this does not measure.
    rest = iter(list(records(args)))
    finished = asyncio.get_running_loop().create_future()
    outcomes: Counter[object] = Counter()

    def done(_: None, outcome: Reply | Fault) -> None:
        outcomes[outcome.status if isinstance(outcome, Reply) else outcome.kind.value] += 1
        following = next(rest, None)
        if following is not None:
            sender.send(following, 1, done, None)
        elif outcomes.total() == args.deliveries:
            finished.set_result(None)

    cpu, wall = cpu_s(), time.perf_counter()
    for _ in range(min(args.in_flight, args.deliveries)):
        sender.send(next(rest), 1, done, None)
    await finished
    cpu, wall = cpu_s() - cpu, time.perf_counter() - wall
    await sender.close()
    return {
        "cpu_us": round(cpu / args.deliveries * 1e6, 2),
        "per_cpu_s": round(args.deliveries / cpu),
        "per_s": round(args.deliveries / wall),
        "outcomes": {str(key): count for key, count in outcomes.items()},
    }


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url")
    parser.add_argument("--deliveries", type=int, default=100_000)
    parser.add_argument("--in-flight", type=int, default=128)
    parser.add_argument("--bytes", type=int, default=1024)
    parser.add_argument("--attributes", type=int, default=5, choices=range(6))
    parser.add_argument("--format", default="binary", choices=["binary", "structured", "raw", "thin"])
    parser.add_argument("--v1a", action="store_true")
    parser.add_argument("--loop", default="uvloop", choices=LOOPS)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sink", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parsed(argv)
    with asyncio.Runner(loop_factory=LOOPS[args.loop]) as runner:
        if args.sink:
            runner.run(run_sink())
            return 0
        child = None
        if not args.url:
            command = [sys.executable, "-m", "bench.webhook_path", "--sink"]
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert child.stdout is not None
        url = args.url or child.stdout.readline().strip()  # type: ignore[union-attr] # there is a child without a URL
        try:
            runs = [runner.run(measure(args, url)) for _ in range(args.repeat)]
        finally:
            if child is not None:
                child.communicate()
    best = min(runs, key=lambda run: float(str(run["cpu_us"])))
    if args.json:
        print(json.dumps({"bench": "webhook_path", **vars(args), "runs": runs, "best": best}))
    else:
        what = (
            f"{args.bytes} bytes, {args.attributes} attributes, {args.format}, {args.in_flight} in flight, {args.loop}"
        )
        print(f"{what}: {best['cpu_us']} µs CPU a delivery ({best['per_cpu_s']} per CPU-second), {best['outcomes']}")
        print("all runs: " + ", ".join(f"{run['cpu_us']} µs at {run['per_s']}/s" for run in runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
