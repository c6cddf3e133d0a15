"""Payloads of one run's lanes, read again from the log: a lane that waits keeps its position only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipeline.delivery.core import Core
from pipeline.delivery.lanes import Lane
from pipeline.errors import PipelineError
from pipeline.kafka.view import LogView
from pipeline.push.clock import Clock
from pipeline.push.reading import Place
from pipeline.push.reports import Reports
from pipeline.record import Record

AGAIN_S = 0.5


class Payloads:
    """How many are read at a time is the core's to bound (``fetches_max``)."""

    def __init__(
        self, view: LogView, core: Core, clock: Clock, reports: Reports, *, may_act: Callable[[float], bool]
    ) -> None:
        self._view, self._core, self._clock, self._reports, self._may_act = view, core, clock, reports, may_act

    async def fetch(self, lane: Lane) -> None:
        """Read the lane's payload again, so that it can stand in line."""
        try:
            await self.read(lane)
        except PipelineError as error:
            self._reports.failed(error)
            self._core.unread(lane, self._clock.monotonic())

    async def wait(self, lane: Lane) -> bool:
        """Read the lane's payload again, however long that takes: nothing here says anything of the endpoint, so it is
        no failed attempt. Whether the lane may be sent now.
        """
        while lane.part.live:
            try:
                # Before, since a gap is told when it is read; and after, since much may have happened while it was.
                if self._may_act(self._clock.monotonic()):
                    if await self.read(lane) is None:
                        return False
                    if self._may_act(self._clock.monotonic()):
                        return lane.part.live
            except PipelineError as error:
                self._reports.failed(error)
            await asyncio.sleep(AGAIN_S)
        return False

    async def read(self, lane: Lane) -> Record | None:
        """The payload of the lane's head; None when it is gone, which is told, or not this worker's any more.

        Raises `PipelineError` where it cannot be read just now.
        """
        if not isinstance(lane.head, int):
            return lane.head
        place, offset, positions = place_of(lane), lane.offset, self._core.behind(lane)
        behind: list[Record] = []
        if positions:
            record, behind = await self._read_together(place, offset, positions)
        else:
            record = await self._view.fetch(*place, offset)
        if not lane.part.live:
            return None
        if record is None:
            self._reports.gap(place, offset, offset + 1)
            self._core.vanished(lane, self._clock.monotonic())
            return None
        self._core.payload(lane, record, behind)
        return record

    async def _read_together(self, place: Place, offset: int, behind: list[int]) -> tuple[Record | None, list[Record]]:
        """The record at ``offset``, and those at ``behind`` up to the first that is gone or could not be read: that one
        will be a head, and fail then. The view reads what is wanted in one turn in one go.
        """
        wanted = (self._view.fetch(*place, at) for at in (offset, *behind))
        head, *others = await asyncio.gather(*wanted, return_exceptions=True)
        if isinstance(head, BaseException):
            raise head
        found: list[Record] = []
        for other in others:
            if other is None or isinstance(other, PipelineError):
                break
            if isinstance(other, BaseException):
                raise other
            found.append(other)
        return head, found


def place_of(lane: Lane) -> Place:
    """The topic and partition the lane is of: what the core only knows as a name."""
    name = lane.part.name
    assert isinstance(name, tuple)
    return name
