"""TableTail: one consumer thread that reads the topics of all tables, from their beginning and on.

Without a group: partition 0 of each topic, assigned by hand. Records go to the loop in batches, one wake-up each;
at most `BATCHES_MAX` wait there, then the thread stops reading. A client that fails for good is replaced and every
topic read again.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline.kafka.client import KafkaSettings, client_conf, translated
from pipeline.record import Record

BATCH_RECORDS_MAX = 500
BATCHES_MAX = 4
_POLL_S = 0.1
_RESTART_S = 1.0


class Reads(Protocol):
    """What a topic's reader is told, on the loop, in log order."""

    def begin(self) -> None:
        """What follows starts at the topic's beginning (again)."""

    def apply(self, record: Record) -> None: ...
    def at_end(self) -> None:
        """Everything that was committed to the topic so far has been applied."""


class TableTail:
    """Start it on the loop its readers live on. ``on_error`` is called there, too."""

    def __init__(self, settings: KafkaSettings, on_error: Callable[[Exception], None]) -> None:
        self._settings, self._on_error = settings, on_error
        self._readers: dict[str, Reads] = {}
        self._wanted: deque[TopicPartition] = deque()
        self._room = threading.Semaphore(BATCHES_MAX)
        self._news = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def read(self, topic: str, reader: Reads) -> None:
        """Read `topic` to ``reader``; the thread starts with the first."""
        self._readers[topic] = reader
        self._wanted.append(_from_zero(topic))
        self._news.set()
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name="table-tail", daemon=True)
            self._thread.start()

    async def stop(self) -> None:
        """End the thread; readers hear nothing more."""
        self._stopping = True
        self._news.set()
        self._readers.clear()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    # -- on the loop -------------------------------------------------------------------------------------------------

    def _deliver(self, batch: Sequence[Record | tuple[str, KafkaError] | str]) -> None:
        """Records; ``(topic, error)`` for what a partition met; a topic's name when its reading begins."""
        self._room.release()
        for item in batch:
            if isinstance(item, str):
                if reader := self._readers.get(item):
                    reader.begin()
            elif isinstance(item, Record):
                if reader := self._readers.get(item.topic):
                    reader.apply(item)
            else:
                self._met(*item)

    def _met(self, topic: str, error: KafkaError) -> None:
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            if reader := self._readers.get(topic):
                reader.at_end()
            return
        if code == KafkaError._AUTO_OFFSET_RESET:  # truncated, or made anew: what we hold is no longer what it says
            self._wanted.append(TopicPartition(topic, 0, OFFSET_BEGINNING))
        self._on_error(translated(error, f"read table {topic}", topic=topic))

    # -- on the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._tail()
            except KafkaException as error:
                self._post(lambda error=error: self._on_error(translated(error, "read tables")))  # type: ignore[misc]  # bound now
                self._news.clear()
                self._news.wait(_RESTART_S)
                self._wanted.extend(_from_zero(topic) for topic in list(self._readers))

    def _tail(self) -> None:
        consumer = Consumer(_conf(self._settings))
        assigned: set[str] = set()
        try:
            while not self._stopping:
                self._assign(consumer, assigned)
                if not assigned:
                    self._news.wait(_POLL_S)
                    self._news.clear()
                elif self._room.acquire(timeout=_POLL_S):
                    self._forward(consumer)
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer, assigned: set[str]) -> None:
        begun: list[str] = []
        while self._wanted:
            place = self._wanted.popleft()
            if place.topic in assigned:
                consumer.incremental_unassign([place])
            consumer.incremental_assign([place])
            assigned.add(place.topic)
            begun.append(place.topic)
        if begun:
            self._room.acquire()
            self._post(lambda: self._deliver(begun))

    def _forward(self, consumer: Consumer) -> None:
        first = consumer.poll(_POLL_S)
        if first is None:
            self._room.release()
            return
        batch = [_item(message) for message in (first, *consumer.consume(BATCH_RECORDS_MAX, 0))]
        self._post(lambda: self._deliver(batch))

    def _post(self, call: Callable[[], None]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop is closed: nobody listens
            self._stopping = True


def _from_zero(topic: str) -> TopicPartition:
    """Where a compacted topic begins, without asking; had somebody deleted records, the reset error leads on."""
    return TopicPartition(topic, 0, 0)


def _item(message: Message) -> Record | tuple[str, KafkaError]:
    topic: str = message.topic() or ""
    error = message.error()
    if error is not None:
        return topic, error
    return Record(
        topic=topic,
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        timestamp_ms=message.timestamp()[1],
        key=message.key(),
        value=message.value(),
        headers=tuple(message.headers() or ()),  # type: ignore[arg-type]  # always pairs on what was read
    )


def _conf(settings: KafkaSettings) -> dict[str, str | int | float | bool]:
    return {
        **client_conf(settings, "tables"),
        # Asked for by the client, never joined or committed to.
        "group.id": f"{settings.client_id}-tables",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "allow.auto.create.topics": False,
        "queued.max.messages.kbytes": 8192,
    }
