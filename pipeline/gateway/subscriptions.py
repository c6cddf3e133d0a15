"""Subscriptions over HTTP. Secrets are shown once, in the answer to the request that made them."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pipeline.errors import InputError, SubscriptionNotFound
from pipeline.gateway.answers import json_response
from pipeline.gateway.asking import if_match, json_object_of, query_of, truth, whole_number
from pipeline.gateway.parts import GatewayParts
from pipeline.gateway.verbs import Verb
from pipeline.names import check_subscription_name
from pipeline.subscription import StoredSubscription
from pipeline.subscriptions import Status

LIST_MAX = 1000


class SubscriptionRoutes:
    def __init__(self, parts: GatewayParts) -> None:
        self._parts, self._subscriptions = parts, parts.subscriptions

    def verbs(self) -> list[Verb]:
        return [
            Verb("GET", "/v1/subscriptions", self.list),
            Verb("PUT", "/v1/subscriptions/{name}", self.put),
            Verb("GET", "/v1/subscriptions/{name}", self.get),
            Verb("DELETE", "/v1/subscriptions/{name}", self.delete),
            Verb("POST", "/v1/subscriptions/{name}/pause", self.pause),
            Verb("POST", "/v1/subscriptions/{name}/resume", self.resume),
        ]

    async def list(self, request: Request) -> Response:
        query = query_of(request, "limit", "after")
        limit = whole_number("limit", query.get("limit", "100"), 1, LIST_MAX)
        rows = [row for row, _ in self._subscriptions.list() if row.spec.name > query.get("after", "")]
        following = rows[limit - 1].spec.name if len(rows) > limit else None
        return json_response({"subscriptions": [_shown(row) for row in rows[:limit]], "next": following})

    async def put(self, request: Request) -> Response:
        query_of(request)
        declared = await json_object_of(request, self._parts.limits.declaration)
        name = str(request.path_params["name"])
        outcome = await self._subscriptions.put(name, declared, if_match(request))
        shown = _shown(outcome.row)
        if outcome.shown.secret is not None:
            shown["secret"] = outcome.shown.secret
        if outcome.shown.public_key is not None:
            shown["public_key"] = outcome.shown.public_key
        return json_response(shown, 201 if outcome.created else 200, etag=str(outcome.version))

    async def get(self, request: Request) -> Response:
        query_of(request)
        status = await self._subscriptions.status(subscription_name(request))
        return json_response(_shown(status.row) | _standing(status), etag=str(status.version))

    async def delete(self, request: Request) -> Response:
        """Offsets stay unless ``forget=true``: making it again resumes."""
        query = query_of(request, "forget")
        forget = truth("forget", query.get("forget", "false"))
        await self._subscriptions.delete(subscription_name(request), forget=forget, if_match=if_match(request))
        return Response(status_code=204)

    async def pause(self, request: Request) -> Response:
        query_of(request)
        row, version = await self._subscriptions.pause(subscription_name(request), if_match(request))
        return json_response(_shown(row), etag=str(version))

    async def resume(self, request: Request) -> Response:
        query_of(request)
        row, version = await self._subscriptions.resume(subscription_name(request), if_match(request))
        return json_response(_shown(row), etag=str(version))


def subscription_name(request: Request) -> str:
    """The name in the path; one that could not have been made does not exist."""
    name = str(request.path_params["name"])
    try:
        return check_subscription_name(name)
    except InputError:
        raise SubscriptionNotFound(name) from None


def _shown(row: StoredSubscription) -> dict[str, Any]:
    """The row without its sealed secrets."""
    shown: dict[str, Any] = msgspec.to_builtins(row.spec)
    return shown | {"state": row.state, "reason": row.reason, "generation": row.generation}


def _standing(status: Status) -> dict[str, Any]:
    lags = [one.lag for one in status.partitions]
    headrooms = [one.headroom for one in status.partitions if one.headroom is not None]
    return {
        "group": status.group,
        "dead_letter_topic": status.dead_letter_topic,
        "lag": None if None in lags else sum(lag for lag in lags if lag is not None),
        "headroom": min(headrooms, default=None),
        "partitions": status.partitions,
    }
