"""What the core decided about events that cannot be delivered (`pipeline.delivery.dead_ends`), carried out: buried, and
which keys wait for an operator remembered, until they are released.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipeline.delivery.core import Core
from pipeline.delivery.lanes import Lane, reason_of
from pipeline.delivery.states import HELD
from pipeline.errors import BrokerUnavailable, PayloadTooLarge, PipelineError
from pipeline.parking import Policy
from pipeline.push.burial import Burial
from pipeline.push.clock import wall_minus_monotonic
from pipeline.push.parked import Parked
from pipeline.push.parts import WorkerParts
from pipeline.push.payloads import Payloads, place_of
from pipeline.push.reading import Reading
from pipeline.push.reports import Reports
from pipeline.push.shadow import Unburied

REMEMBER_AGAIN_S = 0.5


class DeadEnds:
    """Of one run. ``parked``: the rows of the keys that wait. ``may_act`` is asked before a dead letter is appended."""

    def __init__(
        self,
        reading: Reading,
        parts: WorkerParts,
        parked: Parked,
        *,
        core: Core,
        payloads: Payloads,
        reports: Reports,
        may_act: Callable[[float], bool],
    ) -> None:
        self._reading, self._clock, self._parked, self._may_act = reading, parts.clock, parked, may_act
        self._core, self._payloads, self._reports = core, payloads, reports
        self._burial = Unburied() if reading.is_shadow else Burial(parts.producer, reading)

    async def bury(self, lane: Lane) -> None:
        """Append the lane's head as a dead letter. Where that fails it is settled no more than before: the core says
        when to try again.
        """
        try:
            record = await self._payloads.read(lane)
            if record is None:
                return
            if lane.key is not None and (why := lane.part.parked.get(lane.key)) is not None:
                # Before its first dead letter is appended: a crash between leaves it parked.
                await self._remember(lane, "park", why)
            if not self._may_act(self._clock.monotonic()):
                raise BrokerUnavailable(f"{self._reading.group}: the lease ran out before a dead letter was appended")
            reason = await self._burial.bury(record, lane, self._clock.monotonic(), wall_minus_monotonic(self._clock))
        except PipelineError as error:
            self._reports.bury_failed(error)
            self._core.bury_failed(lane, self._clock.monotonic())
        else:
            self._reports.buried(record, lane, reason)
            self._reading.unreadable.pop(record.position, None)
            self._core.buried(lane)

    async def hold(self, lane: Lane) -> None:
        """The lane waits for an operator: that is remembered, however long the broker is away."""
        while lane.part.live and lane.state is HELD:
            try:
                await self._remember(lane, "block", reason_of(lane))
            except PipelineError as error:
                self._reports.bury_failed(error)
                await asyncio.sleep(REMEMBER_AGAIN_S)
            else:
                return

    def release(self, name: str) -> bool:
        """The parked table's row ``name`` is gone: if it was a key of ours, it goes on; whether it was."""
        found = self._parked.released(name)
        if found is None or found[0] not in self._core.partitions:
            return False
        place, key = found
        self._core.release(place, key)
        self._reports.released(place, key)
        return True

    async def take_back(self, name: str, version: int) -> None:
        """Delete a row that the last owner of its partition wrote too late: here the key goes on, and would stand still
        with the next owner.
        """
        while (place := self._parked.is_strange(name)) is not None and place in self._core.partitions:
            try:
                await self._parked.take_back(name, version)
            except PipelineError as error:
                self._reports.failed(error)
                await asyncio.sleep(REMEMBER_AGAIN_S)
            else:
                return

    async def _remember(self, lane: Lane, policy: Policy, reason: str) -> None:
        try:
            await self._parked.remember(place_of(lane), lane.key, policy=policy, reason=reason, offset=lane.offset)
        except PayloadTooLarge as error:
            # It waits as long as this worker has it; no row can hold such a key for the next.
            self._reports.failed(error)
