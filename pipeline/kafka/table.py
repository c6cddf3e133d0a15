"""LogTable: a compacted topic as a table with compare-and-set; Tables: all of a process, over one tail.

Every process reads the whole topic and decides by `ReplayRule` which writes count, so all reach the same rows and none
is the leader. `put` returns when this process has read its own write back and knows what became of it.
"""

from __future__ import annotations

import asyncio
import random
import time
import weakref
from collections.abc import Callable

from pipeline.errors import (
    BrokerUnavailable,
    DeclarationInvalid,
    InputError,
    PayloadTooLarge,
    PipelineError,
    TopicNotFound,
    VersionConflict,
)
from pipeline.hooks import Hooks
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.producer import Producer
from pipeline.kafka.replay_rule import Row, Write
from pipeline.kafka.table_replica import TableReplica, Watcher
from pipeline.kafka.table_tail import TableTail

__all__ = ["LogTable", "Row", "Tables"]

ROW_BYTES_MAX = 512 * 1024
KEY_BYTES_MAX = 1024
PUT_TRIES = 5
# One process of those that lost at once is done in each round.
SETTLE_TRIES = 20
UNSETTLED_S = 60.0
KEEP_S = 300.0
LOAD_S = 60.0
TOPIC_CONFIG = {
    "cleanup.policy": "compact",
    # The time there is to repair a key whose last record is an ignored one (see replay_rule.py).
    "min.compaction.lag.ms": "3600000",
    # The brokers' clock dates the rows, not each writer's own.
    "message.timestamp.type": "LogAppendTime",
    "segment.ms": "86400000",
}


