"""Wanted: what should run, by the rows of the subscriptions and runs tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import msgspec

from pipeline.errors import PipelineError
from pipeline.faces import Table
from pipeline.push.reading import Reading
from pipeline.subscription import StoredRun, StoredSubscription, stored_run, stored_subscription

T = TypeVar("T", bound=msgspec.Struct)


class Wanted:
    """Looks into both tables. ``on_error`` is told of rows that cannot be read: a newer release may have written them,
    and they stop no other. What did not change since the last look is not read again.
    """

    def __init__(
        self,
        subscriptions: Table,
        runs: Table,
        *,
        namespace: str,
        defaults: Callable[[str], tuple[str, str]],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._subscriptions = _Rows(subscriptions, stored_subscription, on_error)
        self._runs = _Rows(runs, stored_run, on_error)
        self._namespace, self._defaults, self._on_error = namespace, defaults, on_error
        self._made: dict[str, tuple[StoredSubscription, StoredRun | None, Reading]] = {}

    def readings(self) -> dict[str, Reading]:
        """By group: the live readings of active subscriptions, and their active bounded ones."""
        active = {row.spec.name: row for row in self._subscriptions.read() if row.state == "active"}
        wanted: list[tuple[str, StoredSubscription, StoredRun | None]] = [(name, active[name], None) for name in active]
        for stored in self._runs.read():
            if stored.state == "active" and stored.subscription in active:
                wanted.append((f"{stored.subscription}/{stored.id}", active[stored.subscription], stored))
        before, self._made = self._made, {}
        for name, row, run in wanted:
            made = before.get(name)
            if made is None or made[0] is not row or made[1] is not run:
                try:
                    made = (row, run, Reading(self._namespace, row, run, self._defaults))
                except PipelineError as error:
                    self._on_error(error)
                    continue
            self._made[name] = made
        return {reading.group: reading for _, _, reading in self._made.values()}


class _Rows(Generic[T]):
    """The rows of one table as values; the same value while the row's bytes are the same."""

    def __init__(self, table: Table, decode: Callable[[bytes], T], on_error: Callable[[Exception], None]) -> None:
        self._table, self._decode, self._on_error = table, decode, on_error
        self._decoded: dict[str, tuple[bytes, T]] = {}

    def read(self) -> Iterator[T]:
        before, self._decoded = self._decoded, {}
        for key, row in self._table.rows().items():
            known = before.get(key)
            if known is None or known[0] != row.value:
                try:
                    known = (row.value, self._decode(row.value))
                except (msgspec.MsgspecError, PipelineError) as error:
                    self._on_error(error)
                    continue
            self._decoded[key] = known
            yield known[1]
