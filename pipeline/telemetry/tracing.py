"""Traces: a span when an event is published, and one for each attempt to deliver it, under the same trace.

They meet by ``traceparent`` (W3C Trace Context; CloudEvents, Distributed Tracing extension): one that the event came
with is kept and is the parent of both; else the event is given that of its publishing. Events of producers that send
none are not traced. Needs the extra ``otel``; where spans go is said by OpenTelemetry's own ``OTEL_…`` variables.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from pipeline.errors import DeclarationInvalid
from pipeline.event import Event
from pipeline.hooks import SpanMaker
from pipeline.record import Headers
from pipeline.telemetry.labels import labels_of

TRACEPARENT = "traceparent"
_HEADERS = ("ce_traceparent", TRACEPARENT)


class TelemetrySettings(msgspec.Struct, frozen=True, kw_only=True):
    """``traces``: make spans and export them over OTLP (needs the extra ``otel``)."""

    traces: bool = False


class Tracing:
    """Makes spans with an OpenTelemetry ``tracer``; ``close`` exports what is left."""

    def __init__(self, tracer: Any, close: Callable[[], None] = lambda: None) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - an extra: only who traces has it
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - the same
            TraceContextTextMapPropagator,
        )

        self._tracer, self.close, self._in_context = tracer, close, trace.set_span_in_context
        self._kinds, self._failed = trace.SpanKind, trace.Status(trace.StatusCode.ERROR)
        self._carried = TraceContextTextMapPropagator()

    @contextlib.contextmanager
    def publishing(self, topic: str, event: Event) -> Iterator[Event]:
        """A span for the length of the block, which publishes the event it is given."""
        given = event.extensions.get(TRACEPARENT)
        context = self._carried.extract({TRACEPARENT: given}) if isinstance(given, str) else None
        attributes = {
            "messaging.system": "kafka",
            "messaging.destination.name": topic,
            "cloudevents.event_id": event.id,
            "cloudevents.event_type": event.type,
        }
        # Not made current: the events of a batch are published side by side, not one within the other.
        span = self._tracer.start_span(
            f"publish {topic}", context=context, kind=self._kinds.PRODUCER, attributes=attributes
        )
        try:
            yield event if given is not None else self._with_trace(event, span)
        except BaseException as error:
            span.record_exception(error)
            span.set_status(self._failed)
            raise
        finally:
            span.end()

    def _with_trace(self, event: Event, span: Any) -> Event:
        carrier: dict[str, str] = {}
        self._carried.inject(carrier, context=self._in_context(span))
        return msgspec.structs.replace(event, extensions={**event.extensions, **carrier})

    def span_maker(self, run: str) -> SpanMaker:
        """See `Hooks.span_maker`: spans are made when attempts have ended."""
        subscription, kind = labels_of(run)

        def attempted(headers: Headers, attempt: int, status: int, elapsed_s: float) -> None:
            carried = next((value for name, value in headers if name in _HEADERS and value), None)
            if carried is None:
                return
            ended_ns = time.time_ns()
            # As OpenTelemetry's conventions for HTTP clients have it: no status where no reply came.
            told: dict[str, int | str] = {"http.response.status_code": status} if status else {}
            if failed := not 200 <= status < 300:
                told["error.type"] = str(status) if status else "no-reply"
            span = self._tracer.start_span(
                f"attempt {subscription}",
                context=self._carried.extract({TRACEPARENT: carried.decode("ascii", "replace")}),
                kind=self._kinds.CLIENT,
                start_time=ended_ns - int(elapsed_s * 1e9),
                attributes={
                    "pipeline.subscription": subscription,
                    "pipeline.kind": kind,
                    "pipeline.attempt": attempt,
                    **told,
                },
            )
            if failed:
                span.set_status(self._failed)
            span.end(ended_ns)

        return attempted


def otlp_tracing(service: str) -> Tracing:
    """Spans of ``service``, exported over OTLP/HTTP. Raises `DeclarationInvalid` where the extra is not installed."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - the same
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - the same
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - the same
    except ImportError as error:
        raise DeclarationInvalid("telemetry.traces", True, f"the extra otel to be installed ({error})") from None
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider.get_tracer("pipeline"), provider.shutdown)
