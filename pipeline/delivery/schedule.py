"""When a failed attempt is tried again: the retry schedule, with full jitter.

Full jitter (a wait drawn evenly from (0, wait]) spreads the retries of events that failed together;
see "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from pipeline.subscription import RetryPolicy

RETRY_WAIT_S_MIN = 0.01


def retry_wait_s(policy: RetryPolicy, attempts: int, draw: float) -> float | None:
    """Seconds to wait after failed attempt number ``attempts`` (from 1), or None when the schedule is spent.

    ``draw`` is a random number in [0, 1).
    """
    if spent(policy, attempts):
        return None
    return max(RETRY_WAIT_S_MIN, policy.schedule_s[attempts - 1] * (1.0 - draw))


def spent(policy: RetryPolicy, attempts: int) -> bool:
    """Whether ``attempts`` failed ones are all that the schedule has."""
    return attempts > len(policy.schedule_s)


def given_up(policy: RetryPolicy, first_failed_at: float, now: float) -> bool:
    """Whether an event whose first attempt failed at ``first_failed_at`` has been tried for long enough."""
    return now - first_failed_at >= policy.give_up_after_s
