"""A run: one reading of one subscription on the partitions this worker owns. The rim around one delivery core.

Partitions come with their pointers and go, drained or lost; what happens between is the `Pump`'s, and what becomes of
events that cannot be delivered that of `DeadEnds`. Committing is a walk of its own (`push.commits.Committer`), because
it waits for the broker.
"""

from __future__ import annotations

import asyncio

from pipeline.delivery.actions import Commit
from pipeline.delivery.core import Core
from pipeline.delivery.pointer import Pointer
from pipeline.names import state_topic_of
from pipeline.push import attempts
from pipeline.push.attempts import AttemptWriter
from pipeline.push.clock import wall_minus_monotonic
from pipeline.push.core_settings import core_settings
from pipeline.push.dead_ends import DeadEnds
from pipeline.push.delivers import Delivers
from pipeline.push.owner import Owner
from pipeline.push.parked import Parked
from pipeline.push.parts import BridgeSettings, WorkerParts
from pipeline.push.payloads import Payloads
from pipeline.push.pump import Pump
from pipeline.push.reading import Place, Reading
from pipeline.push.reports import Reports

DRAIN_POLL_S = 0.01


class Run:
    """Give it partitions with pointers; it delivers until they are taken away."""

    def __init__(
        self, reading: Reading, sender: Delivers, parts: WorkerParts, settings: BridgeSettings, owner: Owner
    ) -> None:
        self.reading, self._clock, self._owner = reading, parts.clock, owner
        self.core = Core(core_settings(reading, settings))
        self.reports = Reports(reading, parts, settings)
        self._parked = Parked(parts.parked, reading, parts.clock)
        payloads = Payloads(parts.view, self.core, parts.clock, self.reports, may_act=owner.may_act)
        self._dead_ends = DeadEnds(
            reading,
            parts,
            self._parked,
            core=self.core,
            payloads=payloads,
            reports=self.reports,
            may_act=owner.may_act,
        )
        self._attempts = _attempt_writer(reading, parts, settings, owner)
        self.pump = Pump(
            reading,
            sender,
            parts,
            settings,
            owner,
            core=self.core,
            payloads=payloads,
            dead_ends=self._dead_ends,
            reports=self.reports,
            attempts=self._attempts,
        )
        self.intake = self.pump.intake

    @property
    def places(self) -> list[Place]:
        """The partitions this run delivers."""
        return [place for place in self.core.partitions if isinstance(place, tuple)]

    def begin(self, place: Place, pointer: Pointer) -> None:
        """Deliver ``place`` from ``pointer`` on."""
        wall = wall_minus_monotonic(self._clock)
        counts = {offset: (n, first_at - wall) for offset, (n, first_at) in pointer.attempts.items()}
        waiting = self._parked.restore(place)
        self.core.assign(
            place,
            pointer.offset,
            finished=pointer.finished,
            attempts=waiting.of(counts, self.reading.spec.retry),
            parked=waiting.parked,
            held=waiting.held,
        )
        self.intake.open(place, pointer.offset, pointer.finished)

    def commit_of(self, place: Place) -> Commit:
        """The pointer of ``place`` as it may be committed now; what the filter left out is passed."""
        self.intake.advance(place)
        return self.core.commit_of(place)

    def released(self, name: str) -> None:
        """The parked table's row ``name`` is gone: if it was a key of ours, it goes on."""
        if self._dead_ends.release(name):
            self.pump.turns.wake()

    def parked_elsewhere(self, name: str, version: int) -> None:
        """The parked table's row ``name`` was written; if not by this run, it was too late."""
        place = self._parked.is_strange(name)
        if place in self.core.partitions and self._owner.may_act(self._clock.monotonic()):
            self.pump.turns.spawn(self._dead_ends.take_back(name, version))

    async def drain(self, places: list[Place], drain_s: float) -> None:
        """Begin nothing more for ``places`` and wait up to ``drain_s`` for what is in flight."""
        owned = [place for place in places if place in self.core.partitions]
        for place in owned:
            self.core.drain(place)
            self.intake.close(place)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + drain_s
        while any(self.core.in_flight_of(place) for place in owned if place in self.core.partitions):
            if loop.time() >= deadline:
                return
            if self.pump.batcher is not None:
                self.pump.batcher.flush()
            await asyncio.sleep(DRAIN_POLL_S)

    def forget(self, place: Place) -> None:
        """Drop all state of ``place`` and break off its attempts; nothing of it counts any more."""
        self.intake.close(place)
        self._parked.forget(place)
        if place in self.core.partitions:
            self.pump.abort(self.core.revoke(place))
        self.pump.turns.wake()

    async def close(self) -> None:
        """Stop for good; partitions were drained or forgotten before."""
        for place in self.places:
            self.forget(place)
        await self.pump.close()
        self._attempts.flush()


def _attempt_writer(reading: Reading, parts: WorkerParts, settings: BridgeSettings, owner: Owner) -> AttemptWriter:
    return AttemptWriter(
        parts.journal,
        state_topic_of(settings.namespace, attempts.TABLE),
        reading.spec.name,
        reading.run_id,
        owner.id_prefix,
        later=asyncio.get_running_loop().call_later,
        clock=parts.clock,
    )
