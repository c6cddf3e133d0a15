"""Events coming in: ``POST /v1/topics/{topic}/events``. 201 only after every in-sync replica has the event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from pipeline.cursor import Cursor
from pipeline.errors import EventInvalid, LogError, PayloadTooLarge, PipelineError
from pipeline.format.headers import decode_http_header_value, event_from_http
from pipeline.format.structured import batch_from_json, event_from_json, mode_of
from pipeline.gateway.asking import body_of, exposed_topic, query_of
from pipeline.gateway.parts import GatewayParts
from pipeline.gateway.problems import GatewayRefusal, problem
from pipeline.gateway.verbs import Verb
from pipeline.record import Position


class EventsIn:
    def __init__(self, parts: GatewayParts) -> None:
        self._parts, self._limits = parts, parts.limits
        self._bytes_held = 0

    def verbs(self) -> list[Verb]:
        return [Verb("POST", "/v1/topics/{topic}/events", self.publish)]

    async def publish(self, request: Request) -> Response:
        """One event (binary or structured CloudEvent, or any content with ``Event-Key``) or a batch of them."""
        query_of(request)
        topic = exposed_topic(request)
        mode = _mode(request)
        batch = mode == "batch"
        body = await body_of(request, self._limits.batch if batch else self._limits.event)
        with self._held(len(body)):
            if batch:
                return await self._publish_batch(request, topic, body)
            return await self._created(topic, await self._publish_one(request, topic, mode, body))

    async def _publish_one(self, request: Request, topic: str, mode: str, body: bytes) -> Position:
        key = _key(request)
        if mode == "structured":
            return await self._parts.publisher.publish(topic, event_from_json(body), key=key)
        attributes = [name for name in request.headers if name.startswith("ce-")]
        if attributes or key is None:
            if not attributes:
                raise EventInvalid(
                    "ce-specversion", "absent", "CloudEvents attributes (ce-…), or Event-Key for other content"
                )
            return await self._parts.publisher.publish(topic, event_from_http(request.headers, body), key=key)
        content_type = request.headers.get("content-type", "application/octet-stream")
        return await self._parts.publisher.publish_raw(topic, body, content_type, key)

    async def _created(self, topic: str, position: Position) -> Response:
        place = await self._place(topic, position)
        headers = {"location": _location(position), "event-cursor": place["cursor"]}
        return Response(orjson.dumps(place), 201, headers, "application/json")

    async def _publish_batch(self, request: Request, topic: str, body: bytes) -> Response:
        if _key(request) is not None:
            raise EventInvalid("Event-Key", "", "no Event-Key on a batch; give each event a partitionkey")
        events = batch_from_json(body)
        if len(events) > self._limits.batch_events_max:
            most = f"at most {self._limits.batch_events_max} events (batch_events_max)"
            raise PayloadTooLarge("body", f"{len(events)} events", most)
        written = await self._parts.publisher.publish_batch(topic, [(event, None) for event in events])
        results = [await self._result(topic, result) for result in written]
        failed = [result for result in written if isinstance(result, PipelineError)]
        if failed:
            # Never 207: clients take it for success. What was written is told; the whole batch may be sent again.
            worst = next((error for error in failed if isinstance(error, LogError)), failed[0])
            return problem(worst, request.state.request_id, {"results": results})
        return Response(orjson.dumps({"results": results}), 200, media_type="application/json")

    async def _result(self, topic: str, result: Position | PipelineError) -> dict[str, Any]:
        if isinstance(result, PipelineError):
            return {"error": {"code": result.code, "detail": str(result), "retryable": result.retryable}}
        return await self._place(topic, result)

    async def _place(self, topic: str, position: Position) -> dict[str, Any]:
        facts = await self._parts.catalogue.get(topic)
        cursor = Cursor(facts.topic_id, {position.partition: position.offset + 1}).token()
        return {"topic": topic, "partition": position.partition, "offset": position.offset, "cursor": cursor}

    @contextmanager
    def _held(self, body_bytes: int) -> Iterator[None]:
        if self._bytes_held and self._bytes_held + body_bytes > self._limits.publish_bytes_max:
            raise GatewayRefusal("overloaded", "too much is being written at once (publish_bytes_max)", retryable=True)
        self._bytes_held += body_bytes
        try:
            yield
        finally:
            self._bytes_held -= body_bytes


def _mode(request: Request) -> str:
    """How the event is carried; CloudEvents in an encoding other than JSON are refused."""
    content_type = request.headers.get("content-type")
    mode = mode_of(content_type)
    if mode != "binary" and content_type is not None:
        kind = content_type.partition(";")[0].strip().lower()
        if kind not in ("application/cloudevents+json", "application/cloudevents-batch+json"):
            taken = "application/cloudevents+json, application/cloudevents-batch+json or binary mode"
            raise GatewayRefusal("unsupported-media-type", f"{kind[:80]} is not taken; send {taken}")
    return mode


def _key(request: Request) -> bytes | None:
    text = request.headers.get("event-key")
    return decode_http_header_value(text, field="Event-Key").encode() if text is not None else None


def _location(position: Position) -> str:
    return f"/v1/topics/{position.topic}/partitions/{position.partition}/records/{position.offset}"
