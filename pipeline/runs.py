"""Rows of the runs table: bounded readings of a subscription, each with a consumer group that holds its pointer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import msgspec

from pipeline.errors import Conflict, NotFound
from pipeline.faces import Partition, Pointers, Table
from pipeline.moment import rfc3339_from_ms
from pipeline.names import group_of
from pipeline.subscription import StoredRun

Kind = Literal["replay", "redrive"]
Window = Mapping[Partition, tuple[int, int]]


class RunNotFound(NotFound):
    noun = "run"


class StampedRun(NamedTuple):
    """A run and the version of its row."""

    run: StoredRun
    version: int


class Progress(msgspec.Struct, frozen=True):
    """Offsets of its window that are settled, and all of them."""

    done: int
    total: int


def in_rows(window: Window) -> dict[str, dict[int, tuple[int, int]]]:
    """``window`` as a row holds it; partitions without offsets in it are left out."""
    rows: dict[str, dict[int, tuple[int, int]]] = {}
    for (topic, partition), (first, until) in sorted(window.items()):
        if first < until:
            rows.setdefault(topic, {})[partition] = (first, until)
    return rows


def cancelled_at(run: StoredRun, reached: Mapping[Partition, int]) -> StoredRun:
    """``run`` cancelled, its window cut to the offsets it had ``reached``, so that windows tell what was run."""
    window = {
        (topic, partition): (first, min(until, reached[topic, partition]))
        for topic, parts in run.window.items()
        for partition, (first, until) in parts.items()
        if (topic, partition) in reached
    }
    return msgspec.structs.replace(run, state="cancelled", window=in_rows(window))


class Runs:
    """Runs of one namespace. ``now_ms`` is the wall clock, ``random_hex`` draws what makes ids differ."""

    def __init__(
        self,
        table: Table,
        offsets: Pointers,
        *,
        namespace: str,
        now_ms: Callable[[], int],
        random_hex: Callable[[], str],
    ) -> None:
        self._table, self._offsets = table, offsets
        self._namespace, self._now_ms, self._random_hex = namespace, now_ms, random_hex

    def group(self, run: StoredRun) -> str:
        return f"{group_of(self._namespace, run.subscription)}.{run.kind}.{run.id}"

    def of(self, subscription: str, kind: Kind) -> list[StampedRun]:
        """Its runs, the newest first."""
        rows = self._table.rows().values()
        found = [StampedRun(msgspec.json.decode(row.value, type=StoredRun), row.version) for row in rows]
        own = [one for one in found if one.run.subscription == subscription and one.run.kind == kind]
        return sorted(own, key=lambda one: one.run.id, reverse=True)

    def get(self, subscription: str, kind: Kind, run_id: str) -> StampedRun:
        """Raises `RunNotFound`."""
        found = self._table.get(run_id)
        if found is not None:
            run = msgspec.json.decode(found.value, type=StoredRun)
            if (run.subscription, run.kind) == (subscription, kind):
                return StampedRun(run, found.version)
        raise RunNotFound(run_id)

    def named(self, draft: StoredRun) -> StoredRun:
        """``draft`` with an id (later ones sort behind earlier ones) and the time it was made."""
        now_ms = self._now_ms()
        return msgspec.structs.replace(
            draft, id=f"{now_ms:012x}{self._random_hex()}", created_at=rfc3339_from_ms(now_ms)
        )

    async def add(self, run: StoredRun) -> StampedRun:
        """Commit the start of its window for every partition, then make it visible to workers. Raises `Conflict`."""
        if not run.window:
            raise Conflict("there is nothing between the two ends of this run")
        start: dict[Partition, tuple[int, str | None]] = {
            (topic, partition): (first, None)
            for topic, parts in run.window.items()
            for partition, (first, _) in parts.items()
        }
        await self._offsets.commit(self.group(run), start)
        row = await self._table.put(run.id, msgspec.json.encode(run), based_on=None)
        return StampedRun(run, row.version)

    async def cancel(self, subscription: str, kind: Kind, run_id: str) -> StampedRun:
        """Stop it where it had committed to last.

        Raises `Conflict` when over.
        """
        run, version = self.get(subscription, kind, run_id)
        if run.state != "active":
            raise Conflict(f"{kind} {run_id} is {run.state} already")
        places = [(topic, partition) for topic, parts in run.window.items() for partition in parts]
        reached = await self._offsets.read(self.group(run), places)
        cancelled = cancelled_at(run, {place: committed.offset for place, committed in reached.items()})
        row = await self._table.put(run_id, msgspec.json.encode(cancelled), based_on=version)
        return StampedRun(cancelled, row.version)

    async def progress(self, run: StoredRun) -> Progress:
        """How far it is, in offsets; what its group committed last."""
        places = [(topic, partition) for topic, parts in run.window.items() for partition in parts]
        reached = await self._offsets.read(self.group(run), places)
        done = total = 0
        for topic, parts in run.window.items():
            for partition, (first, until) in parts.items():
                at = reached[topic, partition].offset if (topic, partition) in reached else first
                done += min(max(at, first), until) - first
                total += until - first
        return Progress(done=total if run.state == "done" else done, total=total)
