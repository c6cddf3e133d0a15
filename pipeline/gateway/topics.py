"""Topics as readers see them, and single records: what the ``Location`` of a published event leads to."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from pipeline.errors import BrokerUnavailable, InputError, NotFound
from pipeline.event import Event
from pipeline.faces import TopicFacts
from pipeline.format.headers import event_from_kafka, event_to_http
from pipeline.gateway.answers import json_response
from pipeline.gateway.asking import exposed_topic, query_of, whole_number
from pipeline.gateway.parts import GatewayParts
from pipeline.gateway.problems import GatewayRefusal
from pipeline.gateway.verbs import Verb
from pipeline.record import Record
from pipeline.webhookid import webhook_id

TOPICS_MAX = 1000
FETCH_S_MAX = 10.0
OFFSET_MAX = 2**63 - 1
# The body is what a producer wrote: a browser shall neither run it nor show it as a page of ours.
_HARMLESS = {"content-security-policy": "sandbox; default-src 'none'", "content-disposition": "attachment"}


class RecordNotFound(NotFound):
    noun = "record"


class Topics:
    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts

    def verbs(self) -> list[Verb]:
        return [
            Verb("GET", "/v1/topics", self.list),
            Verb("GET", "/v1/topics/{topic}", self.describe),
            Verb("GET", "/v1/topics/{topic}/partitions/{partition}/records/{offset}", self.record),
        ]

    async def list(self, request: Request) -> Response:
        """Names in order, a page at a time; internal topics are not shown."""
        query = query_of(request, "limit", "after")
        limit = whole_number("limit", query.get("limit", "100"), 1, TOPICS_MAX)
        names = [name for name in await self._parts.admin.topics() if not name.startswith("_")]
        names = names[bisect_right(names, query["after"]) :] if "after" in query else names
        shown = names[:limit]
        facts = await self._parts.admin.describe(shown)
        topics = [{"name": name, "partitions": facts[name].partitions} for name in shown if name in facts]
        following = shown[-1] if len(names) > limit else None
        response = json_response({"topics": topics, "next": following})
        if following is not None:
            response.headers["link"] = f'</v1/topics?after={quote(following)}&limit={limit}>; rel="next"'
        return response

    async def describe(self, request: Request) -> Response:
        """Partitions, where its log starts and ends, and how long it keeps what."""
        query_of(request)
        facts = await self._parts.catalogue.get(exposed_topic(request))
        config = await self._parts.admin.topic_config(facts.name)
        shown: dict[str, Any] = {
            "name": facts.name,
            "partitions": facts.partitions,
            "earliest": await self._parts.reader.token(facts, "earliest"),
            "latest": await self._parts.reader.token(facts, "latest"),
            "cleanup_policy": config.get("cleanup.policy"),
            "retention_ms": _number(config.get("retention.ms")),
            "retention_bytes": _number(config.get("retention.bytes")),
        }
        return json_response(shown)

    async def record(self, request: Request) -> Response:
        """One record as a CloudEvent in binary mode: its data is the body; 204 for a tombstone."""
        query_of(request)
        facts = await self._parts.catalogue.get(exposed_topic(request))
        partition = whole_number("partition", request.path_params["partition"], 0, 2**31 - 1)
        offset = whole_number("offset", request.path_params["offset"], 0, OFFSET_MAX)
        event = self._event(facts, await self._found(facts, partition, offset))
        headers, body = event_to_http(event)
        place = {"ce-sequence": f"{offset:020d}", "etag": f'"{facts.topic_id}.{partition}.{offset}"'}
        return Response(body, 204 if event.data is None else 200, {**dict(headers), **place, **_HARMLESS})

    def _event(self, facts: TopicFacts, record: Record) -> Event:
        """The event in ``record``; bare bytes with defaults where it claims to be one and is none."""
        source, kind = f"/{self._parts.namespace}/{facts.name}", self._parts.default_type(facts.name)
        own_id = webhook_id(facts.topic_id, record.partition, record.offset)
        try:
            return event_from_kafka(record, default_source=source, default_type=kind, default_id=own_id)
        except InputError:
            return Event(id=own_id, source=source, type=kind, data=record.value)

    async def _found(self, facts: TopicFacts, partition: int, offset: int) -> Record:
        name = f"{facts.name}/{partition}/{offset}"
        if partition >= facts.partitions:
            raise RecordNotFound(name)
        place = (facts.name, partition)
        if offset >= (await self._parts.admin.offsets([place], "latest"))[place]:
            raise RecordNotFound(name, "nothing was written there yet")
        try:
            async with asyncio.timeout(FETCH_S_MAX):
                record = await self._parts.log.fetch(facts.name, partition, offset)
        except TimeoutError:
            raise BrokerUnavailable(f"{name} was not read within {FETCH_S_MAX:.0f} s") from None
        if record is None:
            raise GatewayRefusal(
                "record-gone", f"{name}: retention, compaction or a transaction marker left nothing there"
            )
        return record


def _number(text: str | None) -> int | None:
    try:
        return int(text) if text is not None else None
    except ValueError:
        raise InputError("config", text, "a number") from None
