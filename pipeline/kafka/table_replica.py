"""TableReplica: one table as this process has replayed it, what became of single writes, and who wants to know.

It is what the tail tells of one topic: `begin`, `apply` per record in log order, `at_end`. Everything on the loop.
While the topic is read (again) from its beginning the rows of before stay in view; at the end they are exchanged and
watchers hear the difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from pipeline.errors import BrokerUnavailable
from pipeline.kafka.replay_rule import ReplayRule, Row
from pipeline.record import Record

Watcher: TypeAlias = Callable[[str, Row | None], None]

# Offsets of ignored writes kept for a writer that has not asked yet what became of its own.
IGNORED_MAX = 10_000


class TableReplica:
    """``rule`` holds the rows. `loaded` is set once the topic has been read to its end the first time."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.rule = ReplayRule()
        self.loaded = asyncio.Event()
        # Where the topic ended when reading began: reaching it is enough, the tail's `at_end` comes up to 500 ms later.
        self.end: int | None = None
        self._loading: ReplayRule | None = None
        self._next_offset = 0
        self._ignored: dict[int, None] = {}
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._watchers: list[Watcher] = []

    def watch(self, callback: Watcher) -> Callable[[], None]:
        """Call ``callback(key, row)`` (None: deleted) at each change from now on; the result ends that."""
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback) if callback in self._watchers else None

    async def verdict(self, offset: int, timeout_s: float) -> bool:
        """Whether the write at `offset` counts, once it has been read back."""
        if offset < self._next_offset:
            return offset not in self._ignored
        waiting = self._waiting.setdefault(offset, asyncio.get_running_loop().create_future())
        try:
            return await asyncio.wait_for(waiting, timeout_s)
        except TimeoutError:
            raise BrokerUnavailable(
                f"{self.topic}: the write at offset {offset} was not read back in {timeout_s} s; it may count or not"
            ) from None
        finally:
            self._waiting.pop(offset, None)

    def begin(self) -> None:
        self._loading = ReplayRule()
        self._next_offset = 0
        if self.end == 0:
            self.at_end()

    def apply(self, record: Record) -> None:
        rule = self.rule if self._loading is None else self._loading
        key = (record.key or b"").decode(errors="replace")
        before = rule.get(key)
        self._judge(record.offset, rule.apply(record))
        after = rule.get(key)
        if self._loading is None:
            if before != after:
                self._tell(key, after)
        elif self.end is not None and self._next_offset >= self.end:
            self.at_end()

    def at_end(self) -> None:
        """Everything that was committed to the topic so far has been applied."""
        self.end = None
        if self._loading is None:
            return
        old, self.rule, self._loading = self.rule.rows(), self._loading, None
        new = self.rule.rows()
        for key in old.keys() | new.keys():
            if old.get(key) != new.get(key):
                self._tell(key, new.get(key))
        self.loaded.set()

    def _judge(self, offset: int, accepted: bool) -> None:
        self._next_offset = offset + 1
        if not accepted:
            self._ignored[offset] = None
            if len(self._ignored) > IGNORED_MAX:
                del self._ignored[next(iter(self._ignored))]
        waiting = self._waiting.pop(offset, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(accepted)

    def _tell(self, key: str, row: Row | None) -> None:
        for callback in self._watchers[:]:
            try:
                callback(key, row)
            except Exception as raised:  # noqa: BLE001 - any: one watcher's fault must not cost another its news
                context = {"message": f"a watcher of table {self.topic} raised", "exception": raised}
                asyncio.get_running_loop().call_exception_handler(context)
