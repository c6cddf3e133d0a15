"""What becomes of a lane whose attempt failed: the one place that weighs verdict, breaker, schedule and policy."""

from __future__ import annotations

from enum import Enum

from pipeline.delivery.breaker import Breaker
from pipeline.delivery.lanes import Lane
from pipeline.delivery.schedule import given_up, retry_wait_s
from pipeline.delivery.verdict import Verdict, VerdictKind
from pipeline.subscription import RetryPolicy


class Fate(Enum):
    """``AGAIN``: ready at once, the breaker decides when. ``WAIT``: ready at the time given. ``DEAD``: the dead-letter policy decides."""

    AGAIN = "again"
    WAIT = "wait"
    DEAD = "dead"
    GONE = "gone"


def fate_of(
    lane: Lane, verdict: Verdict, policy: RetryPolicy, breaker: Breaker, *, now: float, draw: float
) -> tuple[Fate, float]:
    """The lane's fate, and for ``WAIT`` until when (monotonic seconds); notes the failure in ``lane`` and ``breaker``.

    Attempts count only while the breaker is closed, so an endpoint that is down does not use up its events' attempts.
    A rejected event says nothing of the endpoint's health: it settles one event and leaves the breaker as it was.
    """
    lane.verdict = verdict
    if verdict.kind is VerdictKind.GONE:
        return Fate.GONE, now
    lane.last_failed_at = now
    if lane.first_failed_at is None:
        lane.first_failed_at = now
    if verdict.kind is VerdictKind.REJECT:
        breaker.dropped()
        lane.attempts += 1
        return Fate.DEAD, now
    patience_s = verdict.retry_after_s or 0.0
    counts = breaker.failed(id(lane), now, draw, patience_s)
    if counts:
        lane.attempts += 1
    if given_up(policy, lane.first_failed_at, now):
        lane.expired = True
        return Fate.DEAD, now
    if not counts:
        return Fate.AGAIN, now
    wait_s = retry_wait_s(policy, lane.attempts, draw)
    return (Fate.DEAD, now) if wait_s is None else (Fate.WAIT, now + max(wait_s, patience_s))
