"""Headroom: how near retention is to what was not delivered yet. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

# Below this much of what retention leaves an operator is warned, once, until it has grown to the other again.
LOW, RECOVERED = 0.5, 0.6


class Retention(NamedTuple):
    """What a topic keeps: for how long (None: for ever), and whether its size is bounded."""

    for_s: float | None
    by_size: bool


def retention_of(config: Mapping[str, str]) -> Retention:
    """By the topic's effective settings; a topic that is only compacted deletes nothing by age or size."""
    if "delete" not in config.get("cleanup.policy", "delete"):
        return Retention(None, by_size=False)
    for_ms = int(config.get("retention.ms") or -1)
    return Retention(for_ms / 1000 if for_ms >= 0 else None, by_size=int(config.get("retention.bytes") or -1) >= 0)


class Span(NamedTuple):
    """Where a pointer stands in its log; ``lag_s``: how old the first undelivered event is."""

    start: int
    committed: int
    end: int
    lag_s: float


def headroom_ratio(span: Span, retention: Retention) -> float:
    """1 where retention threatens nothing undelivered, 0 where its next deletion takes it.

    By time: what is left of the retention time to the first undelivered event. By size: which part of what the log
    holds lies before it, once anything was deleted at all (until then there is room).
    """
    if span.committed >= span.end:
        return 1.0
    ratio = 1.0
    if retention.for_s is not None:
        ratio = 1.0 - span.lag_s / retention.for_s if retention.for_s > 0 else 0.0
    if retention.by_size and span.start > 0:
        ratio = min(ratio, (span.committed - span.start) / max(1, span.end - span.start))
    return min(max(ratio, 0.0), 1.0)


def is_low(ratio: float, was_low: bool) -> bool:
    """Whether to hold the warning up: it begins below `LOW` and ends at `RECOVERED`."""
    return ratio < RECOVERED if was_low else ratio < LOW
