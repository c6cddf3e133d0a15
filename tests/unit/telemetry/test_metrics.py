"""Metrics: what the hooks told, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from pipeline.errors import BrokerUnavailable
from pipeline.hooks import PlaceState, RunState
from pipeline.telemetry.labels import NAMES_MAX
from pipeline.telemetry.metrics import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """(name, label values in their order by name) -> value, read back by Prometheus' own parser."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_what_was_told_is_counted_by_its_labels() -> None:
    metrics = Metrics()
    tell = metrics.meter("app.a")
    tell(204, 0.003, 0.2)
    tell(201, 0.003, 0.2)
    tell(0, 15.0, -1.0)
    tell(503, 0.1, -1.0)
    tell(999, 0.1, -1.0)
    metrics.meter("app.a.replay.5f")(204, 0.1, 90_000.0)
    metrics.meter("app.a.replay.60")(204, 0.1, 90_000.0)
    metrics.on_connection("app.a")
    metrics.on_buried("app.a", "exhausted")
    metrics.on_buried("app.a.redrive.77", "exhausted")
    metrics.on_bury_failed("app.a", BrokerUnavailable("x"))
    metrics.on_committed("app.a", 3)
    metrics.on_moved("app.a", "t", 0, 5)
    metrics.on_gap("t", 0, 10, 33)
    metrics.on_headroom_low("app.a", "t", 0, 0.4)
    metrics.on_breaker("app.a", "open")
    metrics.on_fenced("app.a")
    metrics.on_stopped("app.a", "blocked", "pointer-missing: t/0")
    metrics.on_appended("t", 7)
    metrics.on_append_failed("t", BrokerUnavailable("x"))
    metrics.on_consumer_error(BrokerUnavailable("x"))
    metrics.on_consumer_error(ValueError("x"))
    found = samples(metrics)
    expected = {
        ("pipeline_attempts_total", "live", "2xx", "a"): 2,
        ("pipeline_attempts_total", "live", "fault", "a"): 1,
        ("pipeline_attempts_total", "live", "5xx", "a"): 1,
        ("pipeline_attempts_total", "live", "other", "a"): 1,
        ("pipeline_attempts_total", "replay", "2xx", "a"): 2,
        ("pipeline_connections_opened_total", "live", "a"): 1,
        ("pipeline_dead_letters_total", "live", "exhausted", "a"): 1,
        ("pipeline_dead_letters_total", "redrive", "exhausted", "a"): 1,
        ("pipeline_bury_failures_total", "live", "a"): 1,
        ("pipeline_commits_total", "live", "a"): 3,
        ("pipeline_cursor_moves_total", "live", "a"): 1,
        ("pipeline_gap_offsets_total", "t"): 23,
        ("pipeline_headroom_low_total", "live", "a"): 1,
        ("pipeline_breaker_changes_total", "live", "open", "a"): 1,
        ("pipeline_fenced_total", "live", "a"): 1,
        ("pipeline_stops_total", "live", "blocked", "a"): 1,
        ("pipeline_appended_total", "t"): 7,
        ("pipeline_append_failures_total", "t"): 1,
        ("pipeline_consumer_errors_total", "broker-unavailable"): 1,
        ("pipeline_consumer_errors_total", "ValueError"): 1,
        ("pipeline_delivery_seconds_count", "live", "a"): 2,
        ("pipeline_delivery_seconds_bucket", "live", "0.1", "a"): 0,
        ("pipeline_delivery_seconds_bucket", "live", "0.25", "a"): 2,
        ("pipeline_delivery_seconds_bucket", "replay", "+Inf", "a"): 2,
    }
    assert expected.items() <= found.items()


def test_attempts_fall_into_buckets_that_add_up() -> None:
    metrics = Metrics()
    for elapsed_s in (0.001, 0.0011, 0.2, 99.0):
        metrics.on_attempt("app.a", 200, elapsed_s)
    found = samples(metrics)
    bounds = ("0.001", "0.0025", "0.25", "30.0", "+Inf")
    assert [found["pipeline_attempt_seconds_bucket", "live", bound, "a"] for bound in bounds] == [1, 2, 3, 3, 4]
    assert found["pipeline_attempt_seconds_count", "live", "a"] == 4
    assert found["pipeline_attempt_seconds_sum", "live", "a"] == 0.001 + 0.0011 + 0.2 + 99.0
    assert found["pipeline_delivery_seconds_count", "live", "a"] == 0


def test_what_is_so_now_is_asked_for_at_each_scrape() -> None:
    metrics = Metrics()
    runs = [
        RunState("app.a", 3, 10, 1, 4096, "closed"),
        RunState("app.a.replay.1", 1, 2, 0, 10, "closed"),
        RunState("app.a.replay.2", 1, 2, 0, 10, "open"),
    ]
    places = [PlaceState("app.a", "t", 3, 42, 8, 1.5, 40, 0.25)]
    metrics.watch(lambda: runs, lambda: places)
    found = samples(metrics)
    expected = {
        ("pipeline_in_flight", "live", "a"): 3,
        ("pipeline_in_flight", "replay", "a"): 2,
        ("pipeline_lanes_waiting", "live", "a"): 10,
        ("pipeline_lanes_held", "live", "a"): 1,
        ("pipeline_held_bytes", "replay", "a"): 20,
        ("pipeline_breaker", "replay", "closed", "a"): 1,
        ("pipeline_breaker", "replay", "open", "a"): 1,
        ("kafka_consumergroup_group_offset", "app.a", "3", "t"): 42,
        ("kafka_consumergroup_group_lag", "app.a", "3", "t"): 8,
        ("kafka_consumergroup_group_lag_seconds", "app.a", "3", "t"): 1.5,
        ("pipeline_retention_headroom_offsets", "app.a", "3", "t"): 40,
        ("pipeline_retention_headroom_ratio", "app.a", "3", "t"): 0.25,
    }
    assert expected.items() <= found.items()
    runs.clear()
    assert ("pipeline_in_flight", "live", "a") not in samples(metrics)


def test_there_are_only_so_many_names() -> None:
    metrics = Metrics()
    for number in range(NAMES_MAX + 50):
        metrics.meter(f"app.s{number}")(204, 0.1, 0.1)
        metrics.on_appended(f"t{number}", 1)
    metrics.watch(tuple, lambda: [PlaceState(f"app.s{n}", "t", 0, 1, 0, 0, 0, 1) for n in range(NAMES_MAX + 50)])
    found = samples(metrics)
    assert found["pipeline_attempts_total", "live", "2xx", "other"] == 50
    assert found["pipeline_appended_total", "other"] == 50
    assert sum(key[0] == "pipeline_attempts_total" for key in found) == NAMES_MAX + 1
    assert sum(key[0] == "kafka_consumergroup_group_lag" for key in found) == NAMES_MAX


def test_gauges_show_the_last_value() -> None:
    metrics = Metrics()
    metrics.on_view_bytes(10, 20)
    metrics.on_view_bytes(30, 40)
    found = samples(metrics)
    assert (found["pipeline_view_bytes", "ring"], found["pipeline_view_bytes", "backlog"]) == (30, 40)


def test_names_cannot_break_the_text() -> None:
    metrics = Metrics()
    metrics.on_appended('t"\n\\', 1)
    assert samples(metrics)["pipeline_appended_total", 't"\n\\'] == 1


def test_scraping_changes_nothing() -> None:
    metrics = Metrics()
    metrics.meter("app.a")(204, 0.003, 0.1)
    assert metrics.text() == metrics.text()
