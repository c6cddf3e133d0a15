"""Wanted: what should run, by the rows of the subscriptions and runs tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from pipeline.errors import PipelineError
from pipeline.faces import Table
from pipeline.push.reading import Reading
from pipeline.subscription import StoredRun, StoredSubscription

T = TypeVar("T", bound=msgspec.Struct)


class Wanted:
    """Looks into both tables. ``on_error`` is told of rows that cannot be read: a newer release may have written them,
    and they stop no other.
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
        self._subscriptions, self._runs = subscriptions, runs
        self._namespace, self._defaults, self._on_error = namespace, defaults, on_error

    def readings(self) -> dict[str, Reading]:
        """By group: the live readings of active subscriptions, and their active bounded ones."""
        rows = self._rows(self._subscriptions, StoredSubscription)
        active = {row.spec.name: row for row in rows if row.state == "active"}
        readings = [Reading(self._namespace, row, None, self._defaults) for row in active.values()]
        for run in self._rows(self._runs, StoredRun):
            if run.state == "active" and run.subscription in active:
                readings.append(Reading(self._namespace, active[run.subscription], run, self._defaults))
        return {reading.group: reading for reading in readings}

    def _rows(self, table: Table, kind: type[T]) -> Iterator[T]:
        for row in table.rows().values():
            try:
                yield msgspec.json.decode(row.value, type=kind)
            except (msgspec.MsgspecError, PipelineError) as error:
                self._on_error(error)
