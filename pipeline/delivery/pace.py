"""Which lanes begin an attempt now, and when the next may: breaker and limiter weighed together."""

from __future__ import annotations

from pipeline.delivery.breaker import CLOSED, OPEN, PROBING, Breaker
from pipeline.delivery.lanes import Lane
from pipeline.delivery.limiter import Limiter
from pipeline.delivery.queues import Queues
from pipeline.delivery.waiting import NEVER


class Pace:
    """Takes lanes off ``queues.ready`` as fast as ``breaker`` and ``limiter`` allow."""

    __slots__ = ("_breaker", "_last_probe", "_limiter", "_queues")

    def __init__(self, breaker: Breaker, limiter: Limiter[Lane], queues: Queues) -> None:
        self._breaker, self._limiter, self._queues = breaker, limiter, queues
        self._last_probe: Lane | None = None

    def begin(self, now: float) -> list[Lane]:
        """The lanes whose attempts begin now; one at most while the breaker is open, each time another lane's."""
        breaker, limiter, queues = self._breaker, self._limiter, self._queues
        if not (queues.ready or queues.retries) or not breaker.may_send(now):
            return []
        slots = limiter.free(now)
        if slots < len(queues.ready) and self.set_slow_aside(now):
            slots = limiter.free(now)
        if slots and breaker.state is OPEN:
            slots = 1
            queues.bring_probe(self._last_probe)
            self._last_probe = queues.ready[0]
            breaker.sent(id(self._last_probe))
        lanes = queues.take_sends(slots)
        for lane in lanes:
            limiter.begin(lane, now)
        return lanes

    def next_at(self, now: float) -> float:
        """When `begin` may have a lane although nothing was told since; `NEVER`: not before that."""
        queues, state = self._queues, self._breaker.state
        if state is PROBING or not (queues.ready or (state is OPEN and queues.retries)):
            return NEVER
        may_begin_at = self._limiter.may_begin_at(now)
        return may_begin_at if state is CLOSED else max(may_begin_at, self._breaker.probe_at)

    def end(self, lane: Lane, now: float) -> None:
        """The attempt of ``lane`` is over, however it went."""
        self._limiter.end(lane, now)
        lane.part.in_flight -= 1

    def call_off(self, lane: Lane) -> None:
        """The attempt of ``lane`` came to nothing and says nothing of the endpoint."""
        self._limiter.drop(lane)
        self._breaker.dropped(id(lane))
        lane.part.in_flight -= 1

    def set_slow_aside(self, now: float) -> bool:
        """Attempts that hang leave the in-flight cap, and what stands behind them leaves memory; False: none hangs."""
        hanging = self._limiter.set_slow_aside(now)
        for lane in hanging:
            self._queues.set_aside(lane)
            lane.forget_followers()
        return bool(hanging)
