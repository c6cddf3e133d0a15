"""Replays and redrives of a subscription over HTTP: planned, begun, watched, paused, resumed, cancelled."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pipeline.gateway.answers import body_as, json_response
from pipeline.gateway.asking import json_object_of, query_of, who_asks
from pipeline.gateway.parts import GatewayParts
from pipeline.gateway.subscriptions import subscription_name
from pipeline.gateway.verbs import Verb
from pipeline.redrive import RedriveAsked, Selection
from pipeline.replay import ReplayAsked
from pipeline.runs import Kind, StampedRun
from pipeline.subscription import Endpoint

KINDS: tuple[Kind, ...] = ("replay", "redrive")
TURNS: tuple[Literal["pause", "resume", "cancel"], ...] = ("pause", "resume", "cancel")


class ReplayBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"start": "from"}):
    start: str | None = None
    from_offset: int | dict[str, int] | None = None
    from_duration: str | None = None
    shift: int | None = None
    until: str = "latest"
    until_offset: int | dict[str, int] | None = None
    ids: tuple[str, ...] = ()
    filters: tuple[dict[str, Any], ...] = ()
    endpoint: Endpoint | None = None
    rate_per_s: float | None = None
    allow_clamp: bool = False
    dry_run: bool = False


class RedriveBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    select: Selection = Selection()
    rate_per_s: float | None = None
    only_if_latest_for_key: bool = False
    dry_run: bool = True


class RunRoutes:
    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts

    def verbs(self) -> list[Verb]:
        under = "/v1/subscriptions/{name}"
        made = [Verb("POST", f"{under}/replays", self.replay), Verb("POST", f"{under}/redrives", self.redrive)]
        for kind in KINDS:
            one = f"{under}/{kind}s/{{run}}"
            made += [
                Verb("GET", f"{under}/{kind}s", partial(self.all, kind)),
                Verb("GET", one, partial(self.one, kind)),
                *(Verb("POST", f"{one}/{turn}", partial(self.turn, kind, turn)) for turn in TURNS),
            ]
        return made

    async def replay(self, request: Request) -> Response:
        """201 with the run, or 200 with what it would be."""
        name = self._name(request)
        asked = body_as(ReplayBody, await self._body(request))
        fields = msgspec.structs.asdict(asked)
        dry_run = fields.pop("dry_run")
        plan = await self._parts.replays.plan(name, ReplayAsked(**fields))
        shown = {"count": plan.count, "partitions": plan.parts, "eta_s": plan.eta_s, "command": plan.command}
        if dry_run:
            return json_response({"dry_run": True, **shown})
        return self._begun(await self._parts.replays.create(plan, who=who_asks(request)), shown)

    async def redrive(self, request: Request) -> Response:
        """200 with what it would take (``dry_run``, the default), or 201 with the run."""
        name = self._name(request)
        body = body_as(RedriveBody, await self._body(request))
        asked = RedriveAsked(
            select=body.select,
            rate_per_s=body.rate_per_s,
            only_if_latest_for_key=body.only_if_latest_for_key,
        )
        plan = await self._parts.redrives.plan(name, asked)
        shown = {
            "count": plan.count,
            "by_reason": plan.reasons,
            "parking": plan.parking,
            "overtaken": plan.overtaken,
            "eta_s": plan.eta_s,
            "warnings": plan.warnings,
        }
        if body.dry_run:
            return json_response({"dry_run": True, **shown})
        return self._begun(await self._parts.redrives.create(plan, who=who_asks(request)), shown)

    async def all(self, kind: Kind, request: Request) -> Response:
        query_of(request)
        found = self._parts.runs.of(self._name(request), kind)
        return json_response({f"{kind}s": [self._shown(one) for one in found]})

    async def one(self, kind: Kind, request: Request) -> Response:
        query_of(request)
        name = self._name(request)
        found = self._parts.runs.get(name, kind, str(request.path_params["run"]))
        rate = self._parts.subscriptions.get(name)[0].spec.rate_per_s
        progress = await self._parts.runs.progress(found.run, rate)
        return json_response(self._shown(found) | {"progress": progress}, etag=str(found.version))

    async def turn(self, kind: Kind, turn: Literal["pause", "resume", "cancel"], request: Request) -> Response:
        query_of(request)
        runs = self._parts.runs
        turned_by = {"pause": runs.pause, "resume": runs.resume, "cancel": runs.cancel}[turn]
        turned = await turned_by(self._name(request), kind, str(request.path_params["run"]), who=who_asks(request))
        return json_response(self._shown(turned), etag=str(turned.version))

    def _name(self, request: Request) -> str:
        name = subscription_name(request)
        self._parts.subscriptions.get(name)
        return name

    async def _body(self, request: Request) -> dict[str, Any]:
        query_of(request)
        return await json_object_of(request, self._parts.limits.declaration)

    def _begun(self, stamped: StampedRun, plan: dict[str, object]) -> Response:
        run = stamped.run
        location = f"/v1/subscriptions/{run.subscription}/{run.kind}s/{run.id}"
        return json_response(self._shown(stamped) | plan, 201, etag=str(stamped.version), location=location)

    def _shown(self, stamped: StampedRun) -> dict[str, Any]:
        shown: dict[str, Any] = msgspec.to_builtins(stamped.run, str_keys=True)
        shown.pop("picked", None)  # thousands of offsets; how many they are is the progress' total
        return {"reasons": [], "ids": [], "state": "active"} | shown | {"group": self._parts.runs.group(stamped.run)}
