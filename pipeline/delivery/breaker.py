"""The breaker of one endpoint: opens when *nothing* succeeds, then lets single probes through.

It opens after ``failures_to_open`` failures over at least ``lanes_to_open`` lanes with no success between: an
endpoint that fails for half its keys goes on getting the other half. While it is open, failed attempts do not
count, and one real event at a time probes the endpoint, at waits that double with jitter. The first success closes it.
No probe goes out before the time that any failure since the last success asked for by Retry-After.

::

    CLOSED --failures over several lanes, no success--> OPEN --probe_at reached, one attempt--> PROBING
    PROBING --failure--> OPEN          OPEN, PROBING --any success--> CLOSED
"""

from __future__ import annotations

from enum import Enum

import msgspec


class BreakerState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


# Enum members are looked up through their class; the hot path compares these instead.
CLOSED, OPEN, PROBING = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.PROBING


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``probe_wait_s`` doubles with each failed probe up to ``probe_wait_s_max``."""

    failures_to_open: int = 10
    lanes_to_open: int = 3
    probe_wait_s: float = 1.0
    probe_wait_s_max: float = 60.0


class Breaker:
    """Ask `may_send`, tell `sent`, `succeeded`, `failed`, `dropped`. Times are monotonic seconds; ``lane`` is any
    number that tells lanes apart.
    """

    __slots__ = ("_asked_until", "_failures", "_lanes", "_probe", "_settings", "_wait_s", "probe_at", "state")

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._lanes: set[int] = set()
        self._probe: int | None = None
        self._wait_s = settings.probe_wait_s
        self._asked_until = float("-inf")
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

    def succeeded(self) -> None:
        if self._failures:
            self._failures = 0
            self._lanes.clear()
            self._asked_until = float("-inf")
        if self.state is not CLOSED:
            self._wait_s = self._settings.probe_wait_s
            self._probe = None
            self.state = CLOSED

    def failed(self, lane: int, now: float, draw: float, retry_after_s: float = 0.0) -> bool:
        """Note a failure of ``lane``; True when it counts as one of its event's attempts."""
        if retry_after_s > 0:
            self._asked_until = max(self._asked_until, now + retry_after_s)
        if self.state is CLOSED:
            self._failures += 1
            if len(self._lanes) < self._settings.lanes_to_open:
                self._lanes.add(lane)
            if self._failures >= self._settings.failures_to_open and len(self._lanes) >= self._settings.lanes_to_open:
                self._open(now, draw)
            return True
        if lane == self._probe:
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

    def _open(self, now: float, draw: float) -> None:
        self.state = OPEN
        self._probe = None
        self.probe_at = max(now + self._wait_s * (0.5 + draw / 2), self._asked_until)
