"""Runs: made, paused, resumed, cancelled, looked at, and forgotten when there are too many."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from pipeline.errors import Conflict, TopicNotFound, VersionConflict
from pipeline.faces import At, Notes, Partition, Pointers, Silent, Table, Tells
from pipeline.moment import rfc3339_from_ms
from pipeline.names import group_of
from pipeline.runs.keeping import Kept, folded, folded_id, is_folded
from pipeline.runs.progress import Progress, progress_of
from pipeline.runs.rows import Kind, RunNotFound, StampedRun, cancelled_at, places_of, read_run, total_of
from pipeline.runs.settings import RunSettings
from pipeline.runs.tallies import summed
from pipeline.subscription import StoredRun

KINDS: tuple[Kind, ...] = ("replay", "redrive", "discard", "writeback")


class RunAdmin(Protocol):
    """What forgetting runs asks of the cluster."""

    async def offsets(self, partitions: list[Partition], at: At, /) -> Mapping[Partition, int]: ...
    async def delete_group(self, name: str, /) -> None: ...


class Runs:
    """Runs of one namespace. ``now_ms`` is the wall clock, ``random_hex`` draws what makes ids differ; ``tells`` hears
    what happens to runs, ``notes`` who asked for it. Keys that runs parked go from ``parked`` with their run; what
    workers counted stands in ``tallies``, where somebody counts.
    """

    def __init__(
        self,
        table: Table,
        offsets: Pointers,
        *,
        admin: RunAdmin,
        namespace: str,
        now_ms: Callable[[], int],
        random_hex: Callable[[], str],
        settings: RunSettings | None = None,
        tells: Tells | None = None,
        notes: Notes | None = None,
        parked: Table | None = None,
    ) -> None:
        self._table, self._offsets, self._admin = table, offsets, admin
        self.namespace, self.now_ms, self._random_hex = namespace, now_ms, random_hex
        self.settings = settings or RunSettings()
        self._kept = Kept(self.settings)
        self._tells: Tells = tells or Silent()
        self.notes: Notes = notes or Silent()
        self._parked = parked
        self.tallies: Table | None = None

    def group(self, run: StoredRun) -> str:
        return f"{group_of(self.namespace, run.subscription)}.{run.kind}.{run.id}"

    def of(self, subscription: str, *kinds: Kind) -> list[StampedRun]:
        """Its runs of these ``kinds``, the newest first."""
        own = [one for one in self._all(subscription) if one.run.kind in kinds and not is_folded(one.run)]
        return sorted(own, key=lambda one: one.run.id, reverse=True)

    def takers(self, subscription: str) -> list[StoredRun]:
        """Everything that took dead letters of it: redrives, discards, write-backs, and what is left of forgotten
        ones.
        """
        return [one.run for one in self._all(subscription) if one.run.kind != "replay"]

    def get(self, subscription: str, kind: Kind, run_id: str) -> StampedRun:
        """Raises `RunNotFound`."""
        found = self._table.get(run_id)
        if found is not None:
            run = read_run(run_id, found.value, subscription)
            if run is not None and run.kind == kind:
                return StampedRun(run, found.version)
        raise RunNotFound(run_id)

    def named(self, draft: StoredRun) -> StoredRun:
        """``draft`` with an id (later ones sort behind earlier ones) and the time it was made."""
        now_ms = self.now_ms()
        return msgspec.structs.replace(
            draft, id=f"{now_ms:012x}{self._random_hex()}", created_at=rfc3339_from_ms(now_ms)
        )

    async def add(self, run: StoredRun, *, who: str | None = None) -> StampedRun:
        """Commit the start of its window for every partition, then make it visible to workers. Raises `Conflict`."""
        if not run.window:
            raise Conflict("there is nothing between the two ends of this run")
        start: dict[Partition, tuple[int, str | None]] = {
            place: (run.window[place[0]][place[1]][0], None) for place in places_of(run)
        }
        await self._offsets.commit(self.group(run), start)
        added = await self._put(run, None, f"{run.kind}-started", who)
        self._tells.tell("run-started", run.subscription, **_facts(run))
        await self.forget_old(run.subscription, run.kind)
        return added

    async def record(self, run: StoredRun, based_on: int | None = None, *, who: str | None = None) -> StampedRun:
        """Write down what became of dead letters without a worker (``discard``, ``writeback``)."""
        recorded = await self._put(run, based_on, run.kind, who)
        if based_on is None:
            await self.forget_old(run.subscription, run.kind)
        return recorded

    async def withdraw(self, recorded: StampedRun, *, who: str | None = None) -> None:
        """Take back what was `record`ed just now: nothing became of those letters."""
        withdrawn = cancelled_at(recorded.run, {})
        await self._put(withdrawn, recorded.version, f"{recorded.run.kind}-withdrawn", who)

    async def pause(self, subscription: str, kind: Kind, run_id: str, *, who: str | None = None) -> StampedRun:
        """Stop reading, sending and committing until `resume`. Raises `Conflict` when it is over."""
        return await self._turn(self.get(subscription, kind, run_id), "paused", who)

    async def resume(self, subscription: str, kind: Kind, run_id: str, *, who: str | None = None) -> StampedRun:
        """Go on from the committed offsets. Raises `Conflict` when it is over."""
        return await self._turn(self.get(subscription, kind, run_id), "active", who)

    async def cancel(self, subscription: str, kind: Kind, run_id: str, *, who: str | None = None) -> StampedRun:
        """Stop it where it had committed to last. Raises `Conflict` when over."""
        run, version = self.get(subscription, kind, run_id)
        if run.state not in ("active", "paused"):
            raise Conflict(f"{kind} {run_id} is {run.state} already")
        reached = await self._offsets.read(self.group(run), places_of(run))
        cancelled = cancelled_at(run, {place: committed.offset for place, committed in reached.items()})
        ended = await self._put(cancelled, version, f"{kind}-cancelled", who)
        self._tells.tell("run-cancelled", subscription, **_facts(cancelled))
        return ended

    async def end_of(self, subscription: str, *, forget: bool = False) -> None:
        """Its subscription is deleted: cancel what is not over. ``forget`` drops every row and group, so that a new
        subscription of that name knows nothing of what was redriven.
        """
        for run, version in self._all(subscription):
            if forget:
                await self._drop(StampedRun(run, version))
            elif run.state in ("active", "paused"):
                await self.cancel(subscription, run.kind, run.id)

    async def unpark(self, subscription: str) -> None:
        """Forget which keys of its live delivery wait."""
        await _sweep(self._parked, f"{group_of(self.namespace, subscription)}/")

    async def progress(self, run: StoredRun, default_rate_per_s: float | None = None) -> Progress:
        """How far it is and what came of it. ``default_rate_per_s``: the subscription's."""
        group = self.group(run)
        found = {} if run.state == "done" else await self._offsets.read(group, places_of(run))
        reached = {place: committed.offset for place, committed in found.items()}
        tally = None if self.tallies is None else summed(self.tallies.rows(), group)
        rate_per_s = run.rate_per_s if run.rate_per_s is not None else default_rate_per_s
        return progress_of(run, reached, tally, rate_per_s)

    async def forget_old(self, subscription: str, kind: Kind) -> int:
        """Forget finished runs there are too many of, after folding what they took; how many those were."""
        gone = self._kept.outlived(self.of(subscription, kind), self.now_ms())
        if gone and kind != "replay":
            try:
                await self._fold(subscription, kind, [one.run for one in gone])
            except VersionConflict:
                return 0  # another process folds at this moment: the next run finds what is left
        for one in gone:
            await self._drop(one)
        return len(gone)

    def _all(self, subscription: str) -> list[StampedRun]:
        found = [(read_run(run_id, row.value, subscription), row) for run_id, row in self._table.rows().items()]
        return [StampedRun(run, row.version) for run, row in found if run is not None]

    async def _turn(self, found: StampedRun, state: str, who: str | None) -> StampedRun:
        run, version = found
        if run.state not in ("active", "paused"):
            raise Conflict(f"{run.kind} {run.id} is {run.state} already")
        if run.state == state:
            return found
        turned = msgspec.structs.replace(run, state=state)
        verb = "paused" if state == "paused" else "resumed"
        put = await self._put(turned, version, f"{run.kind}-{verb}", who)
        self._tells.tell("run-paused" if state == "paused" else "run-resumed", run.subscription, **_facts(turned))
        return put

    async def _put(self, run: StoredRun, based_on: int | None, what: str, who: str | None) -> StampedRun:
        row = await self._table.put(run.id, msgspec.json.encode(run), based_on=based_on)
        self.notes.tell(
            what, group_of(self.namespace, run.subscription), **_facts(run), **({"who": who} if who else {})
        )
        return StampedRun(run, row.version)

    async def _fold(self, subscription: str, kind: Kind, gone: Sequence[StoredRun]) -> None:
        key = folded_id(subscription, kind)
        row = self._table.get(key)
        before = read_run(key, row.value, subscription) if row is not None else None
        places = sorted({place for run in (*gone, *([before] if before else [])) for place in places_of(run)})
        try:
            starts = await self._admin.offsets(places, "earliest")
        except TopicNotFound:
            starts = {}  # the letters are gone with their topic; what was taken of them does no harm
        kept = folded(before, gone, starts)
        await self._table.put(key, msgspec.json.encode(kept), based_on=row.version if row is not None else None)

    async def _drop(self, one: StampedRun) -> None:
        try:
            await self._table.put(one.run.id, None, based_on=one.version)
        except VersionConflict:
            return  # somebody else dropped it, or it goes on
        if one.run.kind in ("replay", "redrive") and not is_folded(one.run):
            group = self.group(one.run)
            await self._admin.delete_group(group)
            await _sweep(self._parked, f"{group}/")
            await _sweep(self.tallies, f"{group}/")


async def _sweep(table: Table | None, prefix: str) -> None:
    """Delete the rows of ``table`` whose names begin so."""
    for name, row in table.rows().items() if table is not None else ():
        if name.startswith(prefix) and table is not None:
            with contextlib.suppress(VersionConflict):  # somebody else did
                await table.put(name, None, based_on=row.version)


def _facts(run: StoredRun) -> dict[str, object]:
    """What is told of a run; the offsets it picked may be many, so only how many."""
    facts: dict[str, object] = {"run": run.id, "kind": run.kind, "state": run.state, "offsets": total_of(run)}
    facts |= {"note": run.note} if run.note else {}
    return facts | ({"shadow": run.endpoint.url} if run.endpoint is not None else {})
