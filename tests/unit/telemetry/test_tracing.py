"""Traces: publishing and attempts under one trace, by the event's traceparent."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from pipeline.errors import DeclarationInvalid
from pipeline.event import Event
from pipeline.format.headers import event_to_kafka
from pipeline.telemetry.tracing import Tracing, otlp_tracing

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> tuple[Tracing, Any]:
    """Tracing into memory, and its exporter."""
    trace = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter, provider = memory.InMemorySpanExporter(), trace.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    return Tracing(provider.get_tracer("tests")), exporter


def published(tracing: Tracing, **extensions: str) -> Event:
    event = Event(id="e1", source="/shop", type="order.placed", data=b"{}", extensions=extensions)
    with tracing.publishing("orders", event) as out:
        return out


def test_an_event_takes_its_publishing_along_and_its_attempts_are_children_of_it(spans: tuple[Tracing, Any]) -> None:
    tracing, exporter = spans
    event = published(tracing)
    tell = tracing.span_maker("app.hook")
    _, headers = event_to_kafka(event)
    tell(headers, 1, 503, 0.25)
    tell(headers, 2, 204, 0.05)
    publish, failed, delivered = exporter.get_finished_spans()
    assert (publish.name, failed.name, delivered.name) == ("publish orders", "attempt hook", "attempt hook")
    assert failed.parent.span_id == delivered.parent.span_id == publish.context.span_id
    assert failed.context.trace_id == publish.context.trace_id
    assert (failed.status.is_ok, delivered.status.is_ok) == (False, True)
    assert failed.end_time - failed.start_time == 250_000_000
    assert dict(delivered.attributes) == {
        "pipeline.subscription": "hook",
        "pipeline.kind": "live",
        "pipeline.attempt": 2,
        "http.response.status_code": 204,
    }


def test_an_attempt_without_a_reply_has_no_status_of_one(spans: tuple[Tracing, Any]) -> None:
    tracing, exporter = spans
    tell = tracing.span_maker("app.hook")
    for status in (0, 503):
        tell((("traceparent", GIVEN.encode()),), 1, status, 0.1)
    told = [dict(span.attributes) for span in exporter.get_finished_spans()]
    assert [(one.get("http.response.status_code"), one["error.type"]) for one in told] == [
        (None, "no-reply"), (503, "503")
    ]  # fmt: skip


def test_a_trace_that_the_event_came_with_is_kept(spans: tuple[Tracing, Any]) -> None:
    tracing, exporter = spans
    event = published(tracing, traceparent=GIVEN)
    assert event.extensions["traceparent"] == GIVEN
    tracing.span_maker("app.hook.replay.5f")((("traceparent", GIVEN.encode()),), 1, 204, 0.1)
    publish, attempt = exporter.get_finished_spans()
    assert f"{publish.parent.span_id:016x}" == f"{attempt.parent.span_id:016x}" == "b7ad6b7169203331"
    assert attempt.attributes["pipeline.kind"] == "replay"


@pytest.mark.parametrize("headers", [(), (("ce_type", b"x"),), (("traceparent", None),)])
def test_events_without_a_trace_make_no_spans(spans: tuple[Tracing, Any], headers: Any) -> None:
    tracing, exporter = spans
    tracing.span_maker("app.hook")(headers, 1, 204, 0.1)
    assert exporter.get_finished_spans() == ()


def test_a_trace_that_is_none_harms_nobody(spans: tuple[Tracing, Any]) -> None:
    tracing, exporter = spans
    tracing.span_maker("app.hook")((("traceparent", b"\xff\x00nonsense"),), 1, 204, 0.1)
    assert len(exporter.get_finished_spans()) == 1


def test_events_of_a_batch_are_published_side_by_side(spans: tuple[Tracing, Any]) -> None:
    tracing, exporter = spans
    first, second = (Event(id=name, source="/shop", type="order.placed") for name in ("e1", "e2"))
    with tracing.publishing("orders", first), tracing.publishing("orders", second):
        pass
    assert [span.parent for span in exporter.get_finished_spans()] == [None, None]


def test_an_event_that_is_refused_leaves_a_failed_span(spans: tuple[Tracing, Any]) -> None:
    tracing, exporter = spans
    event = Event(id="e1", source="/shop", type="order.placed")
    with pytest.raises(ValueError, match="refused"), tracing.publishing("orders", event):
        raise ValueError("refused")
    (span,) = exporter.get_finished_spans()
    assert not span.status.is_ok


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(DeclarationInvalid, match="extra otel"):
        otlp_tracing("app")
