"""How the tests of the log view write to the log and read from it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from pipeline.kafka.view import Feed, Gap, LogView
from pipeline.record import Record


class Reading:
    """One feed read as a subscription would: `take` until None, then wait for ``on_ready``."""

    def __init__(self, view: LogView, topic: str, partition: int, offset: int, *, records_max: int = 100) -> None:
        self.records: list[Record] = []
        self.gaps: list[Gap] = []
        self._ready = asyncio.Event()
        self._records_max = records_max
        self.feed: Feed = view.feed(topic, partition, offset, self._ready.set)

    @property
    def offsets(self) -> list[int]:
        return [record.offset for record in self.records]

    def take_all(self) -> None:
        """What is in memory now."""
        while (taken := self.feed.take(self._records_max)) is not None:
            self.records += taken.records
            if taken.gap is not None:
                self.gaps.append(taken.gap)
            assert taken.next_offset == self.feed.position

    async def until(self, offset: int, timeout_s: float = 20.0) -> None:
        """Read until ``offset`` is the next one (or passed)."""
        async with asyncio.timeout(timeout_s):
            while True:
                self._ready.clear()
                self.take_all()
                if self.feed.position >= offset:
                    return
                await self._ready.wait()


def producer(servers: str, **conf: str | int) -> Producer:
    return Producer({"bootstrap.servers": servers, "log_level": 0, "linger.ms": 0, **conf})


def append(servers: str, topic: str, partition: int, values: Iterable[bytes], **conf: str | int) -> None:
    """Appends and waits."""
    client = producer(servers, **conf)
    for value in values:
        while True:
            try:
                client.produce(topic, value, partition=partition, headers=[("ce_id", value[:8])])
                break
            except BufferError:
                client.poll(0.1)
    assert client.flush(20) == 0


def append_transaction(servers: str, topic: str, partition: int, values: Iterable[bytes], *, commit: bool) -> None:
    client = producer(servers, **{"transactional.id": f"{topic}-{partition}"})
    client.init_transactions(20)
    client.begin_transaction()
    for value in values:
        client.produce(topic, value, partition=partition)
    client.flush(20)
    if commit:
        client.commit_transaction(20)
    else:
        client.abort_transaction(20)


def delete_records(servers: str, topic: str, partition: int, before: int) -> None:
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    for done in admin.delete_records([TopicPartition(topic, partition, before)]).values():
        done.result(10)


def delete_topic(servers: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    for done in admin.delete_topics([topic]).values():
        done.result(10)
