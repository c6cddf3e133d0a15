"""What the end-to-end tests of the bridge share: a folder with a configuration, bridge processes, keyed events on a
topic.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from pipeline.config import Config, load_config
from pipeline.wiring import Node, ensure_key_file, started

READY_S = 30.0


class Rig:
    """One namespace on the broker, configured in a folder of its own; ``group`` names a subscription's group."""

    def __init__(self, folder: Path, bootstrap_servers: str, namespace: str) -> None:
        self.folder, self.servers, self.namespace = folder, bootstrap_servers, namespace
        (folder / "pipeline.toml").write_text(
            f'namespace = "{namespace}"\n[kafka]\nbootstrap_servers = "{bootstrap_servers}"\n'
            "[webhook]\nallow_loopback = true\nallow_http = true\n[bridge]\nsession_timeout_s = 6\ndrain_s = 2\n"
        )
        ensure_key_file(folder / ".pipeline" / "secret.key")

    @property
    def config(self) -> Config:
        return load_config(self.folder, {}, {})

    def make_topic(self, name: str, partitions: int, config: dict[str, str] | None = None) -> None:
        admin = AdminClient({"bootstrap.servers": self.servers})
        admin.create_topics([NewTopic(name, partitions, 1, config=config or {})])[name].result(20)

    def append(self, topic: str, count: int, *, keys: int, first: int = 0) -> None:
        """``count`` events, keys in turn, ``seq`` counting up within each key from ``first``."""
        # Idempotent, or a batch that is retried on a topic just made lands behind later ones.
        settings = {"partitioner": "murmur2_random", "linger.ms": 20, "enable.idempotence": True}
        producer = Producer({"bootstrap.servers": self.servers, **settings})
        for number in range(count):
            key = f"k{number % keys}"
            value = json.dumps({"key": key, "seq": first + number // keys, "pad": "x" * 200})
            producer.produce(topic, value, key, headers=[("content-type", b"application/json")])
            producer.poll(0)
        assert producer.flush(30) == 0

    @contextlib.asynccontextmanager
    async def node(self) -> AsyncIterator[Node]:
        async with started(self.config) as node:
            yield node

    async def subscribe(self, name: str, **declared: Any) -> None:
        async with self.node() as node:
            await node.subscriptions.put(name, declared)

    @contextlib.contextmanager
    def bridge(self) -> Iterator[subprocess.Popen[bytes]]:
        """A bridge process; ended by force at the end of the block if it still runs."""
        with (self.folder / "bridge.log").open("ab") as log:
            words = [sys.executable, "-m", "pipeline", "bridge", "--dir", str(self.folder)]
            process = subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
            try:
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                    process.kill()
                process.wait(10)

    async def committed(self, name: str, topic: str, partitions: int) -> dict[int, int]:
        """Offsets committed for a subscription, as the broker holds them."""
        async with self.node() as node:
            places = [(topic, number) for number in range(partitions)]
            found = await node.offsets.read(f"{self.namespace}.{name}", places)
            return {number: found[topic, number].offset for number in range(partitions) if (topic, number) in found}

    async def lag(self, name: str) -> int:
        async with self.node() as node:
            status = await node.subscriptions.status(name)
            return sum(part.lag or 0 for part in status.partitions)

    async def until_lag_0(self, name: str, timeout_s: float = 20.0) -> None:
        async with asyncio.timeout(timeout_s):
            async with self.node() as node:
                while True:
                    status = await node.subscriptions.status(name)
                    if all(part.lag == 0 for part in status.partitions):
                        return
                    await asyncio.sleep(0.2)
