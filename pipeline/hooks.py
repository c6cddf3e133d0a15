"""The moments the rims tell of, as methods that do nothing: metrics, logs and traces override what they need.

Hooks must return quickly and raise nothing; they are called on the event loop, some of them per record.
"""

from __future__ import annotations


class Hooks:
    """Override any of these. Times are seconds, sizes bytes; ``run`` is a consumer group's name."""

    def on_appended(self, topic: str, count: int) -> None:
        """``count`` records were acknowledged by all in-sync replicas."""

    def on_append_failed(self, topic: str, error: Exception) -> None: ...

    def on_attempt(self, run: str, status: int, elapsed_s: float) -> None:
        """One attempt ended; ``status`` 0 means no status line came."""

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

    def on_breaker(self, run: str, state: str) -> None: ...

    def on_fenced(self, run: str) -> None:
        """This worker found itself stale and stopped."""

    def on_view_bytes(self, ring_bytes: int, backlog_bytes: int) -> None: ...

    def on_consumer_error(self, error: Exception) -> None: ...
