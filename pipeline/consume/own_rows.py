"""Tables as a consumer shows them to the worker inside it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from pipeline.errors import CursorNotFound
from pipeline.faces import StoredRow, WatchedTable


class OwnRows:
    """The rows of ``table`` whose handlers this process has: during a roll-out others may have more, or fewer."""

    def __init__(self, table: WatchedTable, names: Collection[str]) -> None:
        self._table, self._names = table, frozenset(names)

    def get(self, key: str, /) -> StoredRow | None:
        return self._table.get(key) if key in self._names else None

    def rows(self) -> Mapping[str, StoredRow]:
        return {key: row for key, row in self._table.rows().items() if key in self._names}

    async def put(self, key: str, value: bytes | None, /, *, based_on: int | None) -> StoredRow:
        return await self._table.put(key, value, based_on=based_on)

    def watch(self, callback: Callable[[str, StoredRow | None], None], /) -> Callable[[], None]:
        return self._table.watch(callback)


class NoRows:
    """A table without rows: a consumer has no named cursors whose groups could be its own."""

    def get(self, key: str, /) -> None:
        del key

    def rows(self) -> Mapping[str, StoredRow]:
        return {}

    async def put(self, key: str, value: bytes | None, /, *, based_on: int | None) -> StoredRow:
        del value, based_on
        raise CursorNotFound(key, "consumers have none")
