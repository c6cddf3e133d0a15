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
from typing import TypeAlias

from pipeline.errors import BrokerUnavailable, DeclarationInvalid, InputError, PayloadTooLarge, PipelineError, VersionConflict
from pipeline.hooks import Hooks
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.producer import Producer
from pipeline.kafka.replay_rule import ReplayRule, Row, Write
from pipeline.kafka.table_tail import TableTail
from pipeline.record import Record

__all__ = ["LogTable", "Row", "Tables"]

Watcher: TypeAlias = Callable[[str, Row | None], None]

ROW_BYTES_MAX = 512 * 1024
KEY_BYTES_MAX = 1024
PUT_TRIES = 5
UNSETTLED_S = 60.0
KEEP_S = 300.0
# Offsets of ignored writes that are remembered for a `put` still waiting to hear of its own.
IGNORED_MAX = 10_000
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
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, hides nothing
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
        self._rule = ReplayRule()
        self._loading: ReplayRule | None = None
        self._loaded: asyncio.Future[None] | None = None
        self._next_offset = 0
        self._ignored: dict[int, None] = {}
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._watchers: list[Watcher] = []
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def start(self) -> None:
        """Make the topic if it is missing, read it to its end, go on reading. Returns when the rows are there.

        Raises `DeclarationInvalid` for a topic that is no table (not compacted, several partitions), `BrokerUnavailable`.
        """
        if self._loaded is None:
            await self._ensure_topic()
            self._loaded = asyncio.get_running_loop().create_future()
            self._tail.read(self.topic, self)
        try:
            await asyncio.wait_for(asyncio.shield(self._loaded), max(60.0, 2 * self._timeout_s))
        except TimeoutError:
            raise BrokerUnavailable(f"table {self.topic} was not read to its end in time") from None

    def get(self, key: str) -> Row | None:
        return self._rule.get(key)

    def rows(self) -> dict[str, Row]:
        """Key → row, a copy."""
        return self._rule.rows()

    async def put(self, key: str, value: bytes | None, *, based_on: int | None) -> Row:
        """Set the row (None: delete it) if it is still at version ``based_on`` (None: if there is none).

        Returns the row as written; every process that has read this far agrees. Raises `VersionConflict` when someone
        was first, `PayloadTooLarge`, and `BrokerUnavailable`: then the write may or may not come to count; look again.
        """
        _check(key, value, based_on)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            for _ in range(PUT_TRIES):
                current = self._rule.get(key)
                if (current.version if current else None) != based_on:
                    break
                offset, accepted = await self._append(key, self._rule.write(key, value))
                if accepted:
                    return Row(value or b"", offset)
                await self._settle(key)
        current = self._rule.get(key)
        raise VersionConflict(
            f"{self.topic} {key}: it is at version {current.version if current else None}, not {based_on}"
        )

    def watch(self, callback: Watcher) -> Callable[[], None]:
        """Call ``callback(key, row)`` (None: deleted) on the loop at each change from now on; the result ends it."""
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback) if callback in self._watchers else None

    async def keep(self, now_s: float) -> None:
        """Repair keys left unsettled by processes that died, forget what was deleted long ago."""
        now_ms = int(now_s * 1000)
        for key in self._rule.unsettled(now_ms - int(UNSETTLED_S * 1000)):
            await self._settle(key)
        for key in list(self._rule.forgettable(now_ms)):
            try:
                await self._append(key, self._rule.forget(key))
            except PipelineError:  # told to the hooks by the producer; the next round tries again
                return

    # -- what the tail tells -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        self._loading = ReplayRule()

    def apply(self, record: Record) -> None:
        rule = self._rule if self._loading is None else self._loading
        key = (record.key or b"").decode(errors="replace")
        before = rule.get(key)
        accepted = rule.apply(record)
        self._next_offset = record.offset + 1
        if not accepted:
            self._ignored[record.offset] = None
            if len(self._ignored) > IGNORED_MAX:
                del self._ignored[next(iter(self._ignored))]
        waiting = self._waiting.pop(record.offset, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(accepted)
        after = rule.get(key)
        if self._loading is None and before != after:
            self._tell(key, after)

    def at_end(self) -> None:
        if self._loading is None:
            return
        old, self._rule, self._loading = self._rule.rows(), self._loading, None
        new = self._rule.rows()
        for key in old.keys() | new.keys():
            if old.get(key) != new.get(key):
                self._tell(key, new.get(key))
        if self._loaded is not None and not self._loaded.done():
            self._loaded.set_result(None)

    def _tell(self, key: str, row: Row | None) -> None:
        for callback in self._watchers[:]:
            try:
                callback(key, row)
            except Exception as error:  # one watcher's fault must not cost another its news
                context = {"message": f"a watcher of table {self.topic} raised", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    # -- writing -----------------------------------------------------------------------------------------------------

    async def _append(self, key: str, write: Write) -> tuple[int, bool]:
        """Where the write lies, and whether it counts."""
        position = await self._producer.append(
            self.topic, key=key.encode(), value=write.value, headers=write.headers, partition=0
        )
        return position.offset, await self._verdict(position.offset)

    async def _verdict(self, offset: int) -> bool:
        if offset < self._next_offset:
            return offset not in self._ignored
        waiting = self._waiting.setdefault(offset, asyncio.get_running_loop().create_future())
        try:
            return await asyncio.wait_for(waiting, self._timeout_s)
        except TimeoutError:
            raise BrokerUnavailable(f"{self.topic}: offset {offset} is written but was not read back in time") from None
        finally:
            self._waiting.pop(offset, None)

    async def _settle(self, key: str) -> None:
        """Say again what holds, so that compaction keeps that; gives up quietly, `keep` comes back to it."""
        for _ in range(PUT_TRIES):
            write = self._rule.repair(key) if self._rule.is_unsettled(key) else None
            if write is None:
                return
            try:
                await self._append(key, write)
            except PipelineError:  # told to the hooks by the producer
                return

    async def _ensure_topic(self) -> None:
        found = (await self._admin.describe([self.topic])).get(self.topic)
        if found is None:
            await self._admin.create(self.topic, 1, TOPIC_CONFIG)
            found = (await self._admin.describe([self.topic]))[self.topic]
        policy = (await self._admin.topic_config(self.topic)).get("cleanup.policy", "")
        if policy != "compact" or found.partitions != 1:
            what = f"cleanup.policy={policy}, {found.partitions} partitions"
            raise DeclarationInvalid(self.topic, what, "cleanup.policy=compact and one partition: rows would be lost")


def _check(key: str, value: bytes | None, based_on: int | None) -> None:
    if not 1 <= len(key.encode()) <= KEY_BYTES_MAX:
        raise InputError("key", key, f"1 to {KEY_BYTES_MAX} bytes of UTF-8")
    if value is not None and len(value) > ROW_BYTES_MAX:
        raise PayloadTooLarge("value", f"{len(value)} bytes", f"at most {ROW_BYTES_MAX} bytes a row")
    if value is None and based_on is None:
        raise InputError("based_on", None, "the version of the row to delete")
