"""Replays, redrives and dead letters of a subscription over HTTP."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pipeline.gateway.answers import body_as, json_response
from pipeline.gateway.asking import json_object_of, query_of, whole_number
from pipeline.gateway.parts import GatewayParts
from pipeline.gateway.subscriptions import subscription_name
from pipeline.gateway.verbs import Verb
from pipeline.redrive import FiledLetter, Search, Selection
from pipeline.replay import ReplayAsked
from pipeline.runs import Kind, StampedRun

LETTERS_MAX = 1000
_STATUS_MIN, _STATUS_MAX = 100, 999


class ReplayBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"start": "from"}):
    start: str
    until: str = "latest"
    rate_per_s: float | None = None
    dry_run: bool = False


class SelectBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reasons: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()


class RedriveBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    select: SelectBody = SelectBody()
    rate_per_s: float | None = None
    dry_run: bool = True


class RunRoutes:
    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts

    def verbs(self) -> list[Verb]:
        under = "/v1/subscriptions/{name}"
        return [
            Verb("GET", f"{under}/dead-letters", self.dead_letters),
            Verb("POST", f"{under}/replays", self.replay),
            Verb("GET", f"{under}/replays", self.replays),
            Verb("GET", f"{under}/replays/{{run}}", self.one_replay),
            Verb("POST", f"{under}/replays/{{run}}/cancel", self.cancel_replay),
            Verb("POST", f"{under}/redrives", self.redrive),
            Verb("GET", f"{under}/redrives", self.redrives),
            Verb("GET", f"{under}/redrives/{{run}}", self.one_redrive),
            Verb("POST", f"{under}/redrives/{{run}}/cancel", self.cancel_redrive),
        ]

    async def dead_letters(self, request: Request) -> Response:
        name = self._name(request)
        query = query_of(request, "reason", "status", "key", "since", "limit", "from")
        status = whole_number("status", query["status"], _STATUS_MIN, _STATUS_MAX) if "status" in query else None
        search = Search(
            reason=query.get("reason"),
            status=status,
            key=query.get("key"),
            since=query.get("since"),
            limit=whole_number("limit", query.get("limit", "100"), 1, LETTERS_MAX),
        )
        page = await self._parts.dead_letters.search(name, search, query.get("from"))
        shown = {
            "dead_letters": [_letter(filed) for filed in page.letters],
            "next": page.next_cursor,
            "caught_up": page.caught_up,
            "unreadable": page.unreadable,
        }
        return json_response(shown)

    async def replay(self, request: Request) -> Response:
        """201 with the run, or 200 with what it would be."""
        name = self._name(request)
        asked = body_as(ReplayBody, await self._body(request))
        plan = await self._parts.replays.plan(
            name, ReplayAsked(start=asked.start, until=asked.until, rate_per_s=asked.rate_per_s)
        )
        if asked.dry_run:
            return json_response({"dry_run": True, "count": plan.count, "partitions": plan.parts})
        return self._begun(await self._parts.replays.create(plan), plan.count)

    async def redrive(self, request: Request) -> Response:
        """200 with what it would take (``dry_run``, the default), or 201 with the run."""
        name = self._name(request)
        asked = body_as(RedriveBody, await self._body(request))
        selection = Selection(reasons=asked.select.reasons, ids=asked.select.ids)
        plan = await self._parts.redrives.plan(name, selection, asked.rate_per_s)
        if asked.dry_run:
            return json_response({"dry_run": True, "count": plan.count, "reasons": plan.reasons})
        return self._begun(await self._parts.redrives.create(plan), plan.count)

    async def replays(self, request: Request) -> Response:
        return self._all(request, "replay")

    async def redrives(self, request: Request) -> Response:
        return self._all(request, "redrive")

    async def one_replay(self, request: Request) -> Response:
        return await self._one(request, "replay")

    async def one_redrive(self, request: Request) -> Response:
        return await self._one(request, "redrive")

    async def cancel_replay(self, request: Request) -> Response:
        return await self._cancelled(request, "replay")

    async def cancel_redrive(self, request: Request) -> Response:
        return await self._cancelled(request, "redrive")

    def _all(self, request: Request, kind: Kind) -> Response:
        query_of(request)
        found = self._parts.runs.of(self._name(request), kind)
        return json_response({f"{kind}s": [self._shown(one) for one in found]})

    async def _one(self, request: Request, kind: Kind) -> Response:
        query_of(request)
        found = self._parts.runs.get(self._name(request), kind, str(request.path_params["run"]))
        progress = await self._parts.runs.progress(found.run)
        return json_response(self._shown(found) | {"progress": progress}, etag=str(found.version))

    async def _cancelled(self, request: Request, kind: Kind) -> Response:
        query_of(request)
        name, run_id = self._name(request), str(request.path_params["run"])
        cancelled = await self._parts.runs.cancel(name, kind, run_id)
        return json_response(self._shown(cancelled), etag=str(cancelled.version))

    def _name(self, request: Request) -> str:
        name = subscription_name(request)
        self._parts.subscriptions.get(name)
        return name

    async def _body(self, request: Request) -> dict[str, Any]:
        query_of(request)
        return await json_object_of(request, self._parts.limits.declaration)

    def _begun(self, stamped: StampedRun, count: int) -> Response:
        run = stamped.run
        location = f"/v1/subscriptions/{run.subscription}/{run.kind}s/{run.id}"
        shown = self._shown(stamped) | {"count": count}
        return json_response(shown, 201, etag=str(stamped.version), location=location)

    def _shown(self, stamped: StampedRun) -> dict[str, Any]:
        shown: dict[str, Any] = msgspec.to_builtins(stamped.run, str_keys=True)
        return {"reasons": [], "ids": [], "state": "active"} | shown | {"group": self._parts.runs.group(stamped.run)}


def _letter(filed: FiledLetter) -> dict[str, Any]:
    letter = filed.letter
    event = {name: _text(letter.record.header(f"ce_{name}")) for name in ("id", "type", "source", "subject")}
    return {
        "id": letter.id,
        "partition": filed.place.partition,
        "offset": filed.place.offset,
        "reason": letter.reason,
        "http_status": letter.http_status,
        "attempts": letter.attempts,
        "first_failed_at": letter.first_failed_at,
        "last_failed_at": letter.last_failed_at,
        "error": letter.error,
        "redrives": letter.redrives,
        "redriven_by": filed.redriven_by,
        "origin": letter.origin._asdict(),
        "key": _text(letter.record.key),
        "event": {name: text for name, text in event.items() if text is not None},
    }


def _text(raw: bytes | None) -> str | None:
    return raw.decode("utf-8", "replace") if raw is not None else None
