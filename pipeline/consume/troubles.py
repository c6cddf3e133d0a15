"""What a consumer logs of itself where its service gives no hooks: what operators have to know, nothing per event."""

from __future__ import annotations

import logging

from pipeline.hooks import Hooks

log = logging.getLogger("pipeline.consume")


class Troubles(Hooks):
    """To the logger ``pipeline.consume`` of the standard library."""

    def on_consumer_error(self, error: Exception) -> None:
        log.warning("%s", error)

    def on_buried(self, run: str, reason: str) -> None:
        log.warning("%s: an event was buried: %s", run, reason)

    def on_bury_failed(self, run: str, error: Exception) -> None:
        log.error("%s: a dead letter could not be appended, its partition waits: %s", run, error)

    def on_gap(self, topic: str, partition: int, first: int, until: int) -> None:
        log.error("%s/%d: offsets %d to %d were gone before they were handled", topic, partition, first, until - 1)

    def on_fenced(self, run: str) -> None:
        log.warning("%s: another process owns what this one did", run)
