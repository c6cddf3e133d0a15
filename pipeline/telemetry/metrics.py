"""Metrics in Prometheus text form, counted in plain dictionaries and rendered when scraped.

A labelled ``prometheus_client`` counter costs about a microsecond per step, which a delivery of thirty cannot spare; a
dictionary costs a tenth of that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.hooks import Hooks

# Seconds; a webhook answers in milliseconds when it is near and in seconds when it is not.
LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0)
_COUNTERS = {
    "attempts": ("Delivery attempts that ended.", ("run", "status")),
    "dead_letters": ("Events appended to a dead-letter topic.", ("run", "reason")),
    "bury_failures": ("Dead-letter appends that failed; the partition stalls until one succeeds.", ("run",)),
    "commits": ("Partitions whose pointer was committed.", ("run",)),
    "cursor_moves": ("Cursors moved by a tool under a running worker.", ("run",)),
    "gap_offsets": ("Offsets that were gone before they were read.", ("topic",)),
    "appended": ("Records acknowledged by all in-sync replicas.", ("topic",)),
    "append_failures": ("Records that were not appended.", ("topic",)),
    "stops": ("Runs that ended by themselves: done, gone or blocked.", ("run", "state")),
    "fenced": ("Partitions let go because a newer owner holds them.", ("run",)),
    "breaker_changes": ("Changes of an endpoint's breaker.", ("run", "state")),
    "consumer_errors": ("Errors of Kafka clients that are being recovered from.", ("kind",)),
}


class Tally:
    """Attempts of one run that ended with one status, by how long they took."""

    __slots__ = ("buckets", "sum_s")

    def __init__(self) -> None:
        self.buckets = [0] * (len(LATENCY_BUCKETS_S) + 1)
        self.sum_s = 0.0


class Metrics(Hooks, Collector):
    """Counts what the hooks tell; `text` renders it. Labels are names operators chose and closed lists, never
    payload.
    """

    def __init__(self) -> None:
        self._counts: dict[str, dict[tuple[str, ...], float]] = {name: defaultdict(float) for name in _COUNTERS}
        self._tallies: dict[tuple[str, int], Tally] = {}
        self._view_bytes = (0, 0)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """Prometheus text exposition format 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Every metric as it stands; called by the registry."""
        tallies = self._tallies.items()
        self._counts["attempts"] = {(run, str(status)): float(sum(tally.buckets)) for (run, status), tally in tallies}
        for name, (text, labels) in _COUNTERS.items():
            counter = CounterMetricFamily(f"pipeline_{name}", text, labels=labels)
            for values, count in list(self._counts[name].items()):
                counter.add_metric(values, count)
            yield counter
        yield self._histogram()
        view = GaugeMetricFamily("pipeline_view_bytes", "Payload bytes the log view holds.", labels=("part",))
        for part, held in zip(("ring", "backlog"), self._view_bytes, strict=True):
            view.add_metric((part,), held)
        yield view

    def _histogram(self) -> HistogramMetricFamily:
        family = HistogramMetricFamily("pipeline_attempt_seconds", "How long attempts took.", labels=("run",))
        for run in {run for run, _ in self._tallies}:
            tallies = [tally for (of, _), tally in self._tallies.items() if of == run]
            counts = [sum(column) for column in zip(*(tally.buckets for tally in tallies), strict=True)]
            family.add_metric((run,), list(_cumulative(counts)), sum(tally.sum_s for tally in tallies))
        return family

    # -- hooks -------------------------------------------------------------------------------------------------------

    def on_appended(self, topic: str, count: int) -> None:
        self._counts["appended"][topic,] += count

    def on_append_failed(self, topic: str, error: Exception) -> None:
        self._counts["append_failures"][topic,] += 1

    def on_attempt(self, run: str, status: int, elapsed_s: float) -> None:
        tally = self._tallies.get((run, status))
        if tally is None:
            tally = self._tallies[run, status] = Tally()
        tally.buckets[bisect_left(LATENCY_BUCKETS_S, elapsed_s)] += 1
        tally.sum_s += elapsed_s

    def on_buried(self, run: str, reason: str) -> None:
        self._counts["dead_letters"][run, reason] += 1

    def on_bury_failed(self, run: str, error: Exception) -> None:
        self._counts["bury_failures"][run,] += 1

    def on_committed(self, run: str, partitions: int) -> None:
        self._counts["commits"][run,] += partitions

    def on_moved(self, run: str, topic: str, partition: int, offset: int) -> None:
        self._counts["cursor_moves"][run,] += 1

    def on_gap(self, topic: str, partition: int, first: int, until: int) -> None:
        self._counts["gap_offsets"][topic,] += until - first

    def on_breaker(self, run: str, state: str) -> None:
        self._counts["breaker_changes"][run, state] += 1

    def on_stopped(self, run: str, state: str, reason: str) -> None:
        self._counts["stops"][run, state] += 1

    def on_fenced(self, run: str) -> None:
        self._counts["fenced"][run,] += 1

    def on_view_bytes(self, ring_bytes: int, backlog_bytes: int) -> None:
        self._view_bytes = (ring_bytes, backlog_bytes)

    def on_consumer_error(self, error: Exception) -> None:
        self._counts["consumer_errors"][getattr(error, "code", type(error).__name__),] += 1


def _cumulative(counts: Iterable[int]) -> Iterator[tuple[str, float]]:
    total = 0
    for bound, count in zip((*map(str, LATENCY_BUCKETS_S), "+Inf"), counts, strict=True):
        total += count
        yield bound, total
