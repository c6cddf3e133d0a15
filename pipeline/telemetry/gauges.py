"""Gauges: what runs and pointers are like at the moment somebody asks, as Prometheus families.

Lag goes by the names that common exporters gave it (``kafka_consumergroup_group_lag``), so that existing dashboards
work. Only live runs have one: a replay's group is gone when it is done.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily

from pipeline.hooks import PlaceState, RunState
from pipeline.telemetry.labels import Names, labels_of

RUN_LABELS = ("subscription", "kind")
PLACE_LABELS = ("group", "topic", "partition")


def run_gauges(states: Iterable[RunState], names: Names) -> Iterator[GaugeMetricFamily]:
    """Runs under the same labels are added up; of breakers, how many are in which state."""
    sums: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    breakers: Counter[tuple[str, str, str]] = Counter()
    for state in states:
        subscription, kind = labels_of(state.run)
        labels = (names.of(subscription), kind)
        sums[labels].update(
            in_flight=state.in_flight, waiting=state.waiting, held=state.held, held_bytes=state.held_bytes
        )
        breakers[*labels, state.breaker] += 1
    for field, name, text in (
        ("in_flight", "pipeline_in_flight", "Attempts under way."),
        ("waiting", "pipeline_lanes_waiting", "Keys with something to send that no attempt is under way for."),
        ("held", "pipeline_lanes_held", "Keys that wait for an operator."),
        ("held_bytes", "pipeline_held_bytes", "Payload bytes held for delivery."),
    ):
        family = GaugeMetricFamily(name, text, labels=RUN_LABELS)
        for labels, sum_ in sums.items():
            family.add_metric(labels, sum_[field])
        yield family
    family = GaugeMetricFamily(
        "pipeline_breaker", "Runs whose endpoint's breaker is in this state.", labels=(*RUN_LABELS, "state")
    )
    for with_state, count in breakers.items():
        family.add_metric(with_state, count)
    yield family


def place_gauges(states: Iterable[PlaceState], names: Names) -> Iterator[GaugeMetricFamily]:
    """One time series per partition, while there are not too many names."""
    offset, lag, lag_s = (
        GaugeMetricFamily(f"kafka_consumergroup_group_{name}", text, labels=PLACE_LABELS)
        for name, text in (
            ("offset", "The committed offset."),
            ("lag", "Offsets between the committed one and the log end."),
            ("lag_seconds", "Age of the record at the committed offset; 0 where that is the end."),
        )
    )
    headroom, ratio = (
        GaugeMetricFamily(f"pipeline_retention_{name}", text, labels=PLACE_LABELS)
        for name, text in (
            ("headroom_offsets", "Offsets between the log start and the committed one."),
            ("headroom_ratio", "1: retention threatens nothing undelivered; 0: the next deletion takes it."),
        )
    )
    for state in states:
        # Pointers beyond the bound on names have no sum that would mean anything, so they are left out.
        if names.of(state.run) != state.run:
            continue
        labels = (state.run, state.topic, str(state.partition))
        offset.add_metric(labels, state.offset)
        lag.add_metric(labels, state.lag)
        lag_s.add_metric(labels, state.lag_s)
        headroom.add_metric(labels, state.headroom)
        ratio.add_metric(labels, state.headroom_ratio)
    return iter((offset, lag, lag_s, headroom, ratio))
