"""The moments the rims tell of, as methods that do nothing: metrics, logs and traces override what they need.

Hooks must return quickly and raise nothing; they are called on the event loop, some of them per record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pipeline.record import Headers

Meter = Callable[[int, float, float], None]
"""Told once per attempt that ended: its status (0: no status line came), how long it took in seconds, and how old its
event was since its append (negative: it was not delivered).
"""


SpanMaker = Callable[[Headers, int, int, float], None]
"""Told of each attempt: the headers of its record, its number, its status and how long it took in seconds."""


class RunState(NamedTuple):
    """A run as it stands now; ``run`` is its group. ``waiting`` lanes have something to send and no attempt in flight,
    ``held`` ones wait for an operator.
    """

    run: str
    in_flight: int
    waiting: int
    held: int
    held_bytes: int
    breaker: str


class PlaceState(NamedTuple):
    """Where the pointer of a live run stands: lag in offsets and seconds, and how far retention is.

    ``headroom`` counts the offsets between the log start and the pointer; ``headroom_ratio`` is 1 where retention
    threatens nothing undelivered, 0 where the next deletion takes it.
    """

    run: str
    topic: str
    partition: int
    offset: int
    lag: int
    lag_s: float
    headroom: int
    headroom_ratio: float


class Hooks:
    """Override any of these. Times are seconds, sizes bytes; ``run`` is a consumer group's name."""

    def on_appended(self, topic: str, count: int) -> None:
        """``count`` records were acknowledged by all in-sync replicas."""

    def on_append_failed(self, topic: str, error: Exception) -> None: ...

    def meter(self, run: str) -> Meter:
        """What is told of each attempt of ``run``; asked for once, when the run begins."""

        def attempted(status: int, elapsed_s: float, age_s: float) -> None:  # noqa: ARG001 - the meter's signature
            self.on_attempt(run, status, elapsed_s)

        return attempted

    def span_maker(self, run: str) -> SpanMaker | None:  # noqa: ARG002 - for those who trace
        """What makes a trace of each attempt of ``run``; None: nobody traces, and that costs nothing."""
        return None

    def on_attempt(self, run: str, status: int, elapsed_s: float) -> None:
        """One attempt ended; ``status`` 0 means no status line came. For those who bind no `meter`."""

    def on_connection(self, run: str) -> None:
        """A connection to the run's endpoint was opened."""

    def on_stopped(self, run: str, state: str, reason: str) -> None:
        """The run ended by itself: ``done``, or ``gone`` or ``blocked`` until an operator decides."""

    def on_buried(self, run: str, reason: str) -> None: ...

    def on_bury_failed(self, run: str, error: Exception) -> None:
        """The dead-letter append failed: the partition stalls until it succeeds."""

    def on_committed(self, run: str, partitions: int) -> None: ...

    def on_moved(self, run: str, topic: str, partition: int, offset: int) -> None:
        """A tool moved the cursor under a running worker, which goes on from ``offset``."""

    def on_gap(self, topic: str, partition: int, first: int, until: int) -> None:
        """Offsets ``first`` to ``until`` (exclusive) were gone before they were read."""

    def on_headroom_low(self, run: str, topic: str, partition: int, ratio: float) -> None:
        """Retention is nearer to what ``run`` has not delivered than half of what it keeps."""

    def on_breaker(self, run: str, state: str) -> None: ...

    def on_fenced(self, run: str) -> None:
        """This worker found itself stale and stopped."""

    def on_view_bytes(self, ring_bytes: int, backlog_bytes: int) -> None: ...

    def on_consumer_error(self, error: Exception) -> None: ...
