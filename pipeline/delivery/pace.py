"""Which lanes begin an attempt now, and when the next may: breaker and limiter weighed together.

Lanes whose last attempt hung begin in the slow cap, so they take no slot of the others. While the slow cap is full,
lanes nobody knows anything of take at most half of the in-flight cap: what hangs among them cannot move aside.
"""

from __future__ import annotations

from pipeline.delivery.breaker import OPEN, PROBING, Breaker
from pipeline.delivery.lanes import Lane
from pipeline.delivery.limiter import Limiter
from pipeline.delivery.queues import Queues
from pipeline.delivery.states import IN_FLIGHT, NEW, PROVEN, SLOW, SUSPECT
from pipeline.delivery.waiting import NEVER


class Pace:
    """Takes lanes off ``queues.ready`` as fast as ``breaker`` and ``limiter`` allow."""

    __slots__ = ("_breaker", "_last_probe", "_limiter", "_queues", "_suspected", "_suspects_first", "_trying")

    def __init__(self, breaker: Breaker, limiter: Limiter[Lane], queues: Queues) -> None:
        self._breaker, self._limiter, self._queues = breaker, limiter, queues
        self._last_probe: Lane | None = None
        # In-flight slots taken by lanes nobody knows anything of, slow ones by lanes that hung before.
        self._trying = self._suspected = 0
        self._suspects_first = False

    def begin(self, now: float) -> list[Lane]:
        """The lanes whose attempts begin now; one at most while the breaker is open, each time another lane's."""
        breaker, queues = self._breaker, self._queues
        ready = queues.ready
        if not breaker.may_send(now):
            return []
        if breaker.state is OPEN:
            return self._probe(now) if ready or queues.retries else []
        if not ready:
            return []
        if not ready.suspects.count:
            return self._begin_others(now)
        # Of a rate's tokens suspects get half beside others, and what those leave.
        first = self._begin_suspects(now, halved=self._limiter.is_rated)
        others = self._begin_others(now)
        return [*first, *others, *self._begin_suspects(now, halved=False)]

    def next_at(self, now: float) -> float:
        """When `begin` may have a lane although nothing was told since; `NEVER`: not before that."""
        queues, state, limiter = self._queues, self._breaker.state, self._limiter
        ready = queues.ready
        limiter.reserve(ready.suspects.count, self._suspected)
        if state is PROBING or not (ready or (state is OPEN and queues.retries)):
            return NEVER
        if state is OPEN:
            return max(limiter.may_begin_at(now), self._breaker.probe_at)
        may_suspect = not ready.new.count or self._suspected < limiter.suspects_max
        at = limiter.may_begin_slow_at(now) if ready.suspects.count and may_suspect else NEVER
        if ready.proven.count or (ready.new.count and self._new_max() > 0):
            at = min(at, limiter.may_begin_at(now))
        return at

    def end(self, lane: Lane, now: float, *, delivered: bool) -> float:
        """The attempt of ``lane`` is over; the seconds it took, returned, decide which line the lane stands in next."""
        limiter = self._limiter
        self._forget_standing(lane)
        lane.part.in_flight -= 1
        elapsed_s = limiter.end(lane, now)
        hung = limiter.has_slow_cap and elapsed_s >= limiter.slow_after_s
        lane.standing = SUSPECT if hung else PROVEN if delivered else NEW
        if delivered:
            limiter.succeeded(elapsed_s)
        return elapsed_s

    def call_off(self, lane: Lane) -> None:
        """The attempt of ``lane`` came to nothing and says nothing of the endpoint."""
        self._forget_standing(lane)
        self._limiter.drop(lane)
        self._breaker.dropped(id(lane))
        lane.part.in_flight -= 1

    def set_slow_aside(self, now: float) -> bool:
        """Attempts that hang leave the in-flight cap, and what stands behind them leaves memory; False: none hangs."""
        self._limiter.reserve(self._queues.ready.suspects.count, self._suspected)
        hanging = self._limiter.set_slow_aside(now)
        for lane in hanging:
            self._forget_standing(lane)
            self._queues.set_aside(lane)
            lane.forget_followers()
        return bool(hanging)

    def _probe(self, now: float) -> list[Lane]:
        if not self._limiter.free(now) and not (self.set_slow_aside(now) and self._limiter.free(now)):
            return []
        lane = self._last_probe = self._queues.take_probe(self._last_probe)
        self._breaker.sent(id(lane))
        self._begun(lane, now)
        return [lane]

    def _begin_suspects(self, now: float, *, halved: bool) -> list[Lane]:
        limiter, suspects = self._limiter, self._queues.ready.suspects
        slots = limiter.free_slow(now)
        if self._queues.ready.new.count:
            slots = min(slots, limiter.suspects_max - self._suspected)
        if slots > 0 and halved:
            self._suspects_first = not self._suspects_first
            slots = (slots + self._suspects_first) // 2
        lanes = self._queues.take_suspects(slots)
        self._suspected += len(lanes)
        for lane in lanes:
            limiter.begin_slow(lane, now)
            lane.forget_followers()
        limiter.reserve(suspects.count, self._suspected)
        return lanes

    def _begin_others(self, now: float) -> list[Lane]:
        limiter, queues = self._limiter, self._queues
        wanted = queues.ready.new.count + queues.ready.proven.count
        slots = limiter.free(now)
        if slots < wanted and self.set_slow_aside(now):
            slots = limiter.free(now)
        if not slots or not wanted:
            return []
        lanes = queues.take_sends(slots, self._new_max())
        for lane in lanes:
            self._begun(lane, now)
        return lanes

    def _begun(self, lane: Lane, now: float) -> None:
        self._limiter.begin(lane, now)
        if lane.standing is NEW:
            self._trying += 1

    def _forget_standing(self, lane: Lane) -> None:
        """The lane leaves the slot that its standing was counted for."""
        if lane.standing is NEW and lane.state is IN_FLIGHT:
            self._trying -= 1
        elif lane.standing is SUSPECT and lane.state is SLOW:
            self._suspected -= 1

    def _new_max(self) -> int:
        """How many lanes nobody knows anything of may begin."""
        limiter = self._limiter
        if not limiter.slow_is_full:
            return int(limiter.cap)
        return max(1, int(limiter.cap) // 2) - self._trying