class Tables:
    """The tables of one process. ``table(topic)`` gives the same `LogTable` each time; start each, stop all here."""

    def __init__(self, settings: KafkaSettings, producer: Producer, admin: Admin, hooks: Hooks | None = None) -> None:
        hooks = hooks or Hooks()
        self._settings, self._producer, self._admin = settings, producer, admin
        self._tail = TableTail(settings, hooks.on_consumer_error)
        self._tables: dict[str, LogTable] = {}
        self._keeping: asyncio.Task[None] | None = None

    def table(self, topic: str) -> LogTable:
        table = self._tables.get(topic)
        if table is None:
            table = self._tables[topic] = LogTable(
                topic, settings=self._settings, producer=self._producer, admin=self._admin, tail=self._tail
            )
        if self._keeping is None:
            self._keeping = asyncio.get_running_loop().create_task(self._keep())
        return table

    async def stop(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
        await self._tail.stop()

    async def _keep(self) -> None:
        """Every process does this, none is in charge: chance spreads them, and doing it twice does no harm."""
        pause_s = 10.0
        while True:
            await asyncio.sleep(pause_s * (0.5 + random.random()))  # noqa: S311 - spreads load, hides nothing
            pause_s = KEEP_S
            for table in list(self._tables.values()):
                await table.keep(time.time())


class LogTable:
    """One table. Made by `Tables.table`; use from one event loop."""

    def __init__(
        self, topic: str, *, settings: KafkaSettings, producer: Producer, admin: Admin, tail: TableTail
    ) -> None:
        self.topic = topic
        self._timeout_s = settings.request_timeout_s
        self._producer, self._admin, self._tail = producer, admin, tail
        self._replica = TableReplica(topic)
        self._starting = asyncio.Lock()
        self._reading = False
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def start(self) -> None:
        """Make the topic if it is missing, read it to its end, go on reading. Returns when the rows are there.

        Raises `DeclarationInvalid` for a topic that is no table (not compacted, or several partitions),
        and `BrokerUnavailable`.
        """
        async with self._starting:
            if not self._reading:
                self._replica.end = await self._topic_end()
                self._tail.read(self.topic, self._replica)
                self._reading = True
        try:
            await asyncio.wait_for(self._replica.loaded.wait(), LOAD_S)
        except TimeoutError:
            raise BrokerUnavailable(f"table {self.topic} was not read to its end in {LOAD_S} s") from None

    def get(self, key: str) -> Row | None:
        return self._replica.rule.get(key)

    def rows(self) -> dict[str, Row]:
        """Key → row, a copy."""
        return self._replica.rule.rows()

    async def put(self, key: str, value: bytes | None, *, based_on: int | None) -> Row:
        """Set the row (None: delete it) if it is still at version ``based_on`` (None: if there is none).

        Returns the row as written; every process that has read this far agrees. Raises `VersionConflict` when someone
        was first, `PayloadTooLarge`, and `BrokerUnavailable`: then the write may or may not come to count; look again.
        """
        _check(key, value, based_on)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            for _ in range(PUT_TRIES):
                current = self._replica.rule.get(key)
                if (current.version if current else None) != based_on:
                    break
                offset, accepted = await self._append(key, self._replica.rule.write(key, value))
                if accepted:
                    return Row(value or b"", offset)
                await self._settle(key)
        current = self._replica.rule.get(key)
        raise VersionConflict(
            f"{self.topic} {key}: it is at version {current.version if current else None}, not {based_on}"
        )

    def watch(self, callback: Watcher) -> Callable[[], None]:
        """Call ``callback(key, row)`` (None: deleted) on the loop at each change from now on; the result ends it."""
        return self._replica.watch(callback)

    async def keep(self, now_s: float) -> None:
        """Repair keys left unsettled by processes that died, forget what was deleted long ago."""
        now_ms = int(now_s * 1000)
        for key in self._replica.rule.unsettled(now_ms - int(UNSETTLED_S * 1000)):
            await self._settle(key)
        for key in list(self._replica.rule.forgettable(now_ms)):
            try:
                await self._append(key, self._replica.rule.forget(key))
            except PipelineError:  # told to the hooks by the producer; the next round tries again
                return

    async def _append(self, key: str, write: Write) -> tuple[int, bool]:
        """Where the write lies, and whether it counts."""
        position = await self._producer.append(
            self.topic, key=key.encode(), value=write.value, headers=write.headers, partition=0
        )
        return position.offset, await self._replica.verdict(position.offset, self._timeout_s)

    async def _settle(self, key: str) -> None:
        """Say again what holds, so that compaction keeps that; gives up quietly, `keep` comes back to it.

        Ends with the first repair that counts, though somebody else's may have unsettled the key again: theirs to
        repair. (Whoever went on would go on for ever with another who does.)
        """
        for _ in range(SETTLE_TRIES):
            write = self._replica.rule.repair(key) if self._replica.rule.is_unsettled(key) else None
            try:
                if write is None or (await self._append(key, write))[1]:
                    return
            except PipelineError:  # told to the hooks by the producer
                return

    async def _topic_end(self) -> int:
        """Where the topic ends now; it is made if it is missing, and refused if it would lose rows."""
        is_new = not await self._admin.describe([self.topic])
        if is_new:  # also where creating it says that it exists: another process was quicker, or our answer was lost
            await self._admin.create(self.topic, 1, TOPIC_CONFIG)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        while True:
            try:
                state = (await self._admin.describe([self.topic])).get(self.topic)
                if state is None:
                    raise TopicNotFound(self.topic)
                policy = (await self._admin.topic_config(self.topic)).get("cleanup.policy", "")
                if policy != "compact" or state.partitions != 1:
                    what = f"cleanup.policy={policy}, {state.partitions} partitions"
                    raise DeclarationInvalid(
                        self.topic, what, "cleanup.policy=compact and one partition: rows get lost"
                    )
                return (await self._admin.offsets([(self.topic, 0)], "latest"))[self.topic, 0]
            except TopicNotFound:  # some brokers hear of a new topic later than others
                if not is_new or loop.time() > deadline:
                    raise
                await asyncio.sleep(0.05)


def _check(key: str, value: bytes | None, based_on: int | None) -> None:
    if not 1 <= len(key.encode()) <= KEY_BYTES_MAX:
        raise InputError("key", key, f"1 to {KEY_BYTES_MAX} bytes of UTF-8")
    if value is not None and len(value) > ROW_BYTES_MAX:
        raise PayloadTooLarge("value", f"{len(value)} bytes", f"at most {ROW_BYTES_MAX} bytes a row")
    if value is None and based_on is None:
        raise InputError("based_on", None, "the version of the row to delete")
