"""Sweeping: rows of the ``parked`` table that hold nobody any more are deleted, by whichever worker finds them.

A side run's keys wait for nobody once it is over, and a key that was held goes on when its subscription's policy is no
longer ``block``. Left alone, such rows would be shown as waiting, and hold those keys again when the policy came back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import msgspec

from pipeline.errors import DeclarationInvalid, VersionConflict
from pipeline.faces import StoredRow, Table
from pipeline.parking import ParkedKey, parked_keys
from pipeline.subscription import stored_run, stored_subscription

EVERY_S = 30.0


class Sweeper:
    """Deletes what two looks in a row found outdated and unchanged: tables are read beside each other, so that one may
    be a moment behind another.
    """

    def __init__(self, parked: Table, subscriptions: Table, runs: Table) -> None:
        self._parked, self._subscriptions, self._runs = parked, subscriptions, runs
        self._found: dict[str, int] = {}

    async def sweep(self) -> int:
        """One round; how many rows were deleted. Raises LogError."""
        rows = self._parked.rows()
        before = self._found
        self._found = {one.name: rows[one.name].version for one in self._outdated(rows)}
        swept = [name for name, version in self._found.items() if before.get(name) == version]
        for name in swept:
            with contextlib.suppress(VersionConflict):  # somebody else did, or it waits anew
                await self._parked.put(name, None, based_on=self._found.pop(name))
        return len(swept)

    def _outdated(self, rows: Mapping[str, StoredRow]) -> Iterator[ParkedKey]:
        for one in parked_keys(rows, ""):
            parts = one.group.rsplit(".", 2)
            run = self._runs.get(parts[-1])
            if run is not None and len(parts) == 3:
                if _is_over(run):
                    yield one
            elif one.policy == "block" and _holds_none(self._subscriptions.get(parts[-1])):
                yield one


def _is_over(row: StoredRow) -> bool:
    """What cannot be read may go on."""
    try:
        return stored_run(row.value).state in ("done", "cancelled")
    except (msgspec.MsgspecError, DeclarationInvalid):
        return False


def _holds_none(row: StoredRow | None) -> bool:
    """Whether the subscription's policy holds no keys; of one that is deleted, or cannot be read, nobody knows."""
    try:
        return row is not None and stored_subscription(row.value).spec.on_dead_letter != "block"
    except (msgspec.MsgspecError, DeclarationInvalid):
        return False
