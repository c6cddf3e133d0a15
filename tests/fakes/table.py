"""FakeTable: a compacted topic as a table, with compare-and-set and watchers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.errors import VersionConflict
from pipeline.kafka.table import Row


class FakeTable:
    def __init__(self) -> None:
        self.content: dict[str, Row] = {}
        self.written = 0
        self.watchers: list[Callable[[str, Row | None], None]] = []

    def get(self, key: str) -> Row | None:
        return self.content.get(key)

    def rows(self) -> Mapping[str, Row]:
        return dict(self.content)

    async def put(self, key: str, value: bytes | None, *, based_on: int | None) -> Row:
        current = self.content.get(key)
        if (current.version if current else None) != based_on:
            raise VersionConflict(f"{key}: based on {based_on}, but it is at {current and current.version}")
        self.written += 1
        if value is None:
            self.content.pop(key, None)
        else:
            self.content[key] = Row(value, self.written)
        for watcher in self.watchers:
            watcher(key, self.content.get(key))
        return self.content.get(key, Row(b"", self.written))

    def watch(self, callback: Callable[[str, Row | None], None]) -> Callable[[], None]:
        self.watchers.append(callback)
        return lambda: self.watchers.remove(callback)
