"""What a record costs from the broker to `Feed.take`: CPU of the whole process, librdkafka's threads included.

    python bench/view_path.py --bootstrap 127.0.0.1:9092 [--records 150000] [--case backlog|fanout|tail|reread] [--gc]

Makes a topic of 12 partitions, fills it with records of 1 KiB and five headers, measures each case in a process of its
own, beside the floor (``client``: the same client, consumed and thrown away). ``--gc`` measures with the collector's
thresholds raised, as a process that serves should run. Compare figures of one run only: the machine's own noise is
larger than most differences.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import uvloop
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # public, but not listed as exported

from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.view import Feed, LogView

PARTITIONS = 12
CASES = ("client", "backlog", "fanout", "tail", "reread")


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def rss_mb() -> int:
    """The most this program ever held (getrusage would tell what its parent did)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def fill(servers: str, topic: str, records: int, *, per_second: int = 0) -> None:
    producer = Producer(
        {"bootstrap.servers": servers, "linger.ms": 20, "log_level": 0, "queue.buffering.max.messages": 1_000_000}
    )
    value = json.dumps({"id": 1, "pad": "x" * 1000}).encode()
    began = time.monotonic()
    for number in range(records):
        headers: list[tuple[str, str | bytes | None]] = [
            ("ce_id", b"%d" % number),
            ("ce_type", b"order.placed"),
            ("ce_source", b"/shop"),
        ]
        headers += [("ce_specversion", b"1.0"), ("content-type", b"application/json")]
        while True:
            try:
                producer.produce(topic, value, b"k%d" % (number % 10_000), number % PARTITIONS, headers=headers)
                break
            except BufferError:
                producer.poll(0.1)
        if per_second and (wait_s := began + number / per_second - time.monotonic()) > 0.005:
            time.sleep(wait_s)
    producer.flush()


def client(servers: str, topic: str, records: int) -> int:
    """The floor: fetched, made into the client's messages, thrown away."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "bench",
            "queued.max.messages.kbytes": 4096,
            "fetch.message.max.bytes": 262_144,
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    taken = 0
    while taken < records:
        taken += len(consumer.consume(500, 0.1))
    consumer.close()
    return taken


class Draining:
    """``copies`` feeds per partition, each taking what comes at once."""

    def __init__(self, view: LogView, topic: str, copies: int, records: int) -> None:
        self.taken = 0
        self._wanted = records * copies
        self.done = asyncio.Event()
        self._feeds: list[Feed] = []
        for number in range(PARTITIONS * copies):
            self._feeds.append(view.feed(topic, number % PARTITIONS, 0, lambda number=number: self._take(number)))  # type: ignore[misc]  # bound per turn
        for number in range(PARTITIONS * copies):
            self._take(number)

    def _take(self, number: int) -> None:
        take = self._feeds[number].take
        while (piece := take(500)) is not None:
            self.taken += len(piece.records)
        if self.taken >= self._wanted:
            self.done.set()


async def drain(servers: str, topic: str, records: int, copies: int) -> int:
    view = LogView(KafkaSettings(bootstrap_servers=servers))
    await view.start()
    draining = Draining(view, topic, copies, records)
    async with asyncio.timeout(120):
        await draining.done.wait()
    await view.stop()
    return draining.taken


async def reread(servers: str, topic: str, records: int) -> int:
    """Batches of 100 single records, anywhere on the log."""
    chance, view = random.Random(1), LogView(KafkaSettings(bootstrap_servers=servers))
    await view.start()
    for _ in range(10):
        wanted = [(chance.randrange(PARTITIONS), chance.randrange(records // PARTITIONS)) for _ in range(100)]
        found = await asyncio.gather(*(view.fetch(topic, partition, offset) for partition, offset in wanted))
        assert all(record is not None for record in found)
    await view.stop()
    return 1000


def measure(case: str, servers: str, topic: str, records: int) -> None:
    began_s, began_cpu_s = time.monotonic(), cpu_s()
    if case == "client":
        taken = client(servers, topic, records)
    elif case == "reread":
        taken = uvloop.run(reread(servers, topic, records))
    else:
        taken = uvloop.run(drain(servers, topic, records, 100 if case == "fanout" else 1))
    used_us = (cpu_s() - began_cpu_s) / taken * 1e6
    wall_us = (time.monotonic() - began_s) / taken * 1e6
    print(
        f"{case:8} {taken:>10,} records  {used_us:7.2f} us CPU  {wall_us:7.2f} us wall  {rss_mb()} MB RSS", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", default="127.0.0.1:9092")
    parser.add_argument("--records", type=int, default=150_000)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--topic")
    parser.add_argument("--gc", action="store_true")
    given = parser.parse_args()
    if given.gc:
        gc.set_threshold(20_000, 20, 50)
    if given.case and given.topic:
        measure(given.case, given.bootstrap, given.topic, given.records)
        return
    admin = AdminClient({"bootstrap.servers": given.bootstrap, "log_level": 0})
    again = [sys.executable, __file__, "--bootstrap", given.bootstrap, "--records", str(given.records)]
    again += ["--gc"] if given.gc else []
    for case in [given.case] if given.case else CASES:
        topic = f"bench-view-{case}-{time.time_ns()}"
        admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
        if case == "tail":
            measuring = subprocess.Popen([*again, "--case", case, "--topic", topic])
            fill(given.bootstrap, topic, given.records, per_second=10_000)
            measuring.wait()
        else:
            fill(given.bootstrap, topic, given.records)
            subprocess.run([*again, "--case", case, "--topic", topic], check=True)
        admin.delete_topics([topic])[topic].result(30)


if __name__ == "__main__":
    main()
