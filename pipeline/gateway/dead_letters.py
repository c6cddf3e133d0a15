"""Dead letters of a subscription over HTTP: browsed, counted, exported, shown, edited, discarded; keys released."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from typing import Any, get_args

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from pipeline.deadletter import REASONS
from pipeline.errors import DeclarationInvalid, InputError
from pipeline.gateway.answers import body_as, json_response
from pipeline.gateway.asking import json_object_of, query_of, who_asks, whole_number
from pipeline.gateway.parts import GatewayParts
from pipeline.gateway.subscriptions import subscription_name
from pipeline.gateway.verbs import Verb
from pipeline.moment import ms_from_rfc3339
from pipeline.redrive import Change, LetterNotFound, Search, Selection, State, Tally
from pipeline.redrive.export import exported
from pipeline.redrive.shown import foreign_shown, letter_shown, letter_whole

LETTERS_MAX = 1000
EXPORT_MAX = 1_000_000
STATS_SCANNED_MAX = 1_000_000
NDJSON = "application/x-ndjson"
_STATUS_MIN, _STATUS_MAX = 100, 999
_FILTERS = ("reason", "status", "key", "type", "since", "id")
_PARTITION_MAX, _OFFSET_MAX = 2**31 - 1, 2**63 - 1


class DiscardBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: str
    select: Selection = Selection()
    dry_run: bool = False


class EditBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    by: str
    value: str | msgspec.UnsetType | None = msgspec.UNSET
    value_base64: str | msgspec.UnsetType = msgspec.UNSET
    headers: dict[str, str | None] = {}

    def change(self) -> Change:
        """Raises `DeclarationInvalid`."""
        if self.value is not msgspec.UNSET and self.value_base64 is not msgspec.UNSET:
            raise DeclarationInvalid("/value_base64", "also given", "value or value_base64, not both")
        if isinstance(self.value_base64, str):
            try:
                return Change(value=base64.b64decode(self.value_base64, validate=True), headers=self.headers)
            except binascii.Error:
                raise DeclarationInvalid("/value_base64", self.value_base64, "base64 (RFC 4648 §4)") from None
        value = self.value.encode() if isinstance(self.value, str) else self.value
        return Change(value=value, headers=self.headers)


class DeadLetterRoutes:
    def __init__(self, parts: GatewayParts) -> None:
        self._parts, self._letters = parts, parts.dead_letters

    def verbs(self) -> list[Verb]:
        under = "/v1/subscriptions/{name}/dead-letters"
        return [
            Verb("GET", under, self.browse),
            Verb("POST", f"{under}:discard", self.discard),
            Verb("GET", f"{under}/{{partition}}/{{offset}}", self.show),
            Verb("POST", f"{under}/{{partition}}/{{offset}}/edit", self.edit),
        ]

    async def browse(self, request: Request) -> Response:
        """A page of them; counts with ``view=stats``; all of them as lines where NDJSON is asked for."""
        name = self._name(request)
        query = query_of(request, *_FILTERS, "state", "limit", "from", "view")
        select = selection_of(query)
        if query.get("view", "list") not in ("list", "stats"):
            raise InputError("view", query["view"], "list or stats")
        if query.get("view") == "stats":
            return json_response(await self._stats(name, select))
        states = states_of(query.get("state"))
        if NDJSON in request.headers.get("accept", ""):
            limit = whole_number("limit", query.get("limit", str(EXPORT_MAX)), 1, EXPORT_MAX)
            search = Search(select=select, states=states, limit=limit)
            return await self._exported(name, search, query.get("from"))
        limit = whole_number("limit", query.get("limit", "100"), 1, LETTERS_MAX)
        page = await self._letters.search(name, Search(select=select, states=states, limit=limit), query.get("from"))
        shown = {
            "dead_letters": [letter_shown(filed) for filed in page.letters],
            "next": page.next_cursor,
            "caught_up": page.caught_up,
            "unreadable": page.unreadable,
            "foreign": [foreign_shown(one) for one in page.foreign],
        }
        return json_response(shown)

    async def _stats(self, name: str, select: Selection) -> object:
        tally = Tally(self._parts.runs.now_ms(), self._letters.facts_of)
        async for filed in self._letters.all(name, STATS_SCANNED_MAX, select):
            tally.add(filed)
        return tally.stats()

    async def _exported(self, name: str, search: Search, start: str | None) -> Response:
        """A line for each, whole; the last line says where to go on and whether that was all. What is wrong with the
        question shows before the answer begins.
        """
        found = exported(self._letters, name, search, start)
        first = await anext(found)

        async def lines() -> AsyncIterator[bytes]:
            yield orjson.dumps(first) + b"\n"
            async for one in found:
                yield orjson.dumps(one) + b"\n"

        return StreamingResponse(lines(), media_type=NDJSON, headers={"cache-control": "no-store"})

    async def show(self, request: Request) -> Response:
        """One whole, and whether its bytes are those at the place it claims to be from (null: gone from there)."""
        query_of(request)
        partition, offset = place_in(request)
        filed = await self._letters.at(self._name(request), partition, offset)
        as_published = await self._letters.is_as_published(filed.letter)
        return json_response(letter_whole(filed) | {"as_published": as_published})

    async def edit(self, request: Request) -> Response:
        """201 with the changed letter; the one before stays where it lies and counts as discarded."""
        name, place = self._name(request), place_in(request)
        body = body_as(EditBody, await self._body(request))
        made = await self._parts.edits.edit(name, place, body.change(), body.by)
        location = f"/v1/subscriptions/{name}/dead-letters/{made.partition}/{made.offset}"
        return json_response({"partition": made.partition, "offset": made.offset}, 201, location=location)

    async def discard(self, request: Request) -> Response:
        name = self._name(request)
        body = body_as(DiscardBody, await self._body(request))
        plan = await self._parts.discards.plan(name, body.select, body.reason)
        shown = {"dry_run": body.dry_run, "count": plan.count, "by_reason": plan.reasons}
        if body.dry_run or not plan.count:
            return json_response({**shown, "discard": None})
        made = await self._parts.discards.create(plan, who=who_asks(request))
        return json_response({**shown, "discard": made.run.id})

    def _name(self, request: Request) -> str:
        name = subscription_name(request)
        self._parts.subscriptions.get(name)
        return name

    async def _body(self, request: Request) -> dict[str, Any]:
        query_of(request)
        return await json_object_of(request, self._parts.limits.batch)


def selection_of(query: Any) -> Selection:
    """The selection a query string asks for; raises `InputError` by parameter."""
    reason, status = query.get("reason"), query.get("status")
    if reason is not None and reason not in REASONS:
        raise InputError("reason", reason, f"one of {', '.join(sorted(REASONS))}")
    if (since := query.get("since")) is not None:
        ms_from_rfc3339(since, field="since")
    return Selection(
        reasons=(reason,) if reason is not None else (),
        statuses=(whole_number("status", status, _STATUS_MIN, _STATUS_MAX),) if status is not None else (),
        keys=(query["key"],) if "key" in query else (),
        types=(query["type"],) if "type" in query else (),
        since=since,
        ids=(query["id"],) if "id" in query else (),
    )


def states_of(text: str | None) -> frozenset[State]:
    if text is None:
        return frozenset()
    for state in get_args(State):
        if text == state:
            return frozenset([state])
    raise InputError("state", text, f"one of {', '.join(get_args(State))}")


def place_in(request: Request) -> tuple[int, int]:
    """Partition and offset in the path; what cannot be one does not exist."""
    partition, offset = str(request.path_params["partition"]), str(request.path_params["offset"])
    try:
        return (
            whole_number("partition", partition, 0, _PARTITION_MAX),
            whole_number("offset", offset, 0, _OFFSET_MAX),
        )
    except InputError:
        raise LetterNotFound(f"{partition}/{offset}") from None
