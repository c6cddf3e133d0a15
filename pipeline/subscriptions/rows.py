"""The rows of subscriptions: read, and changed one at a time per name, each change written into the audit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from pipeline.errors import SubscriptionNotFound, VersionConflict
from pipeline.faces import Notes, Silent, StoredRow, Table, Tells, What
from pipeline.subscription import StoredSubscription, stored_subscription
from pipeline.subscriptions.secrets import take_secrets


class Ledgers(NamedTuple):
    """Where verbs are written down: who did what, for auditors; what happened, for whoever listens."""

    audit: Notes = Silent()
    happenings: Tells = Silent()


class Rows:
    """The subscriptions table of one namespace."""

    def __init__(self, table: Table, ledgers: Ledgers | None = None) -> None:
        self.table, self.ledgers = table, ledgers or Ledgers()
        self._locks: dict[str, asyncio.Lock] = {}

    def lock(self, name: str) -> asyncio.Lock:
        """Held while ``name`` is changed here; other processes are told apart by versions."""
        return self._locks.setdefault(name, asyncio.Lock())

    def find(self, name: str, if_match: str | None = None) -> StoredRow | None:
        """The row as stored. Raises `VersionConflict` when it is not at ``if_match`` (``*``: any that exists)."""
        found = self.table.get(name)
        if if_match is None or (found is not None and if_match in ("*", str(found.version))):
            return found
        version = found.version if found else "none"
        raise VersionConflict(f"subscription {name} is at version {version}, not {if_match}")

    def get(self, name: str, if_match: str | None = None) -> tuple[StoredSubscription, int]:
        """The row and its version. Raises `SubscriptionNotFound`, `VersionConflict`."""
        found = self.table.get(name)
        if found is None:
            raise SubscriptionNotFound(name)
        self.find(name, if_match)
        return read_row(found), found.version

    def list(self) -> list[tuple[StoredSubscription, int]]:
        """All of them by name."""
        rows = self.table.rows()
        return [(read_row(rows[name]), rows[name].version) for name in sorted(rows)]

    async def change(
        self,
        name: str,
        if_match: str | None,
        to: Callable[[StoredSubscription], StoredSubscription],
        what: str,
        happened: What | None = None,
        *,
        who: str | None = None,
        **facts: object,
    ) -> tuple[StoredSubscription, int]:
        """Put what ``to`` makes of the row, one generation later, and tell; the same row again changes nothing.

        The caller holds the lock. Raises `SubscriptionNotFound`, `VersionConflict`.
        """
        before, version = self.get(name, if_match)
        after = to(before)
        if after == before:
            return before, version
        after = msgspec.structs.replace(after, generation=before.generation + 1)
        stored = await self.table.put(name, msgspec.json.encode(after), based_on=version)
        self.tell(what, name, before, after, happened, who=who, **facts)
        return after, stored.version

    def tell(
        self,
        what: str,
        name: str,
        before: StoredSubscription | None,
        after: StoredSubscription | None,
        happened: What | None = None,
        *,
        who: str | None = None,
        **facts: object,
    ) -> None:
        """Into the audit with what was before and is after, and as an event without."""
        self.ledgers.audit.tell(what, name, who=who, before=_shown(before), after=_shown(after), **facts)
        if happened is not None:
            self.ledgers.happenings.tell(happened, name, **facts)


def read_row(stored: StoredRow) -> StoredSubscription:
    return stored_subscription(stored.value)


def shown_row(row: StoredSubscription) -> dict[str, Any]:
    """The row for people and programs: its declaration (secrets are not in it), its state, nothing sealed."""
    # A row that an older release wrote may have secrets in its declaration still.
    shown: dict[str, Any] = msgspec.to_builtins(take_secrets(row.spec)[0])
    shown |= {"state": row.state, "reason": row.reason, "generation": row.generation}
    if row.allowed_rate_per_min is not None:
        shown["allowed_rate_per_min"] = row.allowed_rate_per_min
    return shown


def _shown(row: StoredSubscription | None) -> dict[str, Any] | None:
    return None if row is None else shown_row(row)
