"""The breaker of one endpoint: opens when *nothing* succeeds, then lets single probes through.

It opens when failures of attempts begun since the last success are

- many: ``failures_to_open`` over ``lanes_to_open`` lanes, for longer than a success usually takes; or
- few, for an endpoint with little traffic: ``few_failures`` over ``few_events`` events, for ``few_after_s``; or
- all without a connection, ``unreachable_to_open`` of them: no event can be the cause of that.

So an endpoint that fails for half its keys goes on getting the other half, and one poison event alone never opens it.
While it is open, failed attempts do not count, and one real event at a time probes the endpoint, at waits that double
with jitter. The first success closes it. No probe goes out before the time that any failure since the last success
asked for by Retry-After.

::

    CLOSED --failures, no success--> OPEN --probe_at reached, one attempt--> PROBING
    PROBING --failure--> OPEN          OPEN, PROBING --any success--> CLOSED
"""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import NamedTuple

from pipeline.delivery.settings import BreakerSettings


class BreakerState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


# Enum members are looked up through their class; the hot path compares these instead.
CLOSED, OPEN, PROBING = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.PROBING


class Failure(NamedTuple):
    """One failed attempt of ``lane`` (any number that tells lanes apart) with the event at ``offset``, begun at
    ``began_at``. ``retry_after_s``: what the endpoint asked for; ``unreachable``: no connection came about.
    """

    lane: int
    offset: int = 0
    began_at: float = inf
    retry_after_s: float = 0.0
    unreachable: bool = False


class Breaker:
    """Ask `may_send`, tell `sent`, `succeeded`, `failed`, `dropped`. Times are monotonic seconds."""

    __slots__ = (
        "_asked_until",
        "_events",
        "_failures",
        "_first_at",
        "_lanes",
        "_probe",
        "_settings",
        "_succeeded_at",
        "_unreachable",
        "_wait_s",
        "probe_at",
        "state",
    )

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._unreachable = 0
        self._first_at = 0.0
        self._succeeded_at = -inf
        self._lanes: set[int] = set()
        self._events: set[tuple[int, int]] = set()
        self._probe: int | None = None
        self._wait_s = settings.probe_wait_s
        self._asked_until = -inf
        self.probe_at = 0.0
        self.state = CLOSED

    def may_send(self, now: float) -> bool:
        if self.state is CLOSED:
            return True
        return self.state is OPEN and now >= self.probe_at

    def sent(self, lane: int) -> None:
        """An attempt of ``lane`` begins; while open, that is the probe."""
        if self.state is OPEN:
            self.state = PROBING
            self._probe = lane

    def succeeded(self, now: float) -> bool:
        """True when this ended an outage: the breaker was open, and not just for a moment between two results."""
        self._succeeded_at = now
        if self._failures:
            self._failures = self._unreachable = 0
            self._lanes.clear()
            self._events.clear()
            self._asked_until = -inf
        if self.state is CLOSED:
            return False
        was_down = self.state is PROBING or self._wait_s > self._settings.probe_wait_s
        self._wait_s = self._settings.probe_wait_s
        self._probe = None
        self.state = CLOSED
        return was_down

    def failed(self, failure: Failure, now: float, draw: float, usual_s: float = 0.0) -> bool:
        """Note a failure; True when it counts as one of its event's attempts. ``usual_s``: how long a success takes."""
        if failure.retry_after_s > 0:
            self._asked_until = max(self._asked_until, now + failure.retry_after_s)
        if self.state is CLOSED:
            # An attempt that hung while others succeeded says nothing of what happened since.
            if failure.began_at >= self._succeeded_at:
                self._count(failure, now)
                if self._nothing_succeeds(now - self._first_at, usual_s):
                    self._open(now, draw)
            return True
        if failure.lane == self._probe:
            self._wait_s = min(self._wait_s * 2, self._settings.probe_wait_s_max)
            self._open(now, draw)
        elif self.state is OPEN:
            self.probe_at = max(self.probe_at, self._asked_until)
        return False

    def dropped(self, lane: int) -> None:
        """The attempt of ``lane`` ended and says nothing of the endpoint; was it the probe, another need not wait."""
        if lane == self._probe:
            self._probe = None
            self.state = OPEN
            self.probe_at = max(self.probe_at, self._asked_until)

    def _count(self, failure: Failure, now: float) -> None:
        if not self._failures:
            self._first_at = now
        self._failures += 1
        self._unreachable += failure.unreachable
        # Sets only as large as the question: whether there are several.
        if len(self._lanes) < self._settings.lanes_to_open:
            self._lanes.add(failure.lane)
        if len(self._events) < self._settings.few_events:
            self._events.add((failure.lane, failure.offset))

    def _nothing_succeeds(self, lasted_s: float, usual_s: float) -> bool:
        limits, failures = self._settings, self._failures
        if failures >= limits.unreachable_to_open and self._unreachable == failures:
            return True
        if lasted_s < limits.patience * usual_s:
            return False
        if failures >= limits.failures_to_open and len(self._lanes) >= limits.lanes_to_open:
            return True
        few = failures >= limits.few_failures and len(self._events) >= limits.few_events
        return few and lasted_s >= limits.few_after_s

    def _open(self, now: float, draw: float) -> None:
        self.state = OPEN
        self._probe = None
        self.probe_at = max(now + self._wait_s * (0.5 + draw / 2), self._asked_until)
