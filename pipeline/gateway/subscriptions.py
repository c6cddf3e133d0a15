"""Subscriptions over HTTP. Secrets are shown once, in the answer to the request that made them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pipeline.errors import InputError, SubscriptionNotFound
from pipeline.gateway.answers import body_as, json_response
from pipeline.gateway.asking import if_match, json_object_of, only_if_new, query_of, truth, who_asks, whole_number
from pipeline.gateway.parts import GatewayParts
from pipeline.gateway.verbs import Verb
from pipeline.names import check_subscription_name
from pipeline.subscriptions import OVERLAP_S, Outcome, ResetAsked, Status, shown_row

LIST_MAX = 1000
ATTEMPTS_MAX = 1000


class RotateBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    overlap_s: int = OVERLAP_S


class SubscriptionRoutes:
    def __init__(self, parts: GatewayParts) -> None:
        self._parts, self._subscriptions = parts, parts.subscriptions

    def verbs(self) -> list[Verb]:
        one = "/v1/subscriptions/{name}"
        return [
            Verb("GET", "/v1/subscriptions", self.list),
            Verb("PUT", one, self.put),
            Verb("GET", one, self.get),
            Verb("DELETE", one, self.delete),
            Verb("POST", f"{one}/pause", self.pause),
            Verb("POST", f"{one}/resume", self.resume),
            Verb("POST", f"{one}/test", self.test),
            Verb("POST", f"{one}/rotate-secret", self.rotate_secret),
            Verb("POST", f"{one}/reset", self.reset),
            Verb("GET", f"{one}/attempts", self.attempts),
        ]

    async def list(self, request: Request) -> Response:
        """A page by name, each with where it stands."""
        query = query_of(request, "limit", "after")
        limit = whole_number("limit", query.get("limit", "100"), 1, LIST_MAX)
        names = [row.spec.name for row, _ in self._subscriptions.list() if row.spec.name > query.get("after", "")]
        probing = await self._parts.probing.workers()
        shown = [_shown(status, probing) for status in await self._subscriptions.statuses(names[:limit])]
        following = names[limit - 1] if len(names) > limit else None
        return json_response({"subscriptions": shown, "next": following})

    async def put(self, request: Request) -> Response:
        query_of(request)
        declared = await json_object_of(request, self._parts.limits.declaration)
        name = str(request.path_params["name"])
        outcome = await self._subscriptions.put(
            name, declared, if_match(request), only_new=only_if_new(request), who=who_asks(request)
        )
        return _outcome(outcome, 201 if outcome.created else 200)

    async def get(self, request: Request) -> Response:
        """Where it stands, and the last attempt."""
        query_of(request)
        name = subscription_name(request)
        status = await self._subscriptions.status(name)
        latest = await self._parts.attempts.search(name, limit=1)
        last = next(iter(latest.attempts), None)
        shown = _shown(status, await self._parts.probing.workers())
        return json_response(shown | {"last_attempt": last}, etag=str(status.version))

    async def delete(self, request: Request) -> Response:
        """Offsets stay unless ``forget=true``: making it again resumes."""
        query = query_of(request, "forget")
        forget = truth("forget", query.get("forget", "false"))
        name = subscription_name(request)
        await self._subscriptions.delete(name, forget=forget, if_match=if_match(request), who=who_asks(request))
        return Response(status_code=204)

    async def pause(self, request: Request) -> Response:
        query_of(request)
        name = subscription_name(request)
        row, version = await self._subscriptions.pause(name, if_match(request), who=who_asks(request))
        return json_response(shown_row(row), etag=str(version))

    async def resume(self, request: Request) -> Response:
        query_of(request)
        name = subscription_name(request)
        row, version = await self._subscriptions.resume(name, if_match(request), who=who_asks(request))
        return json_response(shown_row(row), etag=str(version))

    async def test(self, request: Request) -> Response:
        """One signed example, now; what the endpoint made of it is the answer, not our status."""
        query_of(request)
        return json_response(await self._parts.trials.send(subscription_name(request), who=who_asks(request)))

    async def rotate_secret(self, request: Request) -> Response:
        query_of(request)
        name = subscription_name(request)
        asked = body_as(RotateBody, await json_object_of(request, self._parts.limits.declaration))
        keeper = self._subscriptions.secrets
        outcome = await keeper.rotate(name, asked.overlap_s, if_match(request), who=who_asks(request))
        return _outcome(outcome, 200)

    async def reset(self, request: Request) -> Response:
        """The plan, or, without ``dry_run``, what was done."""
        query_of(request)
        name = subscription_name(request)
        self._subscriptions.get(name)
        asked = body_as(ResetAsked, await json_object_of(request, self._parts.limits.declaration))
        if asked.dry_run:
            plan = await self._parts.resets.plan(name, asked)
            return json_response({"dry_run": True, **msgspec.to_builtins(plan)})
        done = await self._parts.resets.reset(name, asked, who=who_asks(request))
        return json_response({"dry_run": False, "taken_up": done.taken_up, **msgspec.to_builtins(done.plan)})

    async def attempts(self, request: Request) -> Response:
        """Newest first, also of a subscription that was deleted."""
        query = query_of(request, "status", "event", "since", "limit", "from")
        page = await self._parts.attempts.search(
            subscription_name(request),
            status=query.get("status"),
            event=query.get("event"),
            since=query.get("since"),
            limit=whole_number("limit", query.get("limit", "100"), 1, ATTEMPTS_MAX),
            from_=query.get("from"),
        )
        return json_response(page)


def subscription_name(request: Request) -> str:
    """The name in the path; one that could not have been made does not exist."""
    name = str(request.path_params["name"])
    try:
        return check_subscription_name(name)
    except InputError:
        raise SubscriptionNotFound(name) from None


def _outcome(outcome: Outcome, status: int) -> Response:
    """The row, and the secrets that were made just now."""
    made = {"secret": outcome.shown.secret, "public_key": outcome.shown.public_key}
    shown = shown_row(outcome.row) | {name: text for name, text in made.items() if text is not None}
    return json_response(shown, status, etag=str(outcome.version))


def _shown(status: Status, probing: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    """The row and where it stands; ``probing`` when a worker that owns a partition of it finds the endpoint down."""
    shown = shown_row(status.row) | _standing(status)
    owners = {one.owner for one in status.partitions}
    if shown["state"] == "active" and owners & probing.get(status.row.spec.name, frozenset()):
        shown["state"] = "probing"
    return shown


def _standing(status: Status) -> dict[str, Any]:
    lags = [one.lag for one in status.partitions]
    ages = [one.lag_s for one in status.partitions]
    headrooms = [one.headroom for one in status.partitions if one.headroom is not None]
    return {
        "group": status.group,
        "dead_letter_topic": status.dead_letter_topic,
        "lag": None if None in lags else sum(lag for lag in lags if lag is not None),
        "lag_s": None if None in ages else max((age for age in ages if age is not None), default=0.0),
        "headroom": min(headrooms, default=None),
        "partitions": status.partitions,
    }
