"""Named cursors over HTTP: made, looked at, read and moved."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pipeline.errors import CursorNotFound, InputError
from pipeline.gateway.answers import body_as, json_response
from pipeline.gateway.asking import if_match, json_object_of, query_of
from pipeline.gateway.events_out import POLL_PARAMETERS, EventsOut, page_response, poll_of
from pipeline.gateway.parts import GatewayParts
from pipeline.gateway.verbs import Verb
from pipeline.names import check_subscription_name
from pipeline.pull import CursorStatus


class CommitBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    cursor: str
    force: bool = False


class Cursors:
    def __init__(self, parts: GatewayParts, polls: EventsOut) -> None:
        self._parts, self._polls = parts, polls

    def verbs(self) -> list[Verb]:
        return [
            Verb("PUT", "/v1/cursors/{name}", self.put),
            Verb("GET", "/v1/cursors/{name}", self.get),
            Verb("GET", "/v1/cursors/{name}/events", self.events),
            Verb("POST", "/v1/cursors/{name}/commit", self.commit),
        ]

    async def put(self, request: Request) -> Response:
        """201 when it is new, 200 when it stands there so already, 409 for another declaration."""
        query_of(request)
        name = str(request.path_params["name"])
        declared = await json_object_of(request, self._parts.limits.declaration)
        status, created = await self._parts.cursors.put(name, declared)
        return json_response(_shown(status), 201 if created else 200, etag=status.version)

    async def get(self, request: Request) -> Response:
        query_of(request)
        status = await self._parts.cursors.get(_name(request))
        return json_response(_shown(status), etag=status.version)

    async def events(self, request: Request) -> Response:
        """The events after its position; reading moves nothing, committing does."""
        name = _name(request)
        query = query_of(request, *POLL_PARAMETERS)
        poll = poll_of(request, query, self._parts)
        page = await self._polls.held(request, poll, lambda: self._parts.cursors.read(name, poll.wanted))
        return page_response(page, poll, f"/v1/cursors/{name}/events?limit={poll.wanted.limit}")

    async def commit(self, request: Request) -> Response:
        """204 when it moved, 200 when it stood there already."""
        query_of(request)
        name = _name(request)
        asked = body_as(CommitBody, await json_object_of(request, self._parts.limits.declaration))
        advanced = await self._parts.cursors.commit(name, asked.cursor, force=asked.force, if_match=if_match(request))
        return Response(status_code=204) if advanced else json_response({"advanced": False})


def _name(request: Request) -> str:
    name = str(request.path_params["name"])
    try:
        return check_subscription_name(name)
    except InputError:
        raise CursorNotFound(name) from None


def _shown(status: CursorStatus) -> dict[str, object]:
    return {
        "name": status.name,
        "topics": status.spec.topics,
        "start": status.spec.start,
        "cursor": status.cursor,
        "partitions": status.partitions,
        "lag": sum(one.lag for one in status.partitions),
        "updated": status.updated_at,
    }
