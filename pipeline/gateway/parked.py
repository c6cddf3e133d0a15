"""Parked keys of a subscription over HTTP: seen and released."""

from __future__ import annotations

from base64 import urlsafe_b64decode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pipeline.gateway.answers import body_as, json_response
from pipeline.gateway.asking import json_object_of, query_of, who_asks
from pipeline.gateway.parts import GatewayParts
from pipeline.gateway.subscriptions import subscription_name
from pipeline.gateway.verbs import Verb
from pipeline.redrive import ParkedKeyNotFound, Released
from pipeline.redrive.shown import NO_KEY, parked_shown

WAIT_S = 20.0
"""How long one request waits for the redrive of a key's letters; asked again, it goes on."""


class ReleaseBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    skip: bool = False


class ParkedRoutes:
    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts

    def verbs(self) -> list[Verb]:
        under = "/v1/subscriptions/{name}/parked"
        return [Verb("GET", under, self.parked), Verb("POST", f"{under}/{{key}}/release", self.release)]

    async def parked(self, request: Request) -> Response:
        query_of(request)
        return json_response({"parked": [parked_shown(one) for one in self._parts.parked_keys.of(self._name(request))]})

    async def release(self, request: Request) -> Response:
        """200 when every place of the key goes on, 202 while its letters are redriven: ask again."""
        query_of(request)
        name = self._name(request)
        keys = self._parts.parked_keys.find(name, key_in(request))
        body = body_as(ReleaseBody, await json_object_of(request, self._parts.limits.declaration))
        release, who = self._parts.parked_keys.release, who_asks(request)
        found = [await release(one, skip=body.skip, wait_s=WAIT_S, who=who) for one in keys]
        states = {one.state for one in found}
        state = next(one for one in ("failed", "redriving", "released") if one in states)
        shown = {"state": state, "redriven": sum(one.redriven for one in found), "run": _run(found)}
        return json_response(shown, 202 if state == "redriving" else 200)

    def _name(self, request: Request) -> str:
        name = subscription_name(request)
        self._parts.subscriptions.get(name)
        return name


def key_in(request: Request) -> bytes | None:
    """The key in the path; what is no id names none."""
    text = str(request.path_params["key"])
    if text == NO_KEY:
        return None
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise ParkedKeyNotFound(text, "its id is base64url, as the list shows it") from None


def _run(found: list[Released]) -> str | None:
    return next((one.run for one in found if one.run is not None), None)
