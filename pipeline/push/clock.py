"""The clock: where the bridge gets time and chance from, so that a simulation can run it on virtual time."""

from __future__ import annotations

import random
import time
from typing import Protocol


class Clock(Protocol):
    """``monotonic`` and ``wall`` are seconds, the second since the Unix epoch; ``draw`` is a number in [0, 1)."""

    def monotonic(self) -> float: ...

    def wall(self) -> float: ...

    def draw(self) -> float: ...


class SystemClock:
    """The machine's own."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
    draw = staticmethod(random.random)


SYSTEM_CLOCK = SystemClock()


def wall_minus_monotonic(clock: Clock) -> float:
    """What turns monotonic seconds into unix seconds just now."""
    return clock.wall() - clock.monotonic()
