"""Metrics: what the hooks told, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from pipeline.errors import BrokerUnavailable
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
    metrics.on_attempt("app.a", 204, 0.003)
    metrics.on_attempt("app.a", 204, 0.003)
    metrics.on_attempt("app.a", 0, 15.0)
    metrics.on_buried("app.a", "exhausted")
    metrics.on_bury_failed("app.a", BrokerUnavailable("x"))
    metrics.on_committed("app.a", 3)
    metrics.on_moved("app.a", "t", 0, 5)
    metrics.on_gap("t", 0, 10, 33)
    metrics.on_breaker("app.a", "open")
    metrics.on_fenced("app.a")
    metrics.on_stopped("app.a", "blocked", "pointer-missing: t/0")
    metrics.on_appended("t", 7)
    metrics.on_append_failed("t", BrokerUnavailable("x"))
    metrics.on_consumer_error(BrokerUnavailable("x"))
    metrics.on_consumer_error(ValueError("x"))
    found = samples(metrics)
    expected = {
        ("pipeline_attempts_total", "app.a", "204"): 2,
        ("pipeline_attempts_total", "app.a", "0"): 1,
        ("pipeline_dead_letters_total", "exhausted", "app.a"): 1,
        ("pipeline_bury_failures_total", "app.a"): 1,
        ("pipeline_commits_total", "app.a"): 3,
        ("pipeline_cursor_moves_total", "app.a"): 1,
        ("pipeline_gap_offsets_total", "t"): 23,
        ("pipeline_breaker_changes_total", "app.a", "open"): 1,
        ("pipeline_fenced_total", "app.a"): 1,
        ("pipeline_stops_total", "app.a", "blocked"): 1,
        ("pipeline_appended_total", "t"): 7,
        ("pipeline_append_failures_total", "t"): 1,
        ("pipeline_consumer_errors_total", "broker-unavailable"): 1,
        ("pipeline_consumer_errors_total", "ValueError"): 1,
    }
    assert expected.items() <= found.items()


def test_attempts_fall_into_buckets_that_add_up() -> None:
    metrics = Metrics()
    for elapsed_s in (0.001, 0.0011, 0.2, 99.0):
        metrics.on_attempt("app.a", 200, elapsed_s)
    found = samples(metrics)
    buckets = [
        found["pipeline_attempt_seconds_bucket", bound, "app.a"] for bound in ("0.001", "0.0025", "0.25", "30.0")
    ]
    assert buckets == [1, 2, 3, 3]
    assert found["pipeline_attempt_seconds_bucket", "+Inf", "app.a"] == 4
    assert found["pipeline_attempt_seconds_count", "app.a"] == 4
    assert found["pipeline_attempt_seconds_sum", "app.a"] == 0.001 + 0.0011 + 0.2 + 99.0


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
    metrics.on_attempt("app.a", 204, 0.003)
    assert metrics.text() == metrics.text()
