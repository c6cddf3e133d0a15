"""Metrics in Prometheus text form, counted in plain dictionaries and lists and rendered when scraped.

Labels are names operators chose and closed lists, never payload, never a run's id; their number is bounded (`Names`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.hooks import Hooks, Meter, PlaceState, RunState
from pipeline.telemetry.gauges import RUN_LABELS, place_gauges, run_gauges
from pipeline.telemetry.labels import Names, RunLabels, labels_of
from pipeline.telemetry.tallies import AGE_BUCKETS_S, ATTEMPT_BUCKETS_S, OUTCOMES, RunTally, cumulative

_COUNTERS = {
    "attempts": ("Delivery attempts that ended, by the first digit of the status.", (*RUN_LABELS, "outcome")),
    "connections_opened": ("Connections opened to endpoints; all other attempts reused one.", RUN_LABELS),
    "dead_letters": ("Events appended to a dead-letter topic.", (*RUN_LABELS, "reason")),
    "bury_failures": ("Dead-letter appends that failed; the partition stalls until one succeeds.", RUN_LABELS),
    "commits": ("Partitions whose pointer was committed.", RUN_LABELS),
    "cursor_moves": ("Cursors moved by a tool under a running worker.", RUN_LABELS),
    "gap_offsets": ("Offsets that were gone before they were read.", ("topic",)),
    "headroom_low": ("Times that retention came near to what was not delivered.", RUN_LABELS),
    "appended": ("Records acknowledged by all in-sync replicas.", ("topic",)),
    "append_failures": ("Records that were not appended.", ("topic",)),
    "stops": ("Runs that ended by themselves: done, gone or blocked.", (*RUN_LABELS, "state")),
    "fenced": ("Partitions let go because a newer owner holds them.", RUN_LABELS),
    "breaker_changes": ("Changes of an endpoint's breaker.", (*RUN_LABELS, "state")),
    "consumer_errors": ("Errors of Kafka clients that are being recovered from.", ("kind",)),
}
_HISTOGRAMS = (
    ("pipeline_attempt_seconds", "How long attempts took.", ATTEMPT_BUCKETS_S, "attempts", "attempt_sum_s"),
    ("pipeline_delivery_seconds", "From append to 2xx.", AGE_BUCKETS_S, "ages", "age_sum_s"),
)


class Metrics(Hooks, Collector):
    """Counts what the hooks tell; `text` renders it. `watch` says whom to ask for what is so now."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[tuple[str, ...], float]] = {name: defaultdict(float) for name in _COUNTERS}
        self._tallies: dict[RunLabels, RunTally] = {}
        self._subscriptions, self._topics, self._groups = Names(), Names(), Names()
        self._runs: Callable[[], Iterable[RunState]] = tuple
        self._places: Callable[[], Iterable[PlaceState]] = tuple
        self._view_bytes = (0, 0)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def watch(self, runs: Callable[[], Iterable[RunState]], places: Callable[[], Iterable[PlaceState]]) -> None:
        """Ask these at each scrape."""
        self._runs, self._places = runs, places

    def text(self) -> bytes:
        """Prometheus text exposition format 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Every metric as it stands; called by the registry."""
        attempts: dict[tuple[str, ...], float] = defaultdict(float)
        for labels, tally in self._tallies.items():
            for outcome, ended in zip(OUTCOMES, tally.outcomes, strict=True):
                if ended:
                    attempts[*labels, outcome] += ended
        self._counts["attempts"] = attempts
        for name, (text, names) in _COUNTERS.items():
            counter = CounterMetricFamily(f"pipeline_{name}", text, labels=names)
            for values, count in list(self._counts[name].items()):
                counter.add_metric(values, count)
            yield counter
        yield from self._histograms()
        yield from run_gauges(self._runs(), self._subscriptions)
        yield from place_gauges(self._places(), self._groups)
        view = GaugeMetricFamily("pipeline_view_bytes", "Payload bytes the log view holds.", labels=("part",))
        for part, held in zip(("ring", "backlog"), self._view_bytes, strict=True):
            view.add_metric((part,), held)
        yield view

    def _histograms(self) -> Iterator[HistogramMetricFamily]:
        for name, text, buckets_s, counts, sum_s in _HISTOGRAMS:
            family = HistogramMetricFamily(name, text, labels=RUN_LABELS)
            for labels, tally in self._tallies.items():
                family.add_metric(labels, list(cumulative(buckets_s, getattr(tally, counts))), getattr(tally, sum_s))
            yield family

    def _labels(self, run: str) -> RunLabels:
        subscription, kind = labels_of(run)
        return RunLabels(self._subscriptions.of(subscription), kind)

    # -- hooks -------------------------------------------------------------------------------------------------------

    def meter(self, run: str) -> Meter:
        return self._tallies.setdefault(self._labels(run), RunTally()).meter()

    def on_attempt(self, run: str, status: int, elapsed_s: float) -> None:
        self.meter(run)(status, elapsed_s, -1.0)

    def on_appended(self, topic: str, count: int) -> None:
        self._counts["appended"][self._topics.of(topic),] += count

    def on_append_failed(self, topic: str, error: Exception) -> None:
        self._counts["append_failures"][self._topics.of(topic),] += 1

    def on_connection(self, run: str) -> None:
        self._counts["connections_opened"][self._labels(run)] += 1

    def on_buried(self, run: str, reason: str) -> None:
        self._counts["dead_letters"][*self._labels(run), reason] += 1

    def on_bury_failed(self, run: str, error: Exception) -> None:
        self._counts["bury_failures"][self._labels(run)] += 1

    def on_committed(self, run: str, partitions: int) -> None:
        self._counts["commits"][self._labels(run)] += partitions

    def on_moved(self, run: str, topic: str, partition: int, offset: int) -> None:
        self._counts["cursor_moves"][self._labels(run)] += 1

    def on_gap(self, topic: str, partition: int, first: int, until: int) -> None:
        self._counts["gap_offsets"][self._topics.of(topic),] += until - first

    def on_headroom_low(self, run: str, topic: str, partition: int, ratio: float) -> None:
        self._counts["headroom_low"][self._labels(run)] += 1

    def on_breaker(self, run: str, state: str) -> None:
        self._counts["breaker_changes"][*self._labels(run), state] += 1

    def on_stopped(self, run: str, state: str, reason: str) -> None:
        self._counts["stops"][*self._labels(run), state] += 1

    def on_fenced(self, run: str) -> None:
        self._counts["fenced"][self._labels(run)] += 1

    def on_view_bytes(self, ring_bytes: int, backlog_bytes: int) -> None:
        self._view_bytes = (ring_bytes, backlog_bytes)

    def on_consumer_error(self, error: Exception) -> None:
        self._counts["consumer_errors"][getattr(error, "code", type(error).__name__),] += 1
