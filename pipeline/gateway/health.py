"""Whether this process lives, whether it can serve, and its metrics."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from pipeline.gateway.answers import json_response
from pipeline.gateway.parts import GatewayParts
from pipeline.gateway.verbs import Verb

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Health:
    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts

    def verbs(self) -> list[Verb]:
        return [
            Verb("GET", "/healthz", self.healthy),
            Verb("GET", "/readyz", self.ready),
            Verb("GET", "/metrics", self.metrics),
        ]

    async def healthy(self, request: Request) -> Response:
        """503 when a part of this process has died and only a restart helps."""
        return _told(self._parts.healthy())

    async def ready(self, request: Request) -> Response:
        """503 while Kafka cannot be reached or tables are not read yet."""
        return _told(await self._parts.ready())

    async def metrics(self, request: Request) -> Response:
        return Response(self._parts.metrics(), media_type=METRICS_TYPE)


def _told(reasons: list[str]) -> Response:
    return json_response({"status": "unavailable" if reasons else "ok", "reasons": reasons}, 503 if reasons else 200)
