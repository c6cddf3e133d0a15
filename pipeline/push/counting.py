"""Counting: what a worker's bounded runs delivered, buried and reached, as rows that anybody can read (`runs.tallies`).

Counts come in through the hooks, so that nothing of delivery knows of it and live runs pay nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from pipeline.errors import PipelineError, VersionConflict
from pipeline.faces import Partition, Table
from pipeline.hooks import Hooks, Meter
from pipeline.periodic import Periodic
from pipeline.push.clock import Clock
from pipeline.push.runkeeper import RunKeeper
from pipeline.runs.tallies import Tally, read_tally, tally_name

EVERY_S = 1.0
KINDS = ("replay", "redrive")


Running = Callable[[], Mapping[str, Mapping[Partition, int]]]
"""The committed offsets of a worker's bounded runs, by group."""


class _Count:
    """One run's counts; ``written`` is the row as it stands. Nothing delivered is a count too, so it gets a row."""

    def __init__(self, written: Tally | None) -> None:
        before = written or Tally()
        self.delivered, self.dead_lettered = before.delivered, before.dead_lettered
        self.active_s, self.written = before.active_s, written
        self.reached = before.offsets()

    def tally(self) -> Tally:
        reached: dict[str, dict[int, int]] = {}
        for (topic, number), at in self.reached.items():
            reached.setdefault(topic, {})[number] = at
        return Tally(
            delivered=self.delivered,
            dead_lettered=self.dead_lettered,
            active_s=round(self.active_s, 1),
            reached=reached,
        )


class RunCounts:
    """Rows of the tallies ``table``, of what is in ``runs``. A worker of the same name counts on from its row."""

    def __init__(
        self, table: Table, runs: Table, worker: str, clock: Clock, on_error: Callable[[Exception], None]
    ) -> None:
        self._table, self._runs, self._worker = table, runs, worker
        self._clock, self._on_error = clock, on_error
        self._counts: dict[str, _Count] = {}
        self._running: Running = dict
        self._looked_at = clock.monotonic()
        self._rounds = Periodic(self.write, EVERY_S, on_error)

    def start(self, running: Running) -> None:
        """Count on what is ``running``."""
        self._running, self._looked_at = running, self._clock.monotonic()
        self._rounds.start()

    async def stop(self) -> None:
        """Write down what is not yet. Call it when the runs have ended."""
        await self._rounds.stop()
        await self.write()

    def of(self, group: str) -> _Count:
        """The counts of a run, made when it begins."""
        count = self._counts.get(group)
        if count is None:
            row = self._table.get(tally_name(group, self._worker))
            count = self._counts[group] = _Count(read_tally(row.value) if row else None)
        return count

    async def write(self) -> None:
        """One round: note how far runs are, write what changed, forget who has ended."""
        now, running = self._clock.monotonic(), self._running()
        for group, reached in running.items():
            count = self.of(group)
            count.active_s += now - self._looked_at
            count.reached.update(reached)
        self._looked_at = now
        for group, count in list(self._counts.items()):
            tally = count.tally()
            try:
                if tally != count.written and self._runs.get(group.rpartition(".")[2]) is not None:
                    await self._put(group, tally)
                    count.written = tally
            except PipelineError as error:
                self._on_error(error)
                continue
            if group not in running and group not in self._running() and count.tally() == tally:
                del self._counts[group]

    async def _put(self, group: str, tally: Tally) -> None:
        name = tally_name(group, self._worker)
        row = self._table.get(name)
        try:
            await self._table.put(name, msgspec.json.encode(tally), based_on=row.version if row else None)
        except VersionConflict:
            return  # the run was forgotten this moment, and its rows with it


class CountingHooks(Hooks):
    """Passes every hook on to ``inner``, and counts for bounded runs."""

    def __init__(self, inner: Hooks, counts: RunCounts) -> None:
        self._inner, self._counts = inner, counts
        for name in vars(Hooks):
            if not name.startswith("_") and name not in ("meter", "on_buried"):
                setattr(self, name, getattr(inner, name))

    def meter(self, run: str) -> Meter:
        meter = self._inner.meter(run)
        if not is_bounded(run):
            return meter
        counts = self._counts

        def attempted(status: int, elapsed_s: float, age_s: float) -> None:
            meter(status, elapsed_s, age_s)
            if age_s >= 0.0:
                counts.of(run).delivered += 1

        counts.of(run)
        return attempted

    def on_buried(self, run: str, reason: str) -> None:
        self._inner.on_buried(run, reason)
        if is_bounded(run):
            self._counts.of(run).dead_lettered += 1


def bounded(keepers: Mapping[str, RunKeeper]) -> dict[str, dict[Partition, int]]:
    """What the replays and redrives among a worker's ``keepers`` have committed, by group."""
    runs = {group: one.keeper.last for group, one in keepers.items() if one.reading.run is not None}
    return {group: {place: pointer.offset for place, pointer in last.items()} for group, last in runs.items()}


def is_bounded(group: str) -> bool:
    """Whether a group is a replay's or a redrive's: subscriptions' names have no dot."""
    parts = group.rsplit(".", 2)
    return len(parts) == 3 and parts[1] in KINDS
