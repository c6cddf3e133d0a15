"""Stops: what runs said of themselves (done, gone, blocked), until it stands in the tables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import msgspec

from pipeline.errors import DeclarationInvalid, VersionConflict
from pipeline.faces import Pointers, Silent, Table, Tells, What
from pipeline.hooks import Hooks
from pipeline.push.audit import Audit
from pipeline.push.reading import Reading
from pipeline.runs import cancelled_at
from pipeline.subscription import StoredRun, stored_run, stored_subscription


class Stops:
    """`add` at any time, `record` when tables may be written. ``let_go`` ends the run of a group and commits it."""

    def __init__(
        self,
        subscriptions: Table,
        runs: Table,
        offsets: Pointers,
        *,
        audit: Audit,
        hooks: Hooks,
        let_go: Callable[[str], Awaitable[None]],
        happenings: Tells | None = None,
    ) -> None:
        self._subscriptions, self._runs, self._offsets = subscriptions, runs, offsets
        self._audit, self._hooks, self._let_go = audit, hooks, let_go
        self._happenings = happenings or Silent()
        self._stops: dict[str, tuple[Reading, str, str]] = {}

    def add(self, reading: Reading, state: str, reason: str) -> None:
        """The first reason counts."""
        self._stops.setdefault(reading.group, (reading, state, reason))

    async def record(self) -> None:
        """Write them into the tables, and tell. A row that someone else changed meanwhile stands, and nothing is told.
        Raises LogError: what was not written is kept for the next time.
        """
        while self._stops:
            group, (reading, state, reason) = next(iter(self._stops.items()))
            if reading.run is not None and state != "gone":
                stopped = await self._end(reading, reading.run, done=state == "done")
            else:
                row = msgspec.structs.replace(reading.row, state=state, reason=reason)
                stopped = await _replace(self._subscriptions, reading.spec.name, reading.row, row, stored_subscription)
            self._stops.pop(group, None)
            if stopped:
                self._audit.tell(state, group, reason=reason)
                self._hooks.on_stopped(group, state, reason)
                self._tell(reading, state, reason)

    def _tell(self, reading: Reading, state: str, reason: str) -> None:
        whats = list(_told(state, reason, is_run=reading.run is not None))
        run = {} if reading.run_id is None else {"run": reading.run_id}
        for what in whats:
            self._happenings.tell(what, reading.spec.name, reason=reason, **run)

    async def _end(self, reading: Reading, run: StoredRun, *, done: bool) -> bool:
        """One that cannot go on is cancelled where it is: what it did not deliver may be redriven again."""
        if done:
            ended = msgspec.structs.replace(run, state="done")
        else:
            await self._let_go(reading.group)
            places = [(topic, number) for topic, parts in run.window.items() for number in parts]
            found = await self._offsets.read(reading.group, places)
            ended = cancelled_at(run, {place: committed.offset for place, committed in found.items()})
        return await _replace(self._runs, run.id, run, ended, stored_run)


def _told(state: str, reason: str, *, is_run: bool) -> Iterator[What]:
    """What a stop is called; a run that cannot go on was cancelled where it was, but a 410 is its subscription's."""
    if state == "gone":
        yield "gone"
    elif is_run:
        yield "run-done" if state == "done" else "run-cancelled"
    else:
        yield "blocked"
        if reason.startswith("pointer-missing"):
            yield "pointer-missing"


async def _replace(
    table: Table, key: str, before: msgspec.Struct, after: msgspec.Struct, read: Callable[[bytes], msgspec.Struct]
) -> bool:
    """Put ``after`` where ``before`` stands; False: what someone else put there meanwhile wins, readable or not."""
    row = table.get(key)
    try:
        if row is None or read(row.value) != before:
            return False
    except (msgspec.MsgspecError, DeclarationInvalid):
        return False
    try:
        await table.put(key, msgspec.json.encode(after), based_on=row.version)
    except VersionConflict:
        return False
    return True
