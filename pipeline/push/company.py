"""Company: what goes with the head of a lane in one request, as its run's core knows it (see `push.batch.Behind`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile

from pipeline.delivery.core import Core
from pipeline.delivery.lanes import Lane
from pipeline.delivery.verdict import Reply
from pipeline.push.batch import Taken
from pipeline.push.clock import Clock
from pipeline.push.reading import Reading
from pipeline.record import Record


class Company:
    """``delivered`` is told of a head and what went with it; ``wake`` is called when there is something to do."""

    def __init__(
        self,
        core: Core,
        reading: Reading,
        clock: Clock,
        *,
        delivered: Callable[[Lane, Reply, Taken], None],
        wake: Callable[[], None],
    ) -> None:
        self._core, self._reading, self._clock, self._wake = core, reading, clock, wake
        self.delivered = delivered

    def records(self, lane: Lane, events_max: int) -> Sequence[Record]:
        """As many as the rate allows; one that is to be buried is a head first."""
        if lane.part.draining:
            return ()
        if self._core.limiter.is_rated:
            events_max = min(events_max, self._core.limiter.along_max(self._clock.monotonic()))
        found = lane.followers(events_max, self._reading.spec.batch.max_bytes)
        if unreadable := self._reading.unreadable:
            return list(takewhile(lambda record: record.position not in unreadable, found))
        return found

    def as_sent(self, record: Record) -> Record:
        return self._reading.delivery(record)

    def went_along(self, count: int) -> None:
        self._core.limiter.went_along(count)

    def is_last_chance(self, lane: Lane) -> bool:
        """A failure is known when the attempt's time is up, at the latest."""
        return self._core.is_last_chance(lane, self._clock.monotonic() + self._reading.spec.endpoint.timeout_s)

    def untried(self, lane: Lane) -> None:
        self._core.untried(lane)
        self._wake()
