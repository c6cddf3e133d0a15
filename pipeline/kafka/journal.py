"""Journal: appends that nobody waits for, many a second: attempt records.

A client of its own beside `Producer`: records may keep each other company for a tenth of a second, and only failures
are reported back. Through the shared producer, whose batches leave after 2 ms, an attempt record cost 10 µs of CPU at
25,000 deliveries a second; here it costs 1 µs (two cores, 1 KiB events).
"""

from __future__ import annotations

import asyncio
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pipeline.hooks import Hooks
from pipeline.kafka.client import KafkaSettings, client_conf, kafka_error, translated

LINGER_MS: Final = 100
# At this many records waiting, the next are dropped and counted: attempts are a record of work, never a brake on it.
QUEUE_RECORDS_MAX: Final = 200_000
QUEUE_KBYTES_MAX: Final = 64 * 1024
POLL_S: Final = 1.0
FLUSH_S: Final = 5.0


class Journal:
    """Append-only, acknowledged by all replicas, order kept; what fails is counted by ``on_append_failed``."""

    def __init__(self, settings: KafkaSettings, hooks: Hooks) -> None:
        self._hooks = hooks
        self._conf = {
            **client_conf(settings, "journal"),
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": LINGER_MS,
            "delivery.report.only.error": True,
            "queue.buffering.max.messages": QUEUE_RECORDS_MAX,
            "queue.buffering.max.kbytes": QUEUE_KBYTES_MAX,
            "partitioner": "murmur2_random",
            "on_delivery": self._failed,
        }
        self._begin()
        self._polling: asyncio.Task[None] | None = None

    def _begin(self) -> None:
        self._producer = Producer(self._conf)
        self._produce = self._producer.produce

    async def start(self) -> None:
        self._polling = asyncio.create_task(self._poll())

    def write(self, topic: str, key: bytes, value: bytes) -> None:
        """Append one record soon. Called per delivery: it does nothing else when all is well."""
        try:
            self._produce(topic, value, key)
        except BufferError as error:
            self._hooks.on_append_failed(topic, error)
        except KafkaException as error:
            self._hooks.on_append_failed(topic, error)
            self._mend(error)

    async def stop(self) -> None:
        """Append what waits, for at most `FLUSH_S`."""
        if self._polling is not None:
            self._polling.cancel()
        await asyncio.to_thread(self._producer.flush, FLUSH_S)

    async def _poll(self) -> None:
        """Failures are reported from `poll`; once a second is soon enough to count them."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                self._producer.poll(0)
            except KafkaException as error:
                self._hooks.on_append_failed("", error)
                self._mend(error)

    def _mend(self, error: KafkaException) -> None:
        """An idempotent producer that lost its sequence refuses everything: what it held is lost, a new one goes on."""
        if kafka_error(error).fatal() or kafka_error(error).code() == KafkaError._FATAL:
            self._producer.purge()
            self._begin()

    def _failed(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._hooks.on_append_failed(message.topic() or "", translated(error, "append to the journal"))
