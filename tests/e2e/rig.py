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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from pipeline.config import Config, load_config
from pipeline.names import state_topic_of
from pipeline.wiring import Node, ensure_key_file, started

READS_ALL = {
    "group.id": "tests-look",
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
}


async def until(holds: Callable[[], Awaitable[bool]], timeout_s: float, what: str) -> None:
    """Wait until ``holds``; fails saying ``what`` did not come about."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not await holds():
        assert asyncio.get_running_loop().time() < deadline, f"not in {timeout_s} s: {what}"
        await asyncio.sleep(0.1)


class Rig:
    """One namespace on the broker, configured in a folder of its own. ``bridge`` replaces settings of that section."""

    def __init__(self, folder: Path, bootstrap_servers: str, namespace: str, **bridge: float | str) -> None:
        self.folder, self.servers, self.namespace = folder, bootstrap_servers, namespace
        settings = {"session_timeout_s": 6, "drain_s": 2, **bridge}
        folder.mkdir(exist_ok=True)
        (folder / "pipeline.toml").write_text(
            f'namespace = "{namespace}"\n[kafka]\nbootstrap_servers = "{bootstrap_servers}"\n'
            "[webhook]\nallow_loopback = true\nallow_http = true\n[bridge]\n"
            + "".join(f"{name} = {value}\n" for name, value in settings.items())
        )
        ensure_key_file(folder / ".pipeline" / "secret.key")

    @property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.servers})

    @property
    def config(self) -> Config:
        return load_config(self.folder, {}, {})

    def make_topic(self, name: str, partitions: int, config: dict[str, str] | None = None) -> None:
        admin = self.admin
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

    @contextlib.asynccontextmanager
    async def worker(self) -> AsyncIterator[Node]:
        """A node that delivers, in this process."""
        async with self.node() as node:
            await node.start_worker()
            yield node

    async def tool(self, *words: str) -> str:
        """What a stock Kafka tool prints; it must succeed."""
        command = [sys.executable, "-m", "pipeline", "kafka", "--bootstrap-server", self.servers, *words]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        printed, _ = await process.communicate()
        assert process.returncode == 0, printed.decode()
        return printed.decode()

    def records(self, topic: str) -> list[Message]:
        """Everything that lies on ``topic`` now."""
        consumer = Consumer({**READS_ALL, "bootstrap.servers": self.servers})
        try:
            partitions = consumer.list_topics(topic, 10).topics[topic].partitions
            consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
            found: list[Message] = []
            unread = set(partitions)
            while unread:
                message = consumer.poll(10)
                assert message is not None
                error = message.error()
                if error is None:
                    found.append(message)
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    unread.discard(message.partition())
            return found
        finally:
            consumer.close()

    async def table_lines(self, table: str, count: int = 1, **facts: object) -> list[dict[str, Any]]:
        """Lines of our own topic ``table`` (audit, attempts) with these ``facts``, once there are ``count``."""
        return await self.lines(state_topic_of(self.namespace, table), count, **facts)

    async def lines(self, topic: str, count: int = 1, /, **facts: object) -> list[dict[str, Any]]:
        """JSON lines of ``topic``, as `table_lines`."""
        found: list[dict[str, Any]] = []

        async def enough() -> bool:
            messages = await asyncio.to_thread(self.records, topic)
            lines = [json.loads(line) for message in messages for line in (message.value() or b"").split(b"\n")]
            found[:] = [line for line in lines if facts.items() <= line.items()]
            return len(found) >= count

        await until(enough, 15, f"{count} lines of {facts} in {topic}")
        return found

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
