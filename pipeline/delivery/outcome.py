"""What becomes of a lane whose attempt failed: the one place that weighs verdict, breaker, schedule and policy."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from pipeline.delivery.breaker import Breaker, Failure
from pipeline.delivery.lanes import Lane
from pipeline.delivery.schedule import given_up, retry_wait_s, spent
from pipeline.delivery.verdict import Sign, Verdict, VerdictKind
from pipeline.subscription import RetryPolicy


class Fate(Enum):
    """``AGAIN``: ready at once, the breaker decides when. ``WAIT``: ready at the time given, or before as a probe.
    ``WAIT_AS_ASKED``: ready at the time given, never before: the endpoint asked for it. ``DEAD``: the dead-letter
    policy decides. ``GONE``: the endpoint is.
    """

    AGAIN = "again"
    WAIT = "wait"
    WAIT_AS_ASKED = "wait as asked"
    DEAD = "dead"
    GONE = "gone"


class Times(NamedTuple):
    """Now, when the attempt began (monotonic seconds), and how long a success takes."""

    now: float
    began_at: float
    usual_s: float


def may_be_spent(lane: Lane, policy: RetryPolicy, until: float) -> bool:
    """Whether another failure of the head, ``until`` then (monotonic seconds), would be its last."""
    if spent(policy, lane.attempts + 1):
        return True
    return lane.first_failed_at is not None and given_up(policy, lane.first_failed_at, until)


def fate_of(
    lane: Lane,
    verdict: Verdict,
    policy: RetryPolicy,
    breaker: Breaker,
    *,
    times: Times,
    draw: float,
) -> tuple[Fate, float]:
    """The lane's fate, and for both waits until when (monotonic seconds); notes the failure in ``lane`` and
    ``breaker``.

    Attempts count only while the breaker is closed, so an endpoint that is down does not use up its events' attempts.
    A rejected event says nothing of the endpoint's health: it settles one event and leaves the breaker as it was.
    """
    lane.verdict, now = verdict, times.now
    if verdict.kind in (VerdictKind.GONE, VerdictKind.BLOCKED):
        breaker.dropped(id(lane))
        return Fate.GONE, now
    lane.last_failed_at = now
    if lane.first_failed_at is None:
        lane.first_failed_at = now
    if verdict.kind is VerdictKind.REJECT:
        breaker.dropped(id(lane))
        lane.attempts += 1
        return Fate.DEAD, now
    asked_s = verdict.retry_after_s or 0.0
    failure = Failure(
        id(lane),
        offset=lane.offset,
        began_at=times.began_at,
        retry_after_s=asked_s,
        unreachable=verdict.sign is Sign.UNREACHABLE,
    )
    counts = breaker.failed(failure, now, draw, times.usual_s)
    if counts:
        lane.attempts += 1
    if given_up(policy, lane.first_failed_at, now):
        lane.expired = True
        return Fate.DEAD, now
    wait_s = retry_wait_s(policy, lane.attempts, draw) if counts else 0.0
    if wait_s is None:
        return Fate.DEAD, now
    if asked_s > 0:
        return Fate.WAIT_AS_ASKED, now + max(wait_s, asked_s)
    return (Fate.WAIT, now + wait_s) if counts else (Fate.AGAIN, now)
