"""The breaker of one endpoint: opens when *nothing* succeeds, then lets single probes through.

It opens after ``failures_to_open`` failures over at least ``lanes_to_open`` lanes with no success between: an
endpoint that fails for half its keys goes on getting the other half. While it is open, failed attempts do not
count, and one real event at a time probes the endpoint, at waits that double with jitter. The first success closes it.

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


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``probe_wait_s`` doubles with each failed probe up to ``probe_wait_s_max``."""

    failures_to_open: int = 10
    lanes_to_open: int = 3
    probe_wait_s: float = 1.0
    probe_wait_s_max: float = 60.0


class Breaker:
    """Ask `may_send`, tell `sent`, `succeeded`, `failed`. Times are monotonic seconds."""

    __slots__ = ("_failures", "_lanes", "_settings", "_wait_s", "probe_at", "state")

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._lanes: set[int] = set()
        self._wait_s = settings.probe_wait_s
        self.probe_at = 0.0
        self.state = BreakerState.CLOSED

    def may_send(self, now: float) -> bool:
        if self.state is BreakerState.CLOSED:
            return True
        return self.state is BreakerState.OPEN and now >= self.probe_at

    def sent(self) -> None:
        """An attempt begins; while open, that is the probe."""
        if self.state is BreakerState.OPEN:
            self.state = BreakerState.PROBING

    def succeeded(self) -> None:
        if self._failures:
            self._failures = 0
            self._lanes.clear()
        if self.state is not BreakerState.CLOSED:
            self._wait_s = self._settings.probe_wait_s
            self.state = BreakerState.CLOSED

    def failed(self, lane: int, now: float, draw: float, retry_after_s: float = 0.0) -> bool:
        """Note a failure of the lane known by ``lane``; True when it counts as one of its event's attempts."""
        if self.state is not BreakerState.CLOSED:
            if self.state is BreakerState.PROBING:
                self._wait_s = min(self._wait_s * 2, self._settings.probe_wait_s_max)
                self._open(now, draw, retry_after_s)
            return False
        self._failures += 1
        if len(self._lanes) < self._settings.lanes_to_open:
            self._lanes.add(lane)
        if self._failures >= self._settings.failures_to_open and len(self._lanes) >= self._settings.lanes_to_open:
            self._open(now, draw, retry_after_s)
        return True

    def dropped(self) -> None:
        """The probe was called off (its partition went away): another may be sent at once."""
        if self.state is BreakerState.PROBING:
            self.state = BreakerState.OPEN

    def _open(self, now: float, draw: float, retry_after_s: float) -> None:
        self.state = BreakerState.OPEN
        self.probe_at = now + max(self._wait_s * (0.5 + draw / 2), retry_after_s)
