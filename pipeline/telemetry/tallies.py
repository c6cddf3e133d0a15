"""Tallies: what is counted per attempt, in plain lists, and made into histograms when somebody asks.

A labelled ``prometheus_client`` counter costs about a microsecond per step, which a delivery of thirty cannot spare; a
list found beforehand costs a tenth of that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from pipeline.hooks import Meter

# Seconds; a webhook answers in milliseconds when it is near and in seconds when it is not.
ATTEMPT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0)
# From append to 2xx: an event that waited for its endpoint may be days old.
AGE_BUCKETS_S = (0.002, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3_600.0, 86_400.0)
# By the first digit of the status; 0: no status line came.
OUTCOMES = ("fault", "1xx", "2xx", "3xx", "4xx", "5xx", "other", "other", "other", "other")


class RunTally:
    """Attempts of the runs under one pair of labels."""

    __slots__ = ("age_sum_s", "ages", "attempt_sum_s", "attempts", "outcomes")

    def __init__(self) -> None:
        self.outcomes = [0] * len(OUTCOMES)
        self.attempts = [0] * (len(ATTEMPT_BUCKETS_S) + 1)
        self.ages = [0] * (len(AGE_BUCKETS_S) + 1)
        self.attempt_sum_s = self.age_sum_s = 0.0

    def meter(self) -> Meter:
        """What counts one attempt, with everything it needs at hand: 0.3 µs."""
        outcomes, attempts, ages = self.outcomes, self.attempts, self.ages

        def attempted(status: int, elapsed_s: float, age_s: float) -> None:
            outcomes[status // 100] += 1
            attempts[bisect_left(ATTEMPT_BUCKETS_S, elapsed_s)] += 1
            self.attempt_sum_s += elapsed_s
            if age_s >= 0.0:
                ages[bisect_left(AGE_BUCKETS_S, age_s)] += 1
                self.age_sum_s += age_s

        return attempted


def cumulative(buckets_s: tuple[float, ...], counts: Iterable[int]) -> Iterator[tuple[str, float]]:
    """Prometheus' form of a histogram: bound, and how many were at or below it."""
    total = 0
    for bound, count in zip((*map(str, buckets_s), "+Inf"), counts, strict=True):
        total += count
        yield bound, total
